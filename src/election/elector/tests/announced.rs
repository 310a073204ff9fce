//! What announced renewals spare a standby, and what they do not: rule `announced-renewal`.

use super::acquired::acquired;
use super::*;
use crate::election::lease::Listeners;
use crate::election::pause::Pause;
use crate::election::timing::HINT_GAP;

pub(super) const FEW: Listeners = Listeners::Sessions(3);
pub(super) const MANY: Listeners = Listeners::Sessions(1_000);
pub(super) const CROWD: Listeners = Listeners::Candidates(1_000);

/// The rival renews every two seconds from the first of these times to before the second, and each
/// renewal is announced.
fn announced(world: &mut World, from: u64, to: u64) {
    announced_to(world, Listeners::Unknown, from, to);
}

/// The same, and each announcement says that so many listen.
fn announced_to(world: &mut World, listeners: Listeners, from: u64, to: u64) {
    for second in (from..to).step_by(2) {
        world.run_until(second * 1_000);
        let version = world.candidate_writes(rival(5));
        world.send(Event::Renewed(Renewed { term: Term::new(5), version, listeners }));
    }
}

/// A push announces a renewal of this term.
fn announce(world: &mut World, term: u64, version: Version) {
    let (term, listeners) = (Term::new(term), Listeners::Unknown);
    world.send(Event::Renewed(Renewed { term, version, listeners }));
}

/// How many calls were sent since.
pub(super) fn calls_since(world: &World, ms: u64) -> usize {
    world.calls.iter().filter(|(sent, _)| *sent > at(ms)).count()
}

#[test]
fn announced_renewals_spare_looks_and_cost_no_time_after_a_crash() {
    for with_clock in [false, true] {
        let mut world = World::standby();
        world.remaining = with_clock.then_some(Duration::from_secs(15));
        announced(&mut world, 2, 64);
        let calls = calls_since(&world, 2_000);
        assert!((5..=6).contains(&calls), "{calls} calls in a minute");
        // The last renewal was made after 62 s.
        let took_over = took_over_at(&mut world, 100_000);
        assert!((at(77_000)..=at(77_061)).contains(&took_over), "{took_over:?}");
    }
}

/// Those of a crowd that draw a late moment learn of the winner first.
#[test]
fn standbys_take_over_at_moments_further_apart_where_renewals_are_announced() {
    let late = |are_announced| {
        let took_over = |seed| {
            let mut world = World::seeded(seed, Some(rival(5)));
            world.store_answers();
            if are_announced {
                announced(&mut world, 2, 10);
            }
            world.run_until(10_000);
            let ends = world.elector.leadership().claimable_at.unwrap();
            took_over_at(&mut world, 30_000).since(ends).as_millis()
        };
        (0..100).map(took_over).max().unwrap()
    };
    assert!((20..=26).contains(&late(false)), "{}", late(false));
    assert!((50..=61).contains(&late(true)), "{}", late(true));
}

/// All of them have looked within the retry period before.
#[test]
fn standbys_check_the_pushes_at_different_times_once_those_are_proven() {
    let mut checks = [0; 10];
    for seed in 0..100 {
        let mut world = World::seeded(seed, Some(rival(5)));
        world.store_answers();
        announced(&mut world, 2, 32);
        for (sent, _) in &world.calls {
            let second = sent.since(BootTime::ZERO).as_secs().checked_sub(20);
            if let Some(checks) = second.and_then(|at| checks.get_mut(usize::try_from(at).ok()?)) {
                *checks += 1;
            }
        }
    }
    assert!((90..=110).contains(&checks.iter().sum()), "one each: {checks:?}");
    assert!(checks.iter().all(|checks| (2..=22).contains(checks)), "{checks:?}");
}

#[test]
fn announcements_that_cease_are_missed_within_a_renew_deadline() {
    let mut world = World::standby();
    announced(&mut world, 2, 30);
    for second in (30..60).step_by(2) {
        world.run_until(second * 1_000);
        world.candidate_writes(rival(5));
    }
    let polls = calls_since(&world, 40_000);
    assert!((9..=11).contains(&polls), "{polls} calls from second 40 to 60");
    let took_over = took_over_at(&mut world, 100_000);
    assert!(took_over <= at(58_000 + 2_000 + 15_061), "{took_over:?}");
}

