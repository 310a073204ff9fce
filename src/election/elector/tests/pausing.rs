//! A pause of the election: seen, obeyed, and over.

use super::*;
use crate::election::change::Cause;
use crate::election::leadership::HolderIs;
use crate::election::pause::Pause;

const MINUTE: u64 = 60_000;

fn paused(world: &World, lasts: Option<u64>) -> Pause {
    let since = WallTime::from_unix(world.now.as_duration());
    Pause::new(since, lasts.map(Duration::from_millis), "new disks".parse().ok())
}

impl World {
    /// An operator writes a pause, or takes it away.
    fn operator_writes(&mut self, pause: Option<Pause>) {
        let record = LeaseRecord { pause, ..self.stored().clone() };
        self.stores(record);
    }

    fn pause(&mut self, lasts: Option<u64>) -> Pause {
        let pause = paused(self, lasts);
        self.operator_writes(Some(pause.clone()));
        pause
    }
}

const LOST: News = News::Lost { term: Term::new(1), reason: LossReason::Paused };
const VACATED: News = News::Vacated { term: Term::new(1), successor: None };

#[test]
fn a_leader_steps_down_when_its_renewal_finds_the_pause_and_stands_when_resumed() {
    let mut world = World::leading();
    world.run_until(3_000);
    let pause = world.pause(None);
    world.run_until(3_999);
    assert!(world.leads());
    world.run_until(4_000);
    assert!(!world.leads());
    assert_eq!(world.take_news(), [LOST, News::Paused(pause.clone()), VACATED]);
    assert_eq!((&world.stored().holder, world.stored().term), (&None, Term::new(1)));
    assert_eq!(world.stored().pause, Some(pause), "vacating keeps the pause");
    world.run_until(10 * MINUTE);
    assert_eq!(world.take_news(), []);
    let view = world.elector.leadership();
    assert_eq!(view.decided(world.now), Ok(()), "no leader is what was ordered");
    assert_eq!(view.standing_down(world.now), Some(StandingDown::Paused { until: None }));
    assert_eq!(view.candidate.incarnation, "1", "an operator's write is no double");
    world.operator_writes(None);
    world.run_until(10 * MINUTE + 2_100);
    assert_eq!(world.take_news(), [News::Resumed, News::Elected { term: Term::new(2) }]);
}

#[test]
fn a_hint_ends_the_leadership_at_once() {
    let mut world = World::leading();
    world.run_until(3_000);
    world.pause(Some(MINUTE));
    world.send(Event::Changed);
    world.store_answers();
    assert!(!world.leads());
    assert_eq!(world.writes().holder, None);
}

#[test]
fn work_ends_before_the_record_of_a_paused_election_is_vacated() {
    let mut world = World::leading();
    world.send(Event::Work { under_way: true });
    let pause = world.pause(None);
    world.run_until(9_000);
    assert!(!world.leads());
    assert!(world.stored().is_held_by(&candidate("me", "1")), "the lease is kept for the work");
    assert_eq!(world.stored().pause, Some(pause.clone()), "renewals keep the pause");
    // Resumed while it drains: the term is over all the same.
    world.operator_writes(None);
    world.run_until(11_000);
    assert!(!world.leads());
    world.send(Event::Work { under_way: false });
    world.run_until(12_100);
    let elected = News::Elected { term: Term::new(2) };
    assert_eq!(world.take_news(), [LOST, News::Paused(pause), News::Resumed, VACATED, elected]);
}

#[test]
fn a_pause_ends_by_its_own_duration_and_the_next_claim_takes_it_away() {
    let mut world = World::leading();
    world.run_until(3_000);
    world.pause(Some(MINUTE));
    world.run_until(62_900);
    assert!(!world.leads());
    let view = world.elector.leadership();
    assert!(view.paused(world.now).is_some());
    assert!(view.paused(at(64_100)).is_none() && view.standing_down(at(64_100)).is_none());
    assert!(view.decays_at(world.now).is_some_and(|at_| at_ <= at(64_100)));
    world.run_until(64_100);
    assert!(world.leads());
    assert_eq!((&world.stored().pause, world.stored().term), (&None, Term::new(2)));
}

#[test]
fn a_claim_that_meets_a_pause_is_refused_and_not_repeated() {
    let mut world = World::on(Some(vacated(5)));
    world.store_answers();
    assert_eq!(world.writes().term, Term::new(6));
    world.pause(None);
    world.store_answers();
    world.run_until(MINUTE);
    assert_eq!((&world.stored().holder, world.stored().term), (&None, Term::new(5)));
    assert!(world.calls[2..].iter().all(|(_, call)| matches!(call, Call::Observe { .. })));
}

#[test]
fn a_claim_whose_answer_is_lost_before_a_pause_is_vacated() {
    let mut world = World::on(Some(vacated(5)));
    world.store_answers();
    world.answer_is_lost();
    assert_eq!(world.stored().term, Term::new(6));
    world.pause(None);
    world.run_until(MINUTE);
    assert_eq!((&world.stored().holder, world.stored().term), (&None, Term::new(6)));
    assert!(world.stored().pause.is_some());
    assert!(!world.news.iter().any(|news| matches!(news, News::Elected { .. })));
}

#[test]
fn a_short_pause_lasts_from_when_it_was_seen() {
    let mut world = World::leading();
    world.run_until(2_100);
    world.pause(Some(500));
    world.run_until(4_400);
    assert!(!world.leads());
    world.run_until(4_600);
    assert!(world.leads());
    assert_eq!((&world.stored().pause, world.stored().term), (&None, Term::new(2)));
}

