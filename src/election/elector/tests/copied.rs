//! Copies of a process: machines resumed from snapshots, and pauses that the clock did not count: rule
//! `own-name`.

use super::*;
use crate::election::continuity::ServiceTime;
use crate::election::leadership::HolderIs;

const LOST: News = News::Lost { term: Term::new(1), reason: LossReason::Copied };

/// The case of a candidate that was just elected and is copied: it follows its own old record.
fn follows_itself(sign: Sign) -> [News; 3] {
    [News::Copied(sign), LOST, News::Following { holder: "me".to_owned(), term: Term::new(1) }]
}

fn stood_still(seconds: u64) -> Sign {
    Sign::ClockStoodStill { gap: Duration::from_secs(seconds) }
}

impl World {
    /// The service sends its time with an answer that took no time.
    fn service_reports(&mut self, ms: u64) {
        let step = Duration::from_millis(1);
        let since_epoch = Duration::from_millis(ms);
        let reading = ServiceTime { since_epoch, step, sent: self.now, received: self.now };
        self.send(Event::ServiceTime(reading));
    }

    fn incarnation(&self) -> String {
        self.elector.leadership().candidate.incarnation
    }
}

#[test]
fn a_copy_that_is_notified_says_no_at_once_and_waits_for_its_old_lease() {
    let mut world = World::leading();
    world.run_until(4_000);
    world.send(Event::Copied(Sign::VmGeneration));
    assert!(!world.leads());
    assert_eq!(world.take_news(), follows_itself(Sign::VmGeneration));
    assert_eq!(world.incarnation(), "of life 1");
    assert!(world.elector.leadership().draining(world.now).is_none(), "the lease is not its own");
    // The last version was first seen at 4 s.
    world.run_until(18_999);
    assert!(!world.leads());
    assert_eq!(world.stored().holder, Some(candidate("me", "1")), "neither vacated nor written");
    world.run_until(19_100);
    assert!(world.leads());
    assert_eq!(world.stored().holder, Some(candidate("me", "of life 1")));
    assert_eq!(world.stored().term, Term::new(2));
}

#[test]
fn the_own_old_lease_is_no_namesakes_unless_another_process_renews_it() {
    for sign in [Sign::VmGeneration, Sign::OtherClock, stood_still(9)] {
        let mut world = World::leading();
        world.run_until(4_500);
        world.send(Event::Copied(sign));
        assert_eq!(world.holder_is(), Some(HolderIs::EarlierRun), "{sign:?}");
        world.run_until(9_000);
        assert_eq!(world.holder_is(), Some(HolderIs::EarlierRun), "{sign:?}");
        assert_eq!(world.take_news(), follows_itself(sign));
        let renewed = world.stored().clone();
        world.candidate_writes(renewed);
        world.run_until(12_000);
        assert_eq!(world.holder_is(), Some(HolderIs::Namesake), "the other copy is alive");
        let revealed = News::Following { holder: "me".to_owned(), term: Term::new(1) };
        assert_eq!(world.take_news(), [revealed], "{sign:?}");
    }
    let mut world = World::leading();
    world.run_until(4_500);
    let renewed = world.stored().clone();
    world.candidate_writes(renewed);
    world.run_until(7_000);
    assert_eq!(world.take_news()[0], News::Copied(Sign::WrittenInItsName));
    assert_eq!(world.holder_is(), Some(HolderIs::Namesake), "it was seen to write");
}

#[test]
fn a_copy_waits_for_an_original_that_renews_forever() {
    let mut world = World::leading();
    world.send(Event::Copied(Sign::VmGeneration));
    for ms in (2_000..60_000).step_by(2_000) {
        world.run_until(ms);
        let renewed = world.stored().clone();
        world.candidate_writes(renewed);
    }
    assert!(!world.leads());
    assert_eq!(world.stored().holder, Some(candidate("me", "1")));
}

#[test]
fn an_answer_to_an_earlier_request_of_a_copy_gives_it_nothing() {
    let mut world = World::new();
    world.store_answers();
    assert_eq!(world.writes().holder, Some(candidate("me", "1")));
    world.send(Event::Copied(Sign::VmGeneration));
    world.store_answers();
    assert!(!world.leads(), "an acquisition");
    let mut world = World::leading();
    world.wake_at(2_000);
    assert!(!world.looks());
    world.send(Event::Copied(Sign::VmGeneration));
    world.store_answers();
    world.run_until(16_000);
    assert!(!world.leads(), "a renewal");
    assert_eq!(world.renewals.last(), Some(&Renewal::Failed));
    let mut world = World::standby();
    world.wake_at(2_000);
    assert!(world.looks());
    world.remaining = Some(Duration::ZERO);
    world.send(Event::Copied(Sign::VmGeneration));
    world.store_answers();
    assert!(!world.looks() || world.call.is_none(), "a look that shows the end of a lease");
}

#[test]
fn a_boot_clock_that_stood_still_ends_belief_with_the_answer_that_shows_it() {
    let mut world = World::leading();
    for ms in [2_000, 4_000, 6_000] {
        world.run_until(ms);
        world.service_reports(1_000_000 + ms);
    }
    assert!(world.leads());
    // A machine that was paused for a minute.
    world.run_until(8_000);
    world.service_reports(1_000_000 + 8_000 + 60_001);
    assert!(!world.leads());
    assert_eq!(world.take_news(), follows_itself(stood_still(60)));
}

