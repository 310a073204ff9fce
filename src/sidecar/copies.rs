//! Detects, as far as the kernel shows it, that this process was copied, and notifies every
//! election.

use std::io;
use std::time::Duration;

use tokio::sync::watch;

use crate::driver::Handle;
use crate::election::elector::Sign;
use crate::election::leadership::Leadership;
use crate::election::time::BootTime;
use crate::time::boot::{Boot, Generation};
use crate::time::clock::HostClock;

/// Watches for as long as it is polled. Checks about once in a `period`, and reacts at once to the kernel's
/// events.
pub async fn watch(elections: Vec<Handle>, period: Duration) {
    // All elections of a process have one rhythm: that of one is enough while it lasts.
    let mut rhythms: Vec<_> = elections.iter().map(Handle::watch).collect();
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
            () = until_next_look(&mut rhythms, period) => {
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

/// A process that has just woken for its election looks at little cost. A timer would wake it twice as often: the
/// election's renewals come once in a period. The timer here is for elections that do not turn. A shorter one would
/// wake the process before it rings: tokio sorts its timers of more than 4 s again every 4 s.
async fn until_next_look(rhythms: &mut Vec<watch::Receiver<Leadership>>, period: Duration) {
    let turn = next_turn(rhythms, HostClock::boot(), period / 2);
    let _ = tokio::time::timeout(period * 4, turn).await;
}

/// Until an election turns, so long after the last look; never, if all have ended. A clock that went back is another one.
async fn next_turn(
    rhythms: &mut Vec<watch::Receiver<Leadership>>,
    looked_at: BootTime,
    pause: Duration,
) {
    while let Some(rhythm) = rhythms.last_mut() {
        if rhythm.changed().await.is_err() {
            rhythms.pop();
            continue;
        }
        let now = HostClock::boot();
        if now >= looked_at + pause || now < looked_at {
            return;
        }
    }
    std::future::pending().await
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
    use futures_util::FutureExt as _;

    use super::*;
    use crate::election::elector::Elector;
    use crate::election::lease::Candidate;
    use crate::election::timing::Timing;

    fn view() -> Leadership {
        let me = Candidate { identity: "web-1".to_owned(), incarnation: "b5f0".to_owned() };
        Elector::new(me, Timing::default(), 0).leadership()
    }

    #[test]
    fn it_looks_at_a_turn_of_the_election_but_not_at_each() {
        let (next, later) = watch::channel(view());
        let (election, rhythm) = watch::channel(view());
        let mut rhythms = vec![later, rhythm];
        let (now, hour) = (HostClock::boot(), Duration::from_secs(3600));
        let mut looks =
            |looked_at, pause| next_turn(&mut rhythms, looked_at, pause).now_or_never().is_some();
        assert!(!looks(now, Duration::ZERO), "nothing has turned");
        election.send_replace(view());
        assert!(looks(now, Duration::ZERO));
        election.send_replace(view());
        assert!(!looks(now, hour));
        assert!(!looks(now, Duration::ZERO), "that turn is over");
        election.send_replace(view());
        assert!(looks(now + hour, hour), "the clock went back: another boot");
        drop(election);
        assert!(
            !looks(now, Duration::ZERO),
            "an election that has ended is no reason to look at once"
        );
        next.send_replace(view());
        assert!(looks(now, Duration::ZERO), "another election turns");
    }

    #[tokio::test]
    async fn it_looks_in_the_end_whatever_the_election_does() {
        let (silent, rhythm) = watch::channel(view());
        let mut rhythms = vec![rhythm];
        until_next_look(&mut rhythms, Duration::from_millis(1)).await;
        drop(silent);
        until_next_look(&mut rhythms, Duration::from_millis(1)).await;
    }

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
