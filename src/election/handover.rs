//! Which candidate claims a vacated lease first: the one with the highest order, then the newest,
//! then the preferred one. So a roll-out costs one hand-over.
//!
//! A holder that vacates writes a [`Handover`] to the record. Each candidate compares itself with
//! it, and waits for its [`Rank::turn`] before it claims: a fraction of a second, and a second and a retry period
//! more if another candidate is named. No candidate knows the others: the delay alone orders them. No
//! safety rule rests on this order, because the swap decides. The delay is bounded, and counts from
//! when the candidate first saw the vacated record. After a crash there is no delay.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::history::Order;
use super::term::Term;
use super::text;
use super::time::BootTime;

/// The delay between candidates of a newer release than the holder's, of the same, and of an older
/// one. It is longer than [`AGES`] and [`PREFERENCES`] together, so that the order comes first.
const RELEASES: Duration = Duration::from_millis(140);

/// The delay between the newest candidate and the oldest, within a release. A hint reaches all
/// candidates within a few milliseconds, and a busy host delays one of them by a few tens.
const AGES: Duration = Duration::from_millis(60);

/// The same where no release is known, and the age has to tell the old ones from the new ones.
const AGES_ALONE: Duration = Duration::from_millis(200);

/// Between two preferences that follow each other.
const PREFERENCE: Duration = Duration::from_millis(20);

/// Between the highest preference and the lowest.
const PREFERENCES: Duration = Duration::from_millis(20 * Preference::MAX as u64);

/// The longest turn: of an old candidate of an older release.
const LONGEST: Duration = Duration::from_millis(400);

/// A turn takes at most this share of the retry period. With a longer one, a notification would be
/// of no use: the next look comes anyway.
const SHARE: u32 = 4;

/// An instance of at most this age counts as one of the newest: a roll-out starts the next one when
/// this one is ready.
const NEW: Duration = Duration::from_secs(30);

/// The ages of two instances of different roll-outs differ by at least this factor. Instances of
/// one roll-out have about the same age when the next one begins.
const GENERATION: f64 = 8.0;

/// For a holder whose uptime is not known.
const USUAL_UPTIME: Duration = Duration::from_secs(24 * 3600);

/// How long the others wait for a named successor, beside the retry period in which it looks if it receives no push:
/// a call that fails may delay it.
const FOR_SUCCESSOR: Duration = Duration::from_secs(1);

/// How much an instance is preferred to others of the same release and about the same age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Preference(u8);

impl Preference {
    /// The highest.
    pub const MAX: u8 = 3;

    /// From zero to [`Self::MAX`].
    pub fn new(number: u8) -> Option<Self> {
        (number <= Self::MAX).then_some(Self(number))
    }
}

/// What decides when a candidate claims a vacated lease.
#[derive(Clone, Copy, Debug)]
pub struct Rank {
    /// Its release.
    pub order: Option<Order>,
    /// When it started.
    pub since: BootTime,
    /// None: it does not know whether others have one.
    pub preference: Option<Preference>,
}

/// What a holder that leaves says about itself, and about what follows. Boxed: most records have none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Handover(Box<Fields>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    /// The term that it had. A candidate of client-go, which does not know this, leaves it as it is.
    term: Term,
    /// How long it had been running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uptime_ms: Option<u64>,
    /// Its release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    order: Option<Order>,
    /// The identity of the candidate that is to claim the lease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    successor: Option<Box<str>>,
}

impl Handover {
    /// By the holder of `term`, which leaves `now`.
    pub fn new(term: Term, rank: &Rank, now: BootTime, successor: Option<Box<str>>) -> Self {
        let uptime_ms = u64::try_from(now.since(rank.since).as_millis()).ok();
        Self(Box::new(Fields { term, uptime_ms, order: rank.order, successor }))
    }

    /// Whether the holder of this term wrote it.
    pub fn is_of(&self, term: Term) -> bool {
        self.0.term == term
    }

    /// The candidate that is to claim the lease, if one is named.
    pub fn successor(&self) -> Option<&str> {
        self.0.successor.as_deref()
    }

    /// The text in a record.
    pub fn stored(&self) -> Option<String> {
        serde_json::to_string(self).ok().map(|json| text::ascii_json(&json))
    }

    /// Reads [`stored`](Self::stored) back. None if it is another term's, or makes no sense.
    pub fn from_store(text: &str, term: Term) -> Option<Self> {
        let mut read: Self = serde_json::from_str(text).ok()?;
        if let Some(name) = &mut read.0.successor {
            *name = text::name(name).into();
        }
        Some(read).filter(|read| read.is_of(term))
    }

    fn uptime(&self) -> Duration {
        self.0.uptime_ms.map_or(USUAL_UPTIME, Duration::from_millis)
    }
}