#[test]
fn a_service_clock_that_is_slewed_or_set_back_ends_no_leadership() {
    let mut world = World::leading();
    for ms in (2_000..200_000).step_by(2_000) {
        world.run_until(ms);
        let slewed = if ms < 100_000 { ms + ms / 20 } else { ms - 50_000 };
        world.service_reports(1_000_000 + slewed);
    }
    assert!(world.leads());
    assert_eq!(world.take_news(), []);
}

#[test]
fn a_copy_finds_its_original_in_the_record() {
    let mut original = World::leading();
    let mut copy = original.elector.clone();
    original.run_until(2_000);
    // Resumed within the lease; neither a clock nor the kernel shows it.
    std::mem::swap(&mut original.elector, &mut copy);
    let mut resumed = original;
    resumed.news.clear();
    resumed.now = at(2_100);
    resumed.send(Event::Wake);
    assert!(resumed.leads(), "nothing has told it yet");
    assert_eq!(resumed.writes().holder, Some(candidate("me", "1")));
    resumed.store_answers();
    assert!(!resumed.leads());
    assert_eq!(resumed.take_news(), follows_itself(Sign::WrittenInItsName));
    assert_eq!(resumed.stored().holder, Some(candidate("me", "1")), "its original's");
}

#[test]
fn an_original_finds_its_copy_in_the_record() {
    let mut world = World::leading();
    // The copy wrote first, and even in a later term.
    for term in [1, 2] {
        let renew_time = WallTime::from_unix(Duration::from_secs(1));
        let copied = LeaseRecord { term: Term::new(term), renew_time, ..world.stored().clone() };
        world.candidate_writes(copied);
        world.run_until(2_000);
        assert!(!world.leads());
        assert!(world.take_news().contains(&News::Copied(Sign::WrittenInItsName)), "{term}");
        world = World::leading();
    }
}

#[test]
fn a_standby_finds_the_record_of_a_leader_that_is_its_copy() {
    let mut world = World::standby();
    world.candidate_writes(held_by(candidate("me", "1"), 6));
    world.run_until(2_000);
    assert_eq!(world.take_news()[0], News::Copied(Sign::WrittenInItsName));
    world.run_until(14_999);
    assert!(!world.leads(), "the record is not its own");
}

#[test]
fn own_writes_whose_answers_got_lost_are_no_copies() {
    let mut world = World::leading();
    for _ in 0..20 {
        // A renewal that is applied unanswered, a read that shows it, and a renewal after that.
        world.run_until_request();
        world.answer_is_lost();
        world.run_until_request();
        assert!(world.looks());
        world.store_answers();
        world.run_until_request();
        world.store_answers();
    }
    assert!(world.leads());
    assert_eq!((world.lives, world.take_news()), (0, vec![]));
}

#[test]
fn a_write_that_was_lost_and_made_again_explains_no_later_one() {
    let mut world = World::leading();
    world.run_until_request();
    world.request_is_lost();
    world.run_until(6_000);
    assert!(world.leads());
    let copied = world.stored().clone();
    world.candidate_writes(copied);
    world.run_until(8_000);
    assert!(world.take_news().contains(&News::Copied(Sign::WrittenInItsName)));
}

#[test]
fn an_own_write_that_refuses_its_own_repetition_is_no_copy() {
    let mut world = World::leading();
    world.run_until(10);
    world.wake_at(2_000);
    // The write is applied, and the request is repeated on its way.
    let _won = world.apply();
    let shown = world.show();
    world.send(Event::Swapped(Ok(Swapped::Lost(shown))));
    world.run_until(3_000);
    assert!(world.leads());
    assert_eq!((world.lives, world.take_news()), (0, vec![]));
}

#[test]
fn an_own_record_out_of_a_backup_or_a_fail_over_is_no_copy() {
    let mut world = World::leading();
    let own = world.stored().clone();
    world.candidate_writes(own);
    if let Some(record) = &mut world.record {
        record.outlived = true;
    }
    world.run_until(4_000);
    assert_eq!(world.lives, 0);
    assert!(world.leads() && world.take_news().is_empty(), "nothing freed it");
}

#[test]
fn work_of_a_copy_is_not_vacated_under() {
    let mut world = World::leading();
    world.send(Event::Work { under_way: true });
    world.send(Event::Copied(Sign::VmGeneration));
    world.send(Event::Work { under_way: false });
    world.run_until(3_000);
    assert_eq!(world.stored().holder, Some(candidate("me", "1")));
}

#[test]
fn a_copy_that_shuts_down_leaves_the_record_alone() {
    let mut world = World::leading();
    world.send(Event::Copied(Sign::VmGeneration));
    world.send(Event::Shutdown { give_up_at: at(60_000) });
    assert!(world.finished, "there is nothing to free");
    assert_eq!(world.stored().holder, Some(candidate("me", "1")));
}

#[test]
fn each_sign_says_what_was_seen_and_for_how_long_the_clock_stood_still() {
    let gap = Duration::from_secs(7);
    let signs = [
        (Sign::VmGeneration, "snapshot", None),
        (Sign::OtherClock, "on another boot", None),
        (Sign::ClockStoodStill { gap }, "stood still", Some(gap)),
        (Sign::WrittenInItsName, "another process", None),
    ];
    for (sign, text, gap) in signs {
        assert!(sign.as_str().contains(text), "{}", sign.as_str());
        assert_eq!(sign.gap(), gap);
    }
}

#[test]
fn a_copy_does_not_call_in_step_with_its_original() {
    let retries_at = |lives| {
        let mut world = World::leading();
        world.lives = lives;
        world.send(Event::Copied(Sign::VmGeneration));
        world.run_until_request();
        world.request_is_lost();
        world.run_until_request()
    };
    assert_ne!(retries_at(0), retries_at(1));
}