#[test]
fn announcements_of_what_is_not_there_do_not_keep_a_lease_alive() {
    let mut world = World::standby();
    announced(&mut world, 2, 10);
    // The holder crashes after its renewal in second 8. The lease counts from the look for the push that
    // is overdue, which comes within a renew deadline.
    for k in 0..1_000 {
        world.run_until(10_000 + k * 50);
        let version = Version::new(format!("none-{k}"));
        announce(&mut world, 5, version);
        if world.leads() {
            break;
        }
    }
    assert!(world.leads() && world.now <= at(8_000 + 10_000 + 15_100), "{:?}", world.now);
}

#[test]
fn after_a_renewal_that_was_not_announced_one_that_was_ends_the_doubt() {
    let mut world = World::standby();
    announced(&mut world, 2, 20);
    // Not announced for a while, and then announced again.
    for second in (20..40).step_by(2) {
        world.run_until(second * 1_000);
        world.candidate_writes(rival(5));
    }
    let polls = calls_since(&world, 30_000);
    assert!((3..=5).contains(&polls), "{polls} calls from second 30 to 38");
    announced(&mut world, 40, 120);
    let checks = calls_since(&world, 60_000);
    assert!((5..=7).contains(&checks), "{checks} calls from second 60 to 118");
}

#[test]
fn a_replayed_announcement_does_not_end_the_doubt() {
    let mut world = World::standby();
    announced(&mut world, 2, 10);
    // The holder crashes after its renewal in second 8. False announcements follow, and between
    // them the true one again.
    let replayed = world.record.as_ref().unwrap().version.clone();
    for k in 0..2_000 {
        world.run_until(10_000 + k * 50);
        let none = Version::new(format!("none-{k}"));
        let version = if k % 2 == 0 { replayed.clone() } else { none };
        announce(&mut world, 5, version);
        if world.leads() {
            break;
        }
    }
    assert!(world.leads() && world.now <= at(8_000 + 10_000 + 15_100), "{:?}", world.now);
}

/// By a retry period, if few listen; if many do, or that is not known, by a renew deadline; and by another where the
/// others look for the winner in turn.
const DELAYS: [(Listeners, u64); 4] =
    [(FEW, 2_000), (Listeners::Unknown, 10_000), (MANY, 10_000), (CROWD, 20_000)];

#[test]
fn one_lost_push_delays_a_take_over_by_no_more_than_one_look() {
    for (listeners, delay) in DELAYS {
        for (seed, remaining) in (0..50).zip([None, Some(Duration::from_secs(15))].iter().cycle()) {
            let mut world = World::seeded(seed, Some(rival(5)));
            world.remaining = *remaining;
            world.store_answers();
            announced_to(&mut world, listeners, 2, 20);
            // The last push was in second 18. The last renewal, in second 20, is not pushed.
            world.run_until(20_000);
            world.candidate_writes(rival(5));
            let took_over = took_over_at(&mut world, 100_000);
            assert!(took_over <= at(20_000 + delay + 15_160), "{listeners:?}: {took_over:?}");
        }
    }
}

#[test]
fn a_look_just_before_a_lost_push_does_not_delay_the_next() {
    for (listeners, delay) in DELAYS {
        for (look_at, seed) in (18_100..20_000).step_by(100).zip(0..) {
            let mut world = World::seeded(seed, Some(rival(5)));
            world.store_answers();
            announced_to(&mut world, listeners, 2, 20);
            world.run_until(look_at);
            world.send(Event::Changed);
            world.run_until(20_000);
            // The last renewal is not pushed.
            world.candidate_writes(rival(5));
            let took_over = took_over_at(&mut world, 100_000);
            assert!(took_over <= at(20_000 + delay + 15_160), "{listeners:?}: {took_over:?}");
        }
    }
}

#[test]
fn a_standby_whose_leader_falls_silent_looks_as_often_as_before() {
    for listeners in [Listeners::Unknown, FEW, MANY, CROWD] {
        for seed in 0..50 {
            let mut world = World::seeded(seed, Some(rival(5)));
            world.store_answers();
            announced_to(&mut world, listeners, 2, 20);
            world.run_until(18_000 + 14_900);
            let looks = calls_since(&world, 18_000);
            assert!((1..=3).contains(&looks), "{listeners:?}: {looks} looks in 14.9 s");
        }
    }
}

#[test]
fn an_announcement_while_a_call_is_under_way_is_not_counted() {
    let mut world = World::standby();
    announced(&mut world, 2, 10);
    world.run_until_request();
    let before = world.show();
    let version = world.candidate_writes(rival(5));
    announce(&mut world, 5, version);
    // The store answered before that renewal.
    world.call = None;
    world.send(Event::Observed(Ok(before)));
    let answered = world.now;
    let next = world.run_until_request();
    assert!(world.looks() && next.since(answered) <= HINT_GAP, "it looks at the renewal");
}

