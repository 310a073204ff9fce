//! When a lease is over, from what was seen of it.

use super::*;
use crate::election::lease::Listeners;
use crate::election::time::WallTime;

const LEASE: Duration = Duration::from_secs(15);

fn at(seconds: u64) -> BootTime {
    BootTime::from_duration(Duration::from_secs(seconds))
}

fn me() -> Candidate {
    Candidate { identity: "me".to_owned(), incarnation: "1".to_owned() }
}

fn held(version: &str, term: u64, remaining: Option<u64>) -> Option<Observed> {
    let holder = Candidate { identity: "other".to_owned(), incarnation: "9".to_owned() };
    // Each version is another write.
    let writing = version.bytes().map(u64::from).sum();
    Some(Observed {
        record: LeaseRecord {
            holder: Some(holder),
            term: Term::new(term),
            lease_duration: LEASE,
            acquire_time: WallTime::EPOCH,
            renew_time: WallTime::from_unix(Duration::from_secs(writing)),
            payload: None,
            origin: None,
            holder_url: None,
            pause: None,
            handover: None,
        },
        version: Version::new(version),
        remaining: remaining.map(Duration::from_secs),
        outlived: false,
    })
}

fn vacated(version: &str, term: u64) -> Option<Observed> {
    let mut observed = held(version, term, None)?;
    observed.record.holder = None;
    Some(observed)
}

#[test]
fn without_a_store_clock_a_lease_is_watched_from_the_first_answer() {
    let mut watch = Watch::default();
    watch.saw(held("a", 1, None), at(100), at(101));
    watch.saw(held("a", 1, None), at(110), at(111));
    assert_eq!(watch.over_at(&me()), Some(at(116)));
    watch.saw(held("b", 1, None), at(115), at(115));
    assert_eq!(watch.over_at(&me()), Some(at(130)));
}

#[test]
fn a_store_clock_shortens_the_first_wait_to_nothing() {
    let mut watch = Watch::default();
    watch.saw(held("a", 1, Some(0)), at(100), at(101));
    assert_eq!(watch.over_at(&me()), Some(at(101)));
    let mut watch = Watch::default();
    watch.saw(held("a", 1, Some(4)), at(100), at(101));
    assert_eq!(watch.over_at(&me()), Some(at(105)));
}

#[test]
fn a_store_clock_that_jumped_does_not_evict_a_holder_seen_alive() {
    let mut watch = Watch::default();
    watch.saw(held("a", 1, Some(14)), at(100), at(100));
    watch.saw(held("b", 1, Some(0)), at(102), at(102));
    assert_eq!(watch.over_at(&me()), Some(at(115)));
}

#[test]
fn a_store_clock_that_jumped_does_not_evict_a_holder_that_was_looked_at_seldom() {
    let mut watch = Watch::default();
    watch.saw(held("a", 1, Some(14)), at(100), at(100));
    watch.saw(held("b", 1, Some(0)), at(113), at(114));
    let over_at = watch.over_at(&me()).unwrap();
    assert!(over_at > at(114 + 12), "it may have renewed at 113 and believes for 12 s");
    assert!(over_at < at(114 + 13));
}

#[test]
fn a_store_clock_never_makes_a_lease_longer_than_watching_it() {
    let mut watch = Watch::default();
    watch.saw(held("a", 1, Some(900)), at(100), at(100));
    assert_eq!(watch.over_at(&me()), Some(at(115)));
}

#[test]
fn a_vacated_lease_is_over_at_once() {
    let mut watch = Watch::default();
    watch.saw(held("a", 1, Some(15)), at(100), at(100));
    watch.saw(vacated("b", 1), at(102), at(102));
    assert!(watch.over_at(&me()).unwrap() <= at(102));
}

