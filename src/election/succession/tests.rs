//! Which cause each change of the leadership has, by what was known before it.

use super::*;
use crate::election::lease::{LeaseRecord, Version};
use crate::election::time::WallTime;
use crate::election::timing::Timing;
use std::time::Duration;

const LEASE: Duration = Duration::from_secs(15);

fn at(seconds: u64) -> BootTime {
    BootTime::from_duration(Duration::from_secs(seconds))
}

/// When the store answers in these tests.
const NOW: u64 = 10;

/// Since when there was no leader, as far as was known.
const SINCE: u64 = 5;

fn candidate(identity: &str) -> Candidate {
    Candidate { identity: identity.to_owned(), incarnation: "1".to_owned() }
}

fn record(holder: Option<&str>, term: u64) -> Option<Record> {
    Some(Record { holder: holder.map(candidate), term: Term::new(term) })
}

/// The lease could not be over yet, and its holder could still renew it.
fn before(cause: Cause) -> Before {
    Before {
        me: candidate("me"),
        leads: false,
        change: Change::at(cause, at(SINCE)),
        rival_live_until: None,
        renewed: Some(at(4)),
        not_over_before: at(NOW + 1),
        given_up: false,
    }
}

fn watch(record: Option<&Record>, seen_at: u64) -> Watch {
    let mut watch = Watch::default();
    let observed = record.map(|seen| Observed {
        record: LeaseRecord {
            holder: seen.holder.clone(),
            term: seen.term,
            ..LeaseRecord::without_holder(LEASE, WallTime::EPOCH)
        },
        version: Version::new("v"),
        remaining: None,
        outlived: false,
    });
    watch.saw(observed, at(seen_at), at(seen_at));
    watch
}

/// The change that follows when the record `seen` becomes `next`.
fn change(
    before: &Before,
    freed: bool,
    (seen, next): (Option<Record>, Option<Record>),
    leads: bool,
) -> Change {
    let last = Some(Change::at(Cause::Found, at(1)));
    let mut succession = Succession { seen: Some(seen), last, freed };
    succession.follow(before, &watch(next.as_ref(), NOW), leads, at(NOW));
    succession.last()
}

const STOPPED: Cause = Cause::Stopped(LossReason::RenewDeadline);

#[test]
fn a_term_that_this_candidate_won_followed_what_it_had_seen() {
    let won =
        |before, freed| change(&before, freed, (record(None, 7), record(Some("me"), 8)), true);
    for (was, freed, cause) in [
        (Cause::NoRecord, false, Cause::First),
        (Cause::Vacated, false, Cause::HandedOver),
        (STOPPED, true, Cause::HandedOver),
        (STOPPED, false, Cause::LeaseRanOut),
        (Cause::LeaseRanOut, false, Cause::LeaseRanOut),
        (Cause::RecordLost, false, Cause::RecordLost),
        (Cause::StoreSilent, false, Cause::Unseen),
    ] {
        assert_eq!(won(before(was), freed), Change::at(cause, at(SINCE)), "{was:?} {freed}");
    }
}

#[test]
fn a_term_that_another_candidate_won_has_a_cause_only_if_it_was_seen() {
    let taken = |before: &Before, freed, term| {
        change(before, freed, (record(Some("a"), 7), record(Some("b"), term)), false)
    };
    let over = |cause| Before { not_over_before: at(NOW), ..before(cause) };
    let unseen = Change { cause: Cause::Unseen, since: None };
    for (was, freed, cause) in [
        (before(Cause::StoreSilent), false, Cause::Unseen),
        (before(Cause::RecordLost), false, Cause::RecordLost),
        (before(Cause::NoRecord), false, Cause::First),
        (before(Cause::Vacated), false, Cause::HandedOver),
        (before(Cause::LeaseRanOut), false, Cause::LeaseRanOut),
        (before(STOPPED), false, Cause::HandedOver),
        (over(STOPPED), true, Cause::HandedOver),
        (over(STOPPED), false, Cause::LeaseRanOut),
    ] {
        assert_eq!(taken(&was, freed, 8), Change::at(cause, at(SINCE)), "{was:?} {freed}");
    }
    let handed_over = Change { cause: Cause::HandedOver, since: None };
    assert_eq!(taken(&before(Cause::Found), false, 8), handed_over, "it led until now");
    assert_eq!(taken(&over(Cause::Found), false, 8), unseen);
    let given_up = Before { given_up: true, ..over(Cause::Found) };
    assert_eq!(taken(&given_up, false, 8), Change::at(Cause::LeaseRanOut, at(4)));
    // Others led in between, or this candidate did.
    assert_eq!(taken(&before(Cause::Vacated), false, 9), unseen);
    let led = Before { leads: true, ..before(Cause::Found) };
    assert_eq!(taken(&led, false, 8), unseen);
    // The store has lost what was seen before, but not that this was known.
    assert_eq!(taken(&before(Cause::StoreSilent), false, 9).cause, Cause::Unseen);
    assert_eq!(taken(&before(Cause::StoreSilent), false, 9).since, Some(at(SINCE)));
    assert_eq!(taken(&before(Cause::RecordLost), false, 9).cause, Cause::RecordLost);
}