#[test]
fn old_announcements_between_false_ones_do_not_keep_a_lease_alive() {
    let mut world = World::standby();
    announced(&mut world, 2, 10);
    // The holder crashes after its renewal in second 8. Each false announcement is followed by the true
    // one, so that nearly all looks show what was announced last.
    let last = world.record.as_ref().unwrap().version.clone();
    for k in 0..1_000 {
        for (ms, version) in [(0, Version::new(format!("none-{k}"))), (1, last.clone())] {
            world.run_until(10_000 + k * 50 + ms);
            announce(&mut world, 5, version);
        }
        if world.leads() {
            break;
        }
    }
    assert!(world.leads() && world.now <= at(8_000 + 10_000 + 15_100), "{:?}", world.now);
}

#[test]
fn a_renewal_of_an_earlier_term_is_not_counted() {
    let mut world = World::standby();
    world.run_until(500);
    let version = Version::new("of an earlier term");
    announce(&mut world, 4, version);
    assert!(world.call.is_none());
    let took_over = took_over_at(&mut world, 100_000);
    assert!((at(15_000)..=at(15_061)).contains(&took_over), "{took_over:?}");
}

#[test]
fn a_push_that_ends_a_pause_asks_for_a_look() {
    let pause = Some(Pause::new(WallTime::EPOCH, None, None));
    let mut world = World::on(Some(LeaseRecord { pause, ..rival(5) }));
    world.store_answers();
    world.now = at(6);
    assert!(world.wake_at > world.now, "no look is due");
    let version = world.candidate_writes(rival(5));
    announce(&mut world, 5, version);
    assert!(world.looks());
}

#[test]
fn a_look_shows_what_an_announcement_of_its_version_did_not() {
    let pause = Some(Pause::new(WallTime::EPOCH, None, None));
    for (written, term) in [(LeaseRecord { pause, ..rival(5) }, 5), (rival(7), 7)] {
        let mut world = World::standby();
        announced(&mut world, 2, 10);
        // Announced as a renewal of term 5.
        let version = world.candidate_writes(written.clone());
        announce(&mut world, 5, version);
        world.run_until(40_000);
        let own = world.stored();
        let expected = if written.pause.is_some() { (5, "rival") } else { (term + 1, "me") };
        let holder = own.holder.as_ref().map_or("", |holder| &holder.identity);
        assert_eq!((own.term.get(), holder), expected);
    }
}

#[test]
fn an_announcement_of_a_later_term_asks_for_a_look() {
    let mut world = World::standby();
    world.now = at(6);
    assert!(world.wake_at > world.now, "no look is due");
    let version = world.candidate_writes(rival(6));
    announce(&mut world, 6, version);
    assert!(world.looks());
}

#[test]
fn a_leader_ignores_announcements() {
    let mut world = World::leading();
    world.now = at(500);
    let version = Version::new("none");
    announce(&mut world, 1, version);
    assert!(world.call.is_none());
    world.run_until(60_000);
    assert!(world.leads());
}

#[test]
fn an_announcement_does_not_end_the_retries_after_a_failed_look() {
    let mut world = World::standby();
    announced(&mut world, 2, 10);
    world.run_until_request();
    world.request_is_lost();
    let failed = world.now;
    let version = world.candidate_writes(rival(5));
    announce(&mut world, 5, version);
    let next = world.run_until_request();
    assert!(next.since(failed) <= Duration::from_secs(2), "{next:?} after {failed:?}");
}

#[test]
fn an_announcement_does_not_hide_that_another_process_writes_in_this_ones_name() {
    let mut world = World::leading();
    // It can neither claim nor vacate its record while work of the lapsed term is ending.
    world.send(Event::Work { under_way: true });
    world.run_without_store_until(12_000);
    if world.call.is_some() {
        world.request_is_lost();
    }
    // The first write may be an own one whose outcome is unknown, the second cannot.
    for second in [16, 20] {
        world.run_until(second * 1_000);
        assert!(!world.leads() && world.call.is_none());
        let version = world.candidate_writes(held_by(candidate("me", "1"), 1));
        announce(&mut world, 1, version);
    }
    world.run_until(24_000);
    let copied = |news: &News| matches!(news, News::Copied(Sign::WrittenInItsName));
    assert!(world.news.iter().any(copied), "{:?}", world.news);
}