#[test]
fn a_term_that_went_backwards_is_reported_and_watched_for_a_lease() {
    for restored in [vacated("old", 3), held("old", 3, Some(0))] {
        let mut watch = Watch::default();
        watch.saw(held("a", 7, Some(15)), at(100), at(100));
        assert_eq!(watch.saw(restored, at(102), at(103)), Some(Term::new(7)));
        assert_eq!(watch.over_at(&me()), Some(at(118)));
        assert_eq!(watch.next_term(), Term::new(8));
    }
}

#[test]
fn a_record_that_outlived_a_fail_over_is_watched_again_and_its_term_jumps() {
    let outlived = |mut observed: Observed| {
        observed.outlived = true;
        observed.version = Version::new("a, after the fail-over");
        Some(observed)
    };
    let mut own = held("a", 7, Some(0)).unwrap();
    own.record.holder = Some(me());
    for record in [held("a", 7, Some(0)).unwrap(), vacated("a", 7).unwrap(), own] {
        for seen_before in [true, false] {
            let mut watch = Watch::default();
            if seen_before {
                watch.saw(Some(record.clone()), at(90), at(90));
            }
            watch.saw(outlived(record.clone()), at(100), at(101));
            watch.saw(outlived(record.clone()), at(110), at(111));
            assert_eq!(watch.over_at(&me()), Some(at(116)));
            assert_eq!(watch.next_term(), Term::new(7).after(TERM_JUMP));
            watch.saw(held("b", 8, Some(15)), at(112), at(112));
            assert_eq!(watch.next_term(), Term::new(9));
        }
    }
}

#[test]
fn a_backup_that_names_this_candidate_proves_nothing_either() {
    let mut watch = Watch::default();
    watch.saw(held("a", 7, Some(15)), at(100), at(100));
    let mut restored = held("old", 3, Some(15)).unwrap();
    restored.record.holder = Some(me());
    watch.saw(Some(restored), at(102), at(102));
    assert_eq!(watch.over_at(&me()), Some(at(117)));
}

#[test]
fn a_record_that_vanished_leaves_its_holder_a_lease() {
    let mut watch = Watch::default();
    assert_eq!(watch.over_at(&me()), None);
    watch.saw(None, at(100), at(100));
    assert_eq!(watch.over_at(&me()), Some(BootTime::ZERO));
    watch.saw(held("a", 7, None), at(101), at(101));
    watch.saw(None, at(104), at(105));
    assert_eq!(watch.over_at(&me()), Some(at(105) + LEASE), "it may have renewed at 104");
    assert_eq!(watch.next_term(), Term::new(8));
}

#[test]
fn a_restored_record_with_a_short_lease_does_not_shorten_the_wait_for_the_lost_holder() {
    let mut watch = Watch::default();
    watch.saw(held("a", 7, None), at(100), at(100));
    let mut restored = held("old", 3, None).unwrap();
    restored.record.lease_duration = Duration::from_secs(5);
    watch.saw(Some(restored.clone()), at(102), at(102));
    assert_eq!(watch.over_at(&me()), Some(at(117)));
    assert_eq!(watch.live_until(&me()), Some(at(107)));
    restored.version = Version::new("renewed");
    watch.saw(Some(restored), at(103), at(103));
    assert_eq!(watch.over_at(&me()), Some(at(117)), "nor does another candidate that renews it");
}

#[test]
fn an_own_late_write_in_place_of_a_lost_record_proves_nothing() {
    let mut own = held("b", 7, None).unwrap();
    own.record.holder = Some(me());
    for vanishing_was_seen in [true, false] {
        let mut watch = Watch::default();
        watch.saw(held("a", 7, None), at(100), at(100));
        if vanishing_was_seen {
            watch.saw(None, at(102), at(102));
        }
        watch.saw(Some(own.clone()), at(103), at(103));
        assert!(watch.over_at(&me()).unwrap() >= at(117), "{vanishing_was_seen}");
    }
}

#[test]
fn the_own_record_is_never_waited_for() {
    let mut watch = Watch::default();
    let mut own = held("a", 7, None).unwrap();
    own.record.holder = Some(me());
    watch.saw(Some(own), at(100), at(100));
    assert!(watch.over_at(&me()).unwrap() <= at(100));
    let restarted = Candidate { incarnation: "2".to_owned(), ..me() };
    assert_eq!(watch.over_at(&restarted), Some(at(115)));
}

