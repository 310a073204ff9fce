//! A look at the history, before anything else.

use std::time::Duration;

use super::ledger::{Broken, Ledger};
use super::task::{Ended, NOT_STARTED, Runner, Settled, Step, Task};
use crate::election::history::{Look, Moment};
use crate::time::alarm::Timer;

/// What the history alone decides: one read, and no write. None if an instance has to stand for the
/// work. `runner` checks what is done.
///
/// # Errors
///
/// When the store fails, or has no history of a work in that record; or no process can be started.
pub async fn glance<T: Timer>(
    ledger: &mut Ledger<T>,
    task: &Task,
    runner: &mut impl Runner,
    now: Moment,
) -> Result<Option<Settled>, Broken> {
    ledger.look().await?;
    let look = Look { leading: false, disproved: None, now, watched: Duration::ZERO };
    let (key, entry) = match task.step(ledger.history(), &look) {
        Step::Settled(settled) => return Ok(Some(settled)),
        Step::Decided(..) => return Ok(None),
        Step::Check(piece, entry) => (piece.key, entry.clone()),
    };
    Ok(match runner.check(&key, None).await.map_err(Broken::Process)? {
        Ended::Exited { code: 0, .. } => Some(Settled::Done(entry)),
        Ended::Exited { code, .. } if NOT_STARTED.contains(&code) => {
            Some(Settled::CannotCheck(code))
        }
        Ended::Exited { .. } | Ended::Stopped => None,
    })
}