impl Rank {
    /// How long a candidate of this rank leaves the lease to others, from when it first saw the
    /// vacated record.
    pub fn turn(
        &self,
        handover: &Handover,
        identity: &str,
        seen_at: BootTime,
        retry_period: Duration,
    ) -> Duration {
        let alone = match handover.successor() {
            Some(name) if name == identity => return Duration::ZERO,
            Some(_) => FOR_SUCCESSOR + retry_period,
            None => Duration::ZERO,
        };
        let age = age(seen_at.since(self.since), handover.uptime());
        let (release, ages) = match (self.order, handover.0.order) {
            (None | Some(_), None) => (0, AGES_ALONE),
            (Some(own), Some(holder)) if own > holder => (0, AGES),
            (Some(own), Some(holder)) if own == holder => (1, AGES),
            (None | Some(_), Some(_)) => (2, AGES),
        };
        let turn = RELEASES * release + ages.mul_f64(age / OLDEST) + self.not_preferred(age);
        let scale = (retry_period / SHARE).as_secs_f64() / LONGEST.as_secs_f64();
        alone + turn.mul_f64(scale.min(1.0))
    }

    /// How long it waits for candidates that are preferred. Without a preference of its own, this
    /// depends on its age: where no candidate has a preference, the newest does not wait.
    fn not_preferred(&self, age: f64) -> Duration {
        match self.preference {
            Some(Preference(number)) => PREFERENCE * u32::from(Preference::MAX - number),
            None => PREFERENCES.mul_f64(age.min(1.0)),
        }
    }
}

/// The age of a candidate of an older roll-out than the holder's: see [`age`].
const OLDEST: f64 = 1.5;