fn written(watch: &Watch) -> (Option<BootTime>, BootTime, bool) {
    let Written { after, by, is_close } = watch.written().unwrap();
    (after, by, is_close)
}

#[test]
fn the_time_of_a_write_is_known_from_looks_or_from_the_clock_of_the_store() {
    let mut watch = Watch::default();
    watch.saw(held("a", 1, None), at(100), at(101));
    assert_eq!(written(&watch), (None, at(101), false), "of an unknown age");
    watch.saw(held("b", 1, None), at(103), at(104));
    assert_eq!(written(&watch), (Some(at(100)), at(104), true));
    let mut watch = Watch::default();
    watch.saw(held("a", 1, Some(4)), at(100), at(101));
    assert_eq!(written(&watch), (None, at(90), true), "eleven seconds of fifteen are gone");
    let mut watch = Watch::default();
    for second in [101, 105] {
        watch.saw(held("a", 1, Some(0)), at(second), at(second));
        assert_eq!(written(&watch), (None, at(86), false), "at least a lease old");
    }
}

#[test]
fn a_store_clock_that_jumped_makes_no_write_older_than_the_look_before_it() {
    let mut watch = Watch::default();
    watch.saw(held("a", 1, Some(14)), at(100), at(100));
    watch.saw(held("b", 1, Some(0)), at(102), at(102));
    assert_eq!(written(&watch), (Some(at(100)), at(100), true));
}

fn hear(watch: &mut Watch, term: u64) -> bool {
    let version = Version::new("freed");
    watch.vacated(Vacated { term: Term::new(term), version, handover: None }, at(3))
}

#[test]
fn news_of_a_vacated_lease_ends_the_term_that_is_held_and_no_other() {
    let mut watch = Watch::default();
    assert!(!hear(&mut watch, 4), "nothing was seen yet");
    watch.saw(held("a", 4, Some(9)), at(1), at(2));
    assert!(!hear(&mut watch, 3), "old news");
    assert!(!hear(&mut watch, 5), "a term that was not seen takes a look");
    assert_eq!(watch.over_at(&me()), Some(at(11)));
    assert!(hear(&mut watch, 4));
    assert_eq!(watch.over_at(&me()), Some(BootTime::ZERO));
    let seen = watch.observed().unwrap();
    assert_eq!((&seen.record.holder, &seen.version), (&None, &Version::new("freed")));
    assert!(!hear(&mut watch, 4), "the same news again");
    watch.saw(held("b", 5, Some(15)), at(4), at(5));
    assert!(!hear(&mut watch, 4), "late news");
}

#[test]
fn news_of_a_vacated_lease_proves_nothing_where_the_store_lost_writes() {
    let mut watch = Watch::default();
    watch.saw(held("a", 9, None), at(1), at(1));
    watch.saw(held("b", 4, None), at(2), at(2));
    assert!(!hear(&mut watch, 4), "a term that went backwards");
    assert_eq!(watch.over_at(&me()), Some(at(17)));
    let outlived = held("c", 9, None).map(|o| Observed { outlived: true, ..o });
    watch.saw(outlived, at(20), at(20));
    assert!(!hear(&mut watch, 9));
}

fn announce(watch: &mut Watch, version: &str, term: u64, second: u64) -> bool {
    let news = Renewed {
        term: Term::new(term),
        version: Version::new(version),
        listeners: Listeners::Unknown,
    };
    let renews = watch.announced(&news);
    if renews {
        watch.sights_announced(at(second));
    }
    renews
}

