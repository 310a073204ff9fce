//! How the leadership went from one candidate to the next, by what was seen and nothing else.

use super::*;
use crate::election::change::{Cause, Change};
use crate::election::leadership::HolderIs;

impl World {
    fn change(&self) -> (Cause, Option<u64>) {
        let Change { cause, since } = self.elector.leadership().change(self.now);
        (cause, since.map(|since| millis(since.as_duration())))
    }

    /// The last renewal that was seen.
    fn renewed(&self) -> u64 {
        let ago = self.elector.leadership().renewed_ago(self.now).unwrap();
        millis(self.now.as_duration().checked_sub(ago).unwrap())
    }

    pub(super) fn holder_is(&self) -> Option<HolderIs> {
        self.elector.leadership().holder_is(self.now)
    }

    /// The rival renews each two seconds until `ms`.
    fn rival_renews_until(&mut self, term: u64, ms: u64) {
        for second in (millis(self.now.as_duration())..=ms).step_by(2_000) {
            self.candidate_writes(rival(term));
            self.run_until(second);
        }
        self.run_until(ms);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap()
}

fn other(term: u64) -> LeaseRecord {
    held_by(candidate("other", "8"), term)
}

#[test]
fn a_lease_that_was_vacated_is_handed_over_and_one_that_ran_out_is_not() {
    let mut world = World::standby();
    assert_eq!(world.change(), (Cause::Found, None));
    world.rival_renews_until(5, 6_000);
    assert_eq!(world.change(), (Cause::Found, None), "a renewal is no change");
    world.candidate_writes(vacated(5));
    world.send(Event::Changed);
    let seen = millis(world.now.as_duration());
    world.run_until(6_000);
    assert!(world.leads());
    assert_eq!(world.change(), (Cause::HandedOver, Some(seen)));

    let mut world = World::standby();
    world.rival_renews_until(5, 6_000);
    let renewed = world.renewed();
    world.run_until(23_000);
    assert!(world.leads(), "the rival crashed");
    assert_eq!(world.change(), (Cause::LeaseRanOut, Some(renewed)));
}

#[test]
fn a_change_between_two_others_is_reported_as_far_as_it_was_seen() {
    let mut world = World::standby();
    world.rival_renews_until(5, 6_000);
    world.candidate_writes(other(6));
    world.run_until(8_500);
    let lately = (Cause::HandedOver, None);
    assert_eq!(world.change(), lately, "too early for a lease to run out");
    world.rival_renews_until(6, 9_000);
    let mut world = World::standby();
    world.rival_renews_until(5, 6_000);
    let renewed = world.renewed();
    world.run_until(renewed + 14_900);
    world.candidate_writes(other(6));
    world.send(Event::Changed);
    world.run_until(renewed + 14_950);
    assert_eq!(world.change(), (Cause::LeaseRanOut, Some(renewed)));
    world.candidate_writes(rival(9));
    world.run_until(renewed + 18_000);
    assert_eq!(world.change(), (Cause::Unseen, None), "others led in between");
}

#[test]
fn a_first_look_does_not_show_how_the_leader_came() {
    let mut world = World::on(Some(vacated(5)));
    world.store_answers();
    assert_eq!(world.change(), (Cause::Vacated, None), "it is not known since when");
    world.run_until(0);
    assert_eq!(world.change(), (Cause::HandedOver, None));
    let mut world = World::new();
    assert_eq!(world.change(), (Cause::NoAnswerYet, None));
    world.store_answers();
    assert_eq!(world.change(), (Cause::NoRecord, None));
    world.run_until(0);
    assert_eq!(world.change(), (Cause::First, None));
}

#[test]
fn an_outage_of_ones_own_ends_no_leadership() {
    let mut world = World::standby();
    world.rival_renews_until(5, 6_000);
    world.run_without_store_until(18_000);
    assert_eq!(world.change().0, Cause::Found, "its lease can be live");
    assert!(world.elector.leadership().store_fails_for(world.now) > Some(Duration::from_secs(9)));
    world.run_without_store_until(30_000);
    let (cause, unknown_since) = world.change();
    assert_eq!(cause, Cause::StoreSilent);
    assert!(world.elector.leadership().holder(world.now).is_none());
    world.candidate_writes(rival(5));
    world.run_until(33_000);
    assert_eq!(world.change(), (Cause::KnownAgain, unknown_since));
    assert_eq!(world.elector.leadership().store_fails_for(world.now), None);
    world.run_without_store_until(60_000);
    world.candidate_writes(other(6));
    world.run_until(63_000);
    assert_eq!(world.change().0, Cause::Unseen, "no one looked");
}

#[test]
fn a_holder_that_stayed_unchanged_during_an_outage_has_let_its_lease_run_out() {
    let mut world = World::standby();
    world.run_without_store_until(21_000);
    assert_eq!(world.change().0, Cause::StoreSilent);
    world.run_until_request();
    world.store_answers();
    assert_eq!(world.change().0, Cause::LeaseRanOut);
}

#[test]
fn a_leader_says_why_it_stopped_and_since_when() {
    let mut world = World::leading();
    world.run_until(4_000);
    world.send(Event::Gate { open: false });
    assert_eq!(world.change(), (Cause::Stopped(LossReason::GateClosed), Some(4_000)));
    world.run_until(5_000);
    let stopped = (Cause::Stopped(LossReason::GateClosed), Some(4_000));
    assert_eq!(world.change(), stopped, "also when it has vacated the lease");
    world.candidate_writes(rival(2));
    world.run_until(8_000);
    assert_eq!(world.change(), (Cause::HandedOver, Some(4_000)));

    let mut world = World::leading();
    world.run_until(2_500);
    world.run_without_store_until(12_200);
    let lapsed = (Cause::Stopped(LossReason::RenewDeadline), Some(12_000));
    assert_eq!(world.change(), lapsed, "ten seconds after the renewal");
    world.run_without_store_until(20_000);
    assert_eq!(world.change().0, Cause::StoreSilent, "others may lead by now");
    world.run_until(25_000);
    assert!(world.leads());
    assert_eq!(world.change(), (Cause::LeaseRanOut, Some(12_000)), "no one led in between");
}

#[test]
fn a_leader_that_is_replaced_while_it_leads_does_not_say_that_it_handed_over() {
    let mut world = World::leading();
    world.candidate_writes(rival(2));
    world.run_until(2_500);
    assert_eq!(world.change(), (Cause::Unseen, None));
}

#[test]
fn a_store_that_lost_the_record_is_named() {
    let mut world = World::standby();
    world.run_until(1_000);
    world.record = None;
    world.run_until(3_000);
    assert_eq!(world.change().0, Cause::RecordLost);
    world.run_until(30_000);
    assert!(world.leads());
    assert_eq!(world.change().0, Cause::RecordLost);
    let mut world = World::standby();
    world.run_until(1_000);
    world.candidate_writes(other(3));
    world.run_until(3_000);
    assert_eq!(world.change().0, Cause::RecordLost, "a restored backup");
}

#[test]
fn an_earlier_run_of_this_instance_is_distinct_from_a_namesake_that_is_alive() {
    let mut world = World::on(Some(held_by(candidate("me", "0"), 5)));
    world.store_answers();
    assert_eq!(world.holder_is(), Some(HolderIs::EarlierRun));
    world.run_until(4_000);
    assert_eq!(world.holder_is(), Some(HolderIs::EarlierRun));
    let takes_over = world.elector.leadership().takes_over_in(world.now);
    assert_eq!(takes_over, Some(Duration::from_secs(11)));
    world.candidate_writes(held_by(candidate("me", "0"), 5));
    world.run_until(8_000);
    assert_eq!(world.holder_is(), Some(HolderIs::Namesake));
    world.run_until(40_000);
    assert_eq!(world.holder_is(), Some(HolderIs::ThisInstance));
    assert_eq!(World::standby().holder_is(), Some(HolderIs::Another));
}

#[test]
fn a_restored_backup_that_names_this_instance_shows_no_namesake() {
    let mut world = World::on(Some(held_by(candidate("other", "0"), 5)));
    world.run_until(1_000);
    world.candidate_writes(held_by(candidate("me", "0"), 3));
    world.run_until(3_000);
    assert_eq!(world.holder_is(), Some(HolderIs::EarlierRun));
    assert_eq!(world.elector.leadership().renewed_ago(world.now), None, "it may be old");
    world.candidate_writes(held_by(candidate("me", "0"), 3));
    world.run_until(6_000);
    assert_eq!(world.holder_is(), Some(HolderIs::Namesake));
}

#[test]
fn a_second_namesake_is_reported_as_the_first_was() {
    let mut world = World::on(Some(held_by(candidate("me", "0"), 5)));
    let renews = |world: &mut World, life: &str, term| {
        world.candidate_writes(held_by(candidate("me", life), term));
    };
    world.run_until(1_000);
    renews(&mut world, "0", 5);
    world.run_until(4_000);
    world.candidate_writes(held_by(candidate("other", "0"), 6));
    world.run_until(7_000);
    world.take_news();
    // As a restored backup shows it, which proves nothing until it renews.
    renews(&mut world, "8", 4);
    world.run_until(10_000);
    let follows = |term| News::Following { holder: "me".to_owned(), term: Term::new(term) };
    assert!(world.take_news().contains(&follows(4)));
    renews(&mut world, "8", 4);
    world.run_until(13_000);
    assert!(world.take_news().contains(&follows(4)), "now it is known to be alive");
}

#[test]
fn a_standby_knows_how_long_ago_the_leader_renewed_its_lease() {
    let mut world = World::standby();
    world.run_until(9_000);
    let view = world.elector.leadership();
    assert_eq!(view.renewed_ago(world.now), None, "the first look shows no age");
    assert!(view.is_overdue(world.now), "but it is nine seconds at least");
    world.rival_renews_until(5, 10_000);
    world.run_until(20_000);
    let view = world.elector.leadership();
    assert!(view.is_overdue(world.now));
    let (ago, left) = (view.renewed_ago(world.now), view.takes_over_in(world.now));
    assert_eq!(ago.unwrap() + left.unwrap(), Duration::from_secs(15));
}