/// How old a candidate is beside the holder: 0 if it is one of the newest, 1 if they are of the same
/// age, up to [`OLDEST`] if it is older. The logarithm tells 20 seconds from 20 minutes, and those
/// from 3 days, and also two roll-outs that follow each other within minutes.
fn age(uptime: Duration, holder: Duration) -> f64 {
    let holder = holder.max(Duration::from_millis(1));
    let new = holder.div_f64(GENERATION).min(NEW);
    let factor = |longer: Duration, shorter: Duration| longer.div_duration_f64(shorter).ln();
    if uptime <= new {
        0.0
    } else if uptime <= holder {
        factor(uptime, new) / factor(holder, new)
    } else {
        1.0 + (OLDEST - 1.0) * (factor(uptime, holder) / GENERATION.ln()).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRY: Duration = Duration::from_secs(2);
    const MINUTE: u64 = 60;
    const DAY: u64 = 24 * 3600;
    const NOW: BootTime = BootTime::from_duration(Duration::from_secs(400 * DAY));

    /// A candidate that started this many seconds ago.
    fn rank(order: Option<Order>, uptime: u64, preference: Option<u8>) -> Rank {
        let since = BootTime::from_duration(NOW.as_duration() - Duration::from_secs(uptime));
        Rank { order, since, preference: preference.and_then(Preference::new) }
    }

    fn left(order: Option<Order>, uptime: u64) -> Handover {
        Handover::new(Term::new(1), &rank(order, uptime, None), NOW, None)
    }

    fn turn(rank: Rank, handover: &Handover) -> Duration {
        rank.turn(handover, "me", NOW, RETRY)
    }

    /// Each waits for long enough to let the one before claim.
    fn assert_in_order(ranks: &[Rank], handover: &Handover, apart: u64) {
        let turns: Vec<_> = ranks.iter().map(|rank| turn(*rank, handover)).collect();
        for pair in turns.windows(2) {
            assert!(pair[0] + Duration::from_millis(apart) <= pair[1], "{turns:?}");
        }
        assert!(turns.iter().all(|turn| *turn <= LONGEST), "{turns:?}");
    }

    #[test]
    fn the_newest_claims_first_and_at_once() {
        let aged = |uptime| rank(None, uptime, None);
        for holder in [20 * MINUTE, 3 * DAY, 300 * DAY] {
            let ages = [aged(20), aged(20 * MINUTE), aged(3 * DAY)];
            assert_in_order(&ages[..2], &left(None, holder), 45);
            assert_in_order(&ages, &left(None, holder), 35);
            assert_eq!(turn(aged(20), &left(None, holder)), Duration::ZERO);
        }
        // Two roll-outs within minutes: the holder is one of the first, or one of the last, of the
        // one before.
        for holder in [MINUTE, 3 * MINUTE] {
            assert_in_order(&[aged(7), aged(MINUTE)], &left(None, holder), 60);
        }
        // The one that took over in this roll-out leaves in the middle of it.
        assert_in_order(&[aged(10), aged(30), aged(3 * DAY)], &left(None, 40), 20);
    }

    /// From 0 over 1 to [`OLDEST`], by the logarithm.
    #[test]
    fn the_age_grows_with_the_uptime_as_a_part_of_that_of_the_holder() {
        let hours = |hours: f64| Duration::from_secs_f64(hours * 3600.0);
        let beside_a_day = |uptime| age(uptime, hours(24.0));
        let middle = NEW.mul_f64((hours(24.0).div_duration_f64(NEW)).sqrt());
        for (uptime, expected) in [
            (NEW, 0.0),
            (middle, 0.5),
            (hours(24.0), 1.0),
            (hours(24.0).mul_f64(GENERATION.sqrt()), 1.25),
            (hours(24.0).mul_f64(GENERATION), OLDEST),
            (hours(24.0 * 365.0), OLDEST),
        ] {
            let found = beside_a_day(uptime);
            assert!((found - expected).abs() < 1e-6, "{uptime:?}: {found}, and not {expected}");
        }
    }

    #[test]
    fn a_holder_of_unknown_uptime_counts_as_a_day_old() {
        let unknown = Handover::from_store(r#"{"term":1}"#, Term::new(1)).unwrap();
        for uptime in [40, MINUTE, 20 * MINUTE, 3 * DAY] {
            let rank = rank(None, uptime, None);
            assert_eq!(turn(rank, &unknown), turn(rank, &left(None, DAY)), "{uptime} s");
        }
    }

    #[test]
    fn the_highest_order_claims_first_whatever_its_age() {
        for uptime in [1, 20 * MINUTE, 3 * DAY] {
            for preference in [None, Some(0), Some(Preference::MAX)] {
                let of = |order| rank(Some(order), uptime, preference);
                let old = |order| rank(Some(order), 40 * DAY, None);
                let preferred = |order| rank(Some(order), 1, Some(Preference::MAX));
                let holder = left(Some(7), 3 * DAY);
                assert_in_order(&[of(8), preferred(7)], &holder, 10);
                assert_in_order(&[old(7), preferred(6)], &holder, 10);
                assert_in_order(&[of(7), rank(None, 1, None)], &holder, 10);
            }
        }
        // The first release with an order.
        assert_in_order(&[rank(Some(1), 20, None), rank(None, DAY, None)], &left(None, DAY), 60);
    }

    #[test]
    fn the_preferred_of_one_age_claims_first() {
        for uptime in [0, 10, 20 * MINUTE, 3 * DAY] {
            for order in [None, Some(7)] {
                let of = |preference| rank(order, uptime, Some(preference));
                let ranks = [of(3), of(2), of(1), of(0)];
                assert_in_order(&ranks, &left(order, uptime), 20);
                let unset = turn(rank(order, uptime, None), &left(order, uptime));
                assert!(unset <= turn(of(0), &left(order, uptime)));
            }
        }
        let ranks = [rank(None, 20, Some(0)), rank(None, 3 * DAY, Some(Preference::MAX))];
        assert_in_order(&ranks, &left(None, 3 * DAY), 60);
        let at_once = turn(rank(None, 20, Some(Preference::MAX)), &left(None, DAY));
        assert_eq!(at_once, Duration::ZERO);
    }

    #[test]
    fn a_turn_is_short_beside_the_retry_period() {
        let old = rank(Some(1), 300 * DAY, Some(0));
        for ms in [10, 150, 500, 2_000, 60_000] {
            let retry = Duration::from_millis(ms);
            let turn = old.turn(&left(Some(2), DAY), "me", NOW, retry);
            assert!(turn <= LONGEST.min(retry / SHARE), "{retry:?}: {turn:?}");
        }
    }

    #[test]
    fn a_successor_is_waited_for_a_second_and_a_retry_period_longer() {
        let old = rank(None, DAY, None);
        let named = |name: &str| {
            let mut left = left(None, DAY);
            left.0.successor = Some(name.into());
            left
        };
        assert_eq!(turn(old, &named("me")), Duration::ZERO);
        let usual = turn(old, &left(None, DAY));
        assert_eq!(turn(old, &named("other")), FOR_SUCCESSOR + RETRY + usual);
    }

    #[test]
    fn a_handover_is_read_as_written_and_only_of_its_own_term() {
        let whole = Handover(Box::new(Fields {
            term: Term::new(7),
            uptime_ms: Some(5),
            order: Some(3),
            successor: Some("pod \"b\"".into()),
        }));
        let text = whole.stored().unwrap();
        assert_eq!(Handover::from_store(&text, Term::new(7)), Some(whole));
        assert_eq!(Handover::from_store(&text, Term::new(8)), None);
        for nonsense in ["", "7", "{}", "{\"term\":7,\"order\":-1}", "{\"term\":7,\"order\":\"x\"}"]
        {
            assert_eq!(Handover::from_store(nonsense, Term::new(7)), None, "{nonsense}");
        }
        let hostile = "{\"term\":7,\"successor\":\"a\\u001b[2J\"}";
        let read = Handover::from_store(hostile, Term::new(7)).unwrap();
        assert_eq!(read.successor(), Some("a\u{fffd}[2J"));
        // A candidate that knows nothing but its term.
        let bare = Handover::from_store("{\"term\":7}", Term::new(7)).unwrap();
        assert!(turn(rank(None, 300 * DAY, None), &bare) <= LONGEST);
    }
}