#[test]
fn an_announced_renewal_counts_from_when_it_was_received() {
    let mut watch = Watch::default();
    assert!(!announce(&mut watch, "a", 1, 1), "nothing was seen yet");
    // What the store's clock leaves of a lease is nothing to the next write.
    watch.saw(held("a", 1, Some(2)), at(1), at(2));
    assert_eq!(watch.pushes(), Pushes::NotProven);
    assert!(announce(&mut watch, "b", 1, 4));
    assert_eq!((watch.over_at(&me()), watch.pushes()), (Some(at(19)), Pushes::Proven));
    assert_eq!(written(&watch), (Some(at(1)), at(4), true));
    // The look that shows it later does not make the wait longer.
    let next = held("b", 1, Some(9)).unwrap();
    assert_eq!(watch.was_announced(&next), Some(true));
    watch.saw(Some(next), at(9), at(10));
    assert_eq!((watch.over_at(&me()), watch.pushes()), (Some(at(19)), Pushes::Proven));
    assert_eq!(written(&watch), (Some(at(1)), at(4), true));
}

#[test]
fn a_look_received_with_the_announcement_shows_when_it_was_written() {
    let mut watch = Watch::default();
    watch.saw(held("a", 1, Some(15)), at(1), at(1));
    assert!(announce(&mut watch, "b", 1, 10));
    watch.saw(held("b", 1, Some(9)), at(9), at(10));
    assert_eq!(written(&watch), (Some(at(1)), at(4), true), "six seconds of fifteen are gone");
}

#[test]
fn an_announcement_that_does_not_follow_from_what_was_seen_is_not_counted() {
    let mut watch = Watch::default();
    watch.saw(held("a", 9, None), at(1), at(1));
    assert!(!announce(&mut watch, "b", 8, 2) && !announce(&mut watch, "b", 10, 2));
    watch.saw(held("c", 4, None), at(3), at(3));
    assert!(!announce(&mut watch, "d", 4, 4), "the term went backwards");
    let outlived = held("e", 9, None).map(|o| Observed { outlived: true, ..o });
    watch.saw(outlived, at(20), at(20));
    assert!(!announce(&mut watch, "f", 9, 21), "the store lost writes");
    watch.saw(vacated("g", 9), at(40), at(40));
    assert!(!announce(&mut watch, "h", 9, 41), "its lease was vacated");
}

#[test]
fn what_an_announced_version_hid_is_judged_by_the_look() {
    for lost in
        [held("b", 4, Some(0)), held("b", 9, Some(0)).map(|o| Observed { outlived: true, ..o })]
    {
        let mut watch = Watch::default();
        watch.saw(held("a", 9, Some(15)), at(1), at(1));
        assert!(announce(&mut watch, "b", 9, 2));
        watch.saw(lost, at(3), at(3));
        assert_eq!(watch.over_at(&me()), Some(at(18)), "the store lost writes");
    }
    let mut watch = Watch::default();
    watch.saw(held("a", 9, None), at(1), at(1));
    assert!(announce(&mut watch, "b", 9, 2));
    watch.saw(held("b", 12, None), at(3), at(3));
    assert_eq!(watch.next_term(), Term::new(13));
}

#[test]
fn two_looks_at_one_version_disprove_what_was_announced_between_them() {
    let mut watch = Watch::default();
    watch.saw(held("a", 1, None), at(1), at(1));
    for second in 2..12 {
        assert!(announce(&mut watch, "none", 1, second) && announce(&mut watch, "a", 1, second));
    }
    let again = held("a", 1, None).unwrap();
    assert_eq!(watch.was_announced(&again), Some(false));
    watch.saw(Some(again.clone()), at(12), at(12));
    assert_eq!(watch.over_at(&me()), Some(at(16)));
    assert_eq!(watch.was_announced(&again), None, "nothing was announced since");
}

#[test]
fn a_vacated_term_that_is_held_again_shows_that_the_store_lost_writes() {
    let mut watch = Watch::default();
    watch.saw(held("a", 7, Some(15)), at(100), at(100));
    watch.saw(vacated("b", 7), at(102), at(102));
    watch.saw(held("old", 7, Some(0)), at(110), at(111));
    assert_eq!(watch.over_at(&me()), Some(at(126)));
}