#[test]
fn a_record_without_a_holder_was_vacated_unless_the_store_went_back() {
    let vacated = |was, seen, term| {
        change(&before(was), false, (record(Some("a"), seen), record(None, term)), false)
    };
    assert_eq!(vacated(Cause::Found, 7, 7), Change::at(Cause::Vacated, at(NOW)));
    assert_eq!(vacated(Cause::Found, 7, 8), Change::at(Cause::Vacated, at(NOW)), "in between");
    assert_eq!(vacated(Cause::Found, 9, 7), Change::at(Cause::RecordLost, at(NOW)));
    let unknown = Change { cause: Cause::Vacated, since: None };
    assert_eq!(vacated(Cause::StoreSilent, 7, 7), unknown, "nothing says when");
    let stopped = Change::at(Cause::Found, at(1));
    assert_eq!(vacated(STOPPED, 7, 7), stopped, "its own end is the cause");
    let paused = change(&before(Cause::NoRecord), false, (None, record(None, 0)), false);
    assert_eq!(paused, stopped, "an operator paused an election without any leader");
}

#[test]
fn a_record_that_went_back_or_vanished_was_lost() {
    let lost = Change::at(Cause::RecordLost, at(NOW));
    let found = before(Cause::Found);
    assert_eq!(change(&found, false, (record(Some("a"), 7), None), false), lost);
    for term in [6, 7] {
        let records = (record(Some("a"), 7), record(Some("b"), term));
        assert_eq!(change(&found, false, records, false), lost, "{term}");
    }
}

#[test]
fn an_own_record_that_is_not_believed_in_changes_nothing() {
    let records = (record(None, 7), record(Some("me"), 8));
    let before = before(Cause::Vacated);
    assert_eq!(change(&before, false, records, false), before.change);
}

#[test]
fn the_same_leader_after_a_silence_is_known_again() {
    let same = || (record(Some("a"), 7), record(Some("a"), 7));
    let silent = Before { rival_live_until: Some(at(NOW)), ..before(Cause::StoreSilent) };
    assert_eq!(change(&silent, false, same(), false), Change::at(Cause::KnownAgain, at(NOW)));
    let live = Before { rival_live_until: Some(at(NOW + 1)), ..before(Cause::Found) };
    let unchanged = Change::at(Cause::Found, at(1));
    assert_eq!(change(&live, false, same(), false), unchanged);
    let own = || (record(Some("me"), 7), record(Some("me"), 7));
    assert_eq!(change(&silent, false, own(), true), unchanged, "a renewal of this candidate");
}

#[test]
fn a_leader_whose_lease_is_over_again_is_not_known_again() {
    let silent = Before { rival_live_until: Some(at(105)), ..before(Cause::StoreSilent) };
    let seen = watch(record(Some("a"), 7).as_ref(), 100);
    let again = Some(Change::at(Cause::KnownAgain, at(105)));
    assert_eq!(renewed(&silent, &seen, at(100 + LEASE.as_secs() - 1)), again);
    assert_eq!(renewed(&silent, &seen, at(100 + LEASE.as_secs())), None);
}

#[test]
fn a_holder_has_given_up_if_the_store_still_shows_its_write_after_its_longest_belief() {
    let given_up = |watch: &Watch, answered: u64| {
        let view = Leadership {
            store_answered: Some(at(answered)),
            ..Leadership::unknown(candidate("me"), Timing::default())
        };
        Before::of(&view, watch, at(answered)).given_up
    };
    let held = watch(record(Some("a"), 7).as_ref(), 100);
    assert!(!given_up(&held, 101));
    assert!(given_up(&held, 100 + LEASE.as_secs()));
    assert!(!given_up(&Watch::default(), 100 + LEASE.as_secs()), "before the first look");
}
