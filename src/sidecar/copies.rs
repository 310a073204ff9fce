//! Detects, as far as the kernel shows it, that this process was copied, and notifies every
//! election.

use std::io;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::driver::Handle;
use crate::election::elector::Sign;
use crate::election::leadership::Leadership;
use crate::time::boot::{Boot, Generation};

/// Watches for as long as it is polled. Checks about once in a `period`, and reacts at once to the kernel's
/// events.
pub async fn watch(elections: Vec<Handle>, period: Duration) {
    // All elections of a process have one rhythm.
    let mut rhythm = elections.first().map(Handle::watch);
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
            () = until_next_look(rhythm.as_mut(), period) => {
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
/// election's renewals come once in a period.
async fn until_next_look(rhythm: Option<&mut watch::Receiver<Leadership>>, period: Duration) {
    let soonest = Instant::now() + period / 2;
    let turned = async {
        if let Some(rhythm) = rhythm {
            while rhythm.changed().await.is_ok() {
                if Instant::now() >= soonest {
                    return;
                }
            }
        }
        std::future::pending().await
    };
    let _ = tokio::time::timeout(period * 2, turned).await;
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
    use crate::election::elector::Elector;
    use crate::election::lease::Candidate;
    use crate::election::timing::Timing;

    const PERIOD: Duration = Duration::from_secs(2);

    fn view() -> Leadership {
        let me = Candidate { identity: "web-1".to_owned(), incarnation: "b5f0".to_owned() };
        Elector::new(me, Timing::default(), 0).leadership()
    }

    #[tokio::test(start_paused = true)]
    async fn it_looks_when_the_election_turns_and_not_more_often_than_in_half_a_period() {
        let (election, mut rhythm) = watch::channel(view());
        let started = Instant::now();
        let turns = async {
            for _ in 0..30 {
                tokio::time::sleep(PERIOD / 10).await;
                election.send_replace(view());
            }
        };
        let looks = async {
            let mut looks = vec![];
            for _ in 0..4 {
                until_next_look(Some(&mut rhythm), PERIOD).await;
                looks.push(started.elapsed().as_millis());
            }
            looks
        };
        let ((), looks) = tokio::join!(turns, looks);
        assert_eq!(looks, [1_000, 2_000, 3_000, 4_000]);
    }

    #[tokio::test(start_paused = true)]
    async fn it_looks_after_two_periods_whatever_the_election_does() {
        let (silent, mut of_silent) = watch::channel(view());
        let (left, mut of_left) = watch::channel(view());
        drop(left);
        for rhythm in [Some(&mut of_silent), Some(&mut of_left), None] {
            let started = Instant::now();
            until_next_look(rhythm, PERIOD).await;
            assert_eq!(started.elapsed().as_secs(), 4);
        }
        drop(silent);
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