#[test]
fn an_announcement_while_the_outcome_of_a_claim_is_unknown_is_not_counted() {
    let mut world = World::standby();
    world.run_until_swap();
    world.request_is_lost();
    let claimable_at = world.elector.leadership().claimable_at;
    let version = world.candidate_writes(rival(5));
    announce(&mut world, 5, version);
    assert_eq!(world.elector.leadership().claimable_at, claimable_at);
}

/// One of so many that listen, as each announcement says. The rival renews until second 20.
pub(super) fn one_of(listeners: Listeners, seed: u64) -> World {
    // Each process has turns of its own.
    let me = candidate("me", &seed.to_string());
    let mut world = World::with(me, seed, Some(rival(5)));
    world.store_answers();
    announced_to(&mut world, listeners, 2, 21);
    world
}

/// How many milliseconds after second 21, when another candidate takes the lease, each of fifty standbys looks.
fn looks_after_a_change(listeners: Listeners) -> Vec<u128> {
    let look = |seed| {
        let mut world = one_of(listeners, seed);
        world.run_until(21_000);
        world.candidate_writes(rival(6));
        world.send(Event::Changed);
        // Others follow, as from writes of an operator.
        for ms in 21_001..32_000 {
            world.run_until(ms);
            world.send(Event::Changed);
        }
        let look = world.calls.iter().find(|(sent, _)| *sent >= at(21_000)).unwrap();
        look.0.since(at(21_000)).as_millis()
    };
    (0..50).map(look).collect()
}

#[test]
fn few_standbys_see_a_new_leader_at_once_and_many_in_turn() {
    assert!(looks_after_a_change(Listeners::Unknown).iter().all(|ms| *ms <= 5));
    let of_three = looks_after_a_change(FEW);
    assert!(of_three.iter().all(|ms| *ms <= 15), "{of_three:?}");
    let of_ten = looks_after_a_change(Listeners::Sessions(10));
    assert!(of_ten.iter().all(|ms| *ms <= 105), "{of_ten:?}");
    let of_many = looks_after_a_change(MANY);
    for second in 0..10 {
        let within = of_many.iter().filter(|ms| **ms / 1_000 == second).count();
        assert!(within <= 12, "second {second}: {of_many:?}");
    }
    assert!(
        of_many.iter().all(|ms| *ms <= 10_005),
        "hints that continue defer no look: {of_many:?}"
    );
}

#[test]
fn many_standbys_look_at_once_when_the_holder_says_that_it_left() {
    for seed in 0..20 {
        let mut world = one_of(MANY, seed);
        world.run_until(21_000);
        world.send(Event::Changed);
        world.send(Event::MayBeVacated);
        world.run_until(21_006);
        assert_eq!(calls_since(&world, 20_900), 1, "{seed}");
    }
}

/// Of one process in two elections.
#[test]
fn a_process_reads_the_changes_of_its_elections_in_the_same_turn() {
    let looks = |listeners: u32, ms: u64| {
        let mut world = one_of(Listeners::Sessions(listeners), 7);
        world.run_until(21_000 + ms);
        world.candidate_writes(rival(6));
        world.send(Event::Changed);
        world.run_until(22_000 + ms);
        world.calls.iter().find(|(sent, _)| *sent >= at(21_000 + ms)).unwrap().0
    };
    // A round of twenty is 312.5 ms, and one counts itself twice or not at all.
    let (first, second) = (looks(20, 0), looks(21, 20));
    let (later, latest) = (looks(19, 625), looks(20, 645));
    assert_eq!((first, later), (second, latest));
    assert_eq!(later.since(first), Duration::from_millis(625));
}

/// The store does not send their looks together.
#[test]
fn elections_of_a_process_with_turns_of_their_own_look_at_different_times() {
    let mut of_second = [0; 10];
    for seed in 0..100 {
        let mut world = World::seeded(seed, Some(rival(5)));
        world.elector = world.elector.in_turns_of_its_own();
        world.store_answers();
        announced_to(&mut world, Listeners::Sessions(20), 2, 46);
        let round = at(33_000)..at(43_000);
        for (sent, _) in world.calls.iter().filter(|(sent, _)| round.contains(sent)) {
            of_second[usize::try_from(sent.since(at(33_000)).as_secs()).unwrap()] += 1;
        }
    }
    assert!(of_second.iter().all(|looks| (2..=25).contains(looks)), "{of_second:?}");
}

