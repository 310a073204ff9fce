//! Detects, as far as the kernel shows it, that this process was copied, and notifies every
//! election.

use std::io;
use std::time::Duration;

use crate::driver::Handle;
use crate::election::elector::Sign;
use crate::time::boot::{Boot, Generation};

/// Watches for as long as it is polled. Checks each `period`, and reacts at once to the kernel's
/// events.
pub async fn watch(elections: Vec<Handle>, period: Duration) {
    let mut generation = Generation::listen()
        .inspect_err(|error| tracing::debug!(%error, "cannot detect resumed snapshots"))
        .ok();
    let mut host = look();
    loop {
        let sign = tokio::select! {
            changed = next(&mut generation) => match changed {
                Ok(()) => Some(Sign::VmGeneration),
                Err(error) => {
                    tracing::debug!(%error, "can no longer detect resumed snapshots");
                    generation = None;
                    None
                }
            },
            () = tokio::time::sleep(period) => {
                let before = host.clone();
                host = look().or(host);
                changed(before.as_ref(), host.as_ref())
            }
        };
        let Some(sign) = sign else { continue };
        for election in &elections {
            election.was_copied(sign).await;
        }
    }
}

async fn next(generation: &mut Option<Generation>) -> io::Result<()> {
    match generation {
        Some(generation) => generation.changed().await,
        None => std::future::pending().await,
    }
}

/// None if that cannot be determined now: `/proc` is gone, or no file can be opened. It reads a few
/// words of the kernel's, for which another thread would cost more than the reading.
fn look() -> Option<Boot> {
    Boot::this().ok()
}

/// A process leaves its boot and its time namespace only through a checkpoint.
fn changed(before: Option<&Boot>, after: Option<&Boot>) -> Option<Sign> {
    let (before, after) = before.zip(after)?;
    let proven = before.is_proven() && after.is_proven();
    (proven && before != after).then_some(Sign::OtherClock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_wakes_up_on_another_clock_was_restored() {
        let here = Boot::proven("boot-1", "0.0");
        let sign = |after: &Boot| changed(Some(&here), Some(after));
        assert_eq!(sign(&Boot::proven("boot-2", "0.0")), Some(Sign::OtherClock));
        assert_eq!(sign(&Boot::proven("boot-1", "-7.5")), Some(Sign::OtherClock));
        assert_eq!(sign(&here), None);
        assert_eq!(sign(&Boot::unproven("boot-2")), None, "that is no clock's name");
        assert_eq!(changed(None, Some(&here)), None);
    }
}