#[test]
fn renewals_for_work_do_not_prolong_a_pause() {
    let mut world = World::leading();
    world.send(Event::Work { under_way: true });
    world.run_until(3_000);
    world.pause(Some(10_000));
    world.run_until(13_900);
    assert!(world.elector.leadership().paused(world.now).is_some());
    world.run_until(14_100);
    assert!(world.elector.leadership().paused(world.now).is_none());
    assert!(!world.leads(), "the term is over all the same");
    world.send(Event::Work { under_way: false });
    world.run_until(16_100);
    assert!(world.leads());
    assert_eq!(world.stored().term, Term::new(2));
}

#[test]
fn a_candidate_that_starts_in_a_pause_waits_for_all_of_it_whatever_the_wall_clock_says() {
    for skew in [0, 3_600_000, -3_600_000] {
        let since = 1_000_000_000_u64;
        let wall =
            |ms: i64| WallTime::from_unix(Duration::from_millis(since.strict_add_signed(ms)));
        let pause = Pause::new(wall(0), Some(Duration::from_millis(MINUTE)), None);
        let mut world = World::on(Some(LeaseRecord { pause: Some(pause), ..vacated(5) }));
        world.wall = Some(wall(20_000 + skew));
        world.run_until(MINUTE - 1);
        assert!(!world.leads(), "{skew}");
        world.run_until(MINUTE + 100);
        assert!(world.leads(), "{skew}");
    }
}

#[test]
fn a_pause_that_is_resumed_between_two_looks_is_no_sign_of_a_double() {
    let mut world = World::leading();
    world.run_until(2_100);
    world.pause(None);
    world.operator_writes(None);
    world.run_until(4_100);
    assert!(world.leads(), "nothing is left to obey");
    assert_eq!(world.take_news(), []);
    // A renewal by another process in its name shows in the time, also beside a pause.
    let renew_time = WallTime::from_unix(Duration::from_secs(77));
    world.pause(None);
    let doubled = LeaseRecord { renew_time, ..world.stored().clone() };
    world.candidate_writes(doubled);
    world.run_until(6_100);
    assert!(matches!(world.take_news()[0], News::Copied(_)));
}

#[test]
fn a_pause_of_an_election_that_never_had_a_leader_shows_what_it_is() {
    let mut world = World::on(Some(LeaseRecord { term: Term::ZERO, ..vacated(0) }));
    world.pause(None);
    world.run_until(2_100);
    let cause = |world: &World| world.elector.leadership().change(world.now).cause;
    assert_eq!(cause(&world), Cause::Paused);
    world.operator_writes(None);
    world.run_until(4_300);
    assert_eq!(cause(&world), Cause::First);
}

#[test]
fn the_cause_is_the_pause_while_no_candidate_leads_and_the_hand_over_afterwards() {
    let mut world = World::standby();
    let cause = |world: &World| world.elector.leadership().change(world.now).cause;
    world.pause(None);
    world.run_until(2_100);
    assert_eq!(cause(&world), Cause::Found, "the old leader has not vacated yet");
    let free = LeaseRecord { holder: None, ..world.stored().clone() };
    world.candidate_writes(free);
    world.run_until(4_200);
    let view = world.elector.leadership();
    assert_eq!(cause(&world), Cause::Paused);
    assert!(view.change(world.now).since.is_some() && view.takes_over_in(world.now).is_none());
    world.operator_writes(None);
    world.run_until(6_400);
    assert!(world.leads());
    assert_eq!(cause(&world), Cause::HandedOver);
}

#[test]
fn news_of_a_vacated_lease_takes_away_a_pause_that_was_seen_before() {
    let mut world = World::standby();
    world.pause(None);
    world.run_until(2_100);
    assert!(world.elector.leadership().paused(world.now).is_some());
    let free = LeaseRecord { holder: None, pause: None, ..world.stored().clone() };
    let version = world.candidate_writes(free);
    world.send(Event::Vacated(Vacated { term: Term::new(5), version, handover: None }));
    world.run_until(2_200);
    assert!(world.leads());
}

#[test]
fn a_pause_of_what_a_crashed_namesake_left_shows_no_namesake_that_is_alive() {
    let mut world = World::on(Some(held_by(candidate("me", "0"), 5)));
    world.run_until(1_000);
    world.pause(None);
    world.run_until(4_000);
    let view = world.elector.leadership();
    assert_eq!(view.holder_is(world.now), Some(HolderIs::EarlierRun));
    assert_eq!(view.renewed_ago(world.now), None, "an operator renews nothing");
}

/// An old record that names this candidate may hide the successor to which it freed the lease.
#[test]
fn a_lease_that_may_be_freed_is_given_up_when_the_store_lost_writes() {
    let mut world = World::leading();
    world.run_until(4_100);
    let before = world.stored().clone();
    world.pause(Some(500));
    world.send(Event::Changed);
    world.store_answers();
    assert_eq!(world.writes().holder, None);
    world.answer_is_lost();
    assert!(world.stored().holder.is_none());
    // A successor has term 2, and the store loses that.
    world.stores(before);
    world.record.as_mut().unwrap().outlived = true;
    world.run_until(15_000);
    assert!(world.stored().is_held_by(&candidate("me", "1")), "nothing hides the loss");
    assert!(world.record.as_ref().unwrap().outlived);
    world.run_until(30_000);
    assert!(world.leads());
    assert!(world.stored().term > Term::new(1_000_000), "{:?}", world.stored().term);
}

#[test]
fn a_renewal_removes_a_pause_that_is_over() {
    let mut world = World::leading();
    world.send(Event::Work { under_way: true });
    world.pause(Some(5_000));
    world.run_until(4_000);
    assert!(!world.leads() && world.stored().pause.is_some());
    world.run_until(12_000);
    assert!(world.stored().is_held_by(&candidate("me", "1")), "the lease is kept for the work");
    assert_eq!(world.stored().pause, None);
}