#[test]
fn a_crowd_that_listens_to_its_leader_takes_turns_while_that_one_leads() {
    let late = |seed, counted: bool| {
        let mut world = one_of(Listeners::Unknown, seed);
        world.send(Event::Counted(CROWD));
        announced(&mut world, 22, 23);
        if !counted {
            world.run_until(23_000);
            acquired(&mut world, 6);
        }
        let ended = world.elector.leadership().claimable_at.unwrap();
        took_over_at(&mut world, 100_000).since(ended)
    };
    let longest = |counted| (0..20).map(|seed| late(seed, counted)).max().unwrap();
    assert!(longest(true) > Duration::from_secs(1), "few look when the lease ends");
    assert!(longest(false) < Duration::from_millis(61), "the next leader may have none");
}

#[test]
fn many_standbys_do_not_all_look_for_an_overdue_push_at_once() {
    for listeners in [Listeners::Unknown, MANY, CROWD] {
        // All of these have looked in second 20, because they began together.
        let mut of_second = [0; 13];
        for seed in 0..50 {
            let mut world = one_of(listeners, seed);
            world.run_until(34_900);
            for (sent, _) in world.calls.iter().filter(|(sent, _)| *sent > at(22_000)) {
                let second = sent.since(at(22_000)).as_secs();
                of_second[usize::try_from(second).unwrap()] += 1;
            }
        }
        assert!(of_second.iter().all(|looks| *looks <= 16), "{listeners:?}: {of_second:?}");
    }
}

#[test]
fn one_of_many_takes_over_soon_after_a_crash() {
    let late = |seed| took_over_at(&mut one_of(MANY, seed), 100_000).since(at(35_000));
    let late: Vec<_> = (0..50).map(|seed| late(seed).as_millis()).collect();
    assert!(late.iter().all(|late| *late <= 160), "{late:?}");
    assert!(late.iter().max().unwrap() - late.iter().min().unwrap() >= 50, "{late:?}");
}

/// A session that is lost and comes back, or a false notification.
#[test]
fn a_hint_before_the_end_of_the_lease_puts_no_take_over_off() {
    for hint in [Event::Changed, Event::PushesMissed] {
        for seed in 0..20 {
            let mut world = one_of(MANY, seed);
            world.run_until(34_700);
            world.send(hint.clone());
            let late = took_over_at(&mut world, 100_000).since(at(35_000)).as_millis();
            assert!(late <= 160, "{hint:?} {seed}: {late} ms");
        }
    }
}

/// All sessions were lost in an outage, in which the leader was lost as well.
#[test]
fn sessions_that_come_back_put_no_take_over_off_that_is_due() {
    for seed in 0..20 {
        let mut world = one_of(MANY, seed);
        world.run_without_store_until(40_000);
        world.send(Event::PushesMissed);
        let took_over = took_over_at(&mut world, 100_000);
        assert!(took_over <= at(43_000), "after the pause of its failures: {seed}: {took_over:?}");
    }
}

/// The winner's notification comes a moment before this one counts the end of the lease.
#[test]
fn many_standbys_see_the_winner_of_a_crash_in_turn() {
    let looks_soon = |seed| {
        let mut world = one_of(MANY, seed);
        world.run_until(34_900);
        world.candidate_writes(rival(6));
        world.send(Event::Changed);
        world.run_until(35_300);
        world.calls.iter().any(|(sent, _)| *sent > at(34_900))
    };
    let soon = (0..50).filter(|seed| looks_soon(*seed)).count();
    assert!(soon <= 10, "{soon} of 50 look within 400 ms of ten seconds");
}

#[test]
fn a_leader_of_many_looks_at_once_when_another_takes_its_lease() {
    for hint in [Event::Changed, Event::PushesMissed] {
        let mut world = one_of(MANY, 1);
        took_over_at(&mut world, 100_000);
        let now = world.now;
        world.candidate_writes(rival(9));
        world.send(hint);
        world.run_until(u64::try_from(now.as_duration().as_millis()).unwrap() + 10);
        assert!(!world.leads());
    }
}

#[test]
fn a_standby_of_few_looks_at_once_when_pushes_may_have_been_missed() {
    let mut world = one_of(FEW, 1);
    world.run_until(21_000);
    world.send(Event::PushesMissed);
    world.run_until(21_015);
    assert_eq!(calls_since(&world, 20_900), 1);
}
