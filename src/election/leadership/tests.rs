//! What the view of the leadership says as time passes and nothing else happens.

use super::*;

fn at(ms: u64) -> BootTime {
    BootTime::from_duration(Duration::from_millis(ms))
}

fn holder(identity: &str, term: u64) -> Holder {
    Holder {
        identity: identity.to_owned(),
        term: Term::new(term),
        lease_duration: Duration::from_secs(15),
        acquire_time: WallTime::EPOCH,
        renew_time: WallTime::EPOCH,
        url: None,
        origin: None,
    }
}

fn own(term: u64, until: BootTime) -> Option<Tenure> {
    let (holder, version) = (holder("me", term), Version::new("v"));
    Some(Tenure { holder, until, kills_at: until, renewed: at(0), version })
}

fn rival(live_until: BootTime) -> Option<Rival> {
    Some(Rival {
        holder: holder("other", 7),
        live_until,
        written: Written { after: None, by: at(0), is_close: true },
        believed_until: at(4_000),
        is_alive: false,
    })
}

fn view() -> Leadership {
    let me = Candidate { identity: "me".to_owned(), incarnation: "1".to_owned() };
    Leadership::unknown(me, Timing::default())
}

#[test]
fn an_unchanged_view_stops_saying_yes_at_the_deadline() {
    let view = Leadership { own: own(7, at(10_000)), ..view() };
    assert!(view.is_leading(at(9_999)));
    assert_eq!(view.valid_for(at(4_000)), Duration::from_secs(6));
    assert_eq!(view.decays_at(at(0)), Some(at(10_000)));
    assert!(!view.is_leading(at(10_000)));
    assert_eq!(view.valid_for(at(10_000)), Duration::ZERO);
    assert!(view.holder(at(10_000)).is_none());
}

#[test]
fn a_rival_is_named_only_while_its_lease_can_be_live() {
    let view = Leadership { rival: rival(at(5_000)), ..view() };
    assert_eq!(view.holder(at(4_999)).unwrap().identity, "other");
    assert!(view.holder(at(5_000)).is_none());
}

#[test]
fn decided_needs_a_recent_answer_and_a_live_holder() {
    let silent = view();
    assert_eq!(silent.decided(at(0)), Err(Undecided::NoAnswerYet));
    let answered = Leadership { store_answered: Some(at(0)), ..view() };
    assert_eq!(answered.decided(at(0)), Err(Undecided::NoLeader));
    let led = Leadership { rival: rival(at(60_000)), ..answered };
    assert_eq!(led.decided(at(15_000)), Ok(()));
    assert_eq!(led.decided(at(15_001)), Err(Undecided::StoreSilent));
}

#[test]
fn a_loss_has_a_reason_also_before_the_election_has_noticed_it() {
    let led = Leadership { own: own(7, at(10_000)), ..view() };
    assert_eq!(led.loss_of(Term::new(7), at(9_999)), None);
    assert_eq!(led.loss_of(Term::new(7), at(10_000)), Some(LossReason::RenewDeadline));
    let last_loss = Some(Loss { term: Term::new(7), reason: LossReason::GateClosed });
    let lost = Leadership { last_loss, ..view() };
    assert_eq!(lost.loss_of(Term::new(7), at(0)), Some(LossReason::GateClosed));
    let again = Leadership { own: own(9, at(10_000)), ..lost };
    assert_eq!(again.loss_of(Term::new(7), at(0)), Some(LossReason::GateClosed));
    assert_eq!(
        again.loss_of(Term::new(5), at(0)),
        Some(LossReason::Superseded),
        "a later term began"
    );
}

#[test]
fn a_cooldown_ends_by_the_clock() {
    let reason = StandingDown::Resigned { until: at(100) };
    let view = Leadership { standing_down: Some(reason), ..view() };
    assert_eq!(view.standing_down(at(99)), Some(reason));
    assert_eq!(view.standing_down(at(100)), None);
}

#[test]
fn each_holder_has_its_word() {
    let words = [
        (HolderIs::ThisInstance, "this_instance"),
        (HolderIs::EarlierRun, "earlier_run"),
        (HolderIs::Namesake, "namesake"),
        (HolderIs::Another, "another"),
    ];
    for (holder, word) in words {
        assert_eq!(holder.as_str(), word);
    }
}

#[test]
fn a_lease_that_is_kept_for_work_is_shown_until_it_is_over() {
    let view = Leadership { draining: own(7, at(15_000)), ..view() };
    assert!(view.draining(at(14_999)).is_some());
    assert!(view.draining(at(15_000)).is_none());
}

#[test]
fn the_lease_of_another_instance_ends_by_the_clock() {
    let led = Leadership { rival: rival(at(5_000)), ..view() };
    assert_eq!(led.rival_ends_in(at(2_000)), Some(Duration::from_secs(3)));
    assert_eq!(led.rival_ends_in(at(5_000)), None);
    let own = Leadership { own: own(8, at(10_000)), ..led };
    assert_eq!(own.rival_ends_in(at(2_000)), None, "this candidate leads");
}

#[test]
fn another_leader_is_overdue_after_half_of_its_lease() {
    let led = Leadership { rival: rival(at(15_000)), ..view() };
    assert!(!led.is_overdue(at(7_500)));
    assert!(led.is_overdue(at(7_501)));
    assert!(!led.is_overdue(at(15_000)), "it leads no more");
    let own = Leadership { own: own(8, at(10_000)), ..led };
    assert!(!own.is_overdue(at(7_501)), "this candidate leads");
}

#[test]
fn work_of_an_old_term_keeps_a_candidate_from_taking_over() {
    let free = Leadership { claimable_at: Some(at(3_000)), ..view() };
    assert_eq!(free.takes_over_in(at(1_000)), Some(Duration::from_secs(2)));
    assert!(!free.awaits_work());
    let waits = Leadership { awaits_work: true, ..free };
    assert_eq!(waits.takes_over_in(at(1_000)), None);
    assert!(waits.awaits_work());
}

#[test]
fn a_store_that_was_silent_before_the_lease_ended_leaves_the_leader_unknown() {
    let after_answer =
        |ms| Leadership { rival: rival(at(5_000)), store_answered: Some(at(ms)), ..view() };
    // The lease could still be renewed at the last answer, or it could not.
    let silent = Change::at(Cause::StoreSilent, at(5_000));
    assert_eq!(after_answer(3_999).change(at(6_000)), silent);
    let over = Change { cause: Cause::LeaseRanOut, since: Some(at(0)) };
    assert_eq!(after_answer(4_000).change(at(6_000)), over);
    assert_eq!(after_answer(4_500).change(at(6_000)), over);
    let later = Change::at(Cause::StoreSilent, at(19_500));
    assert_eq!(after_answer(4_500).change(at(19_500)), later, "a lease without an answer");
}

#[test]
fn a_pause_is_the_cause_unless_the_store_is_silent() {
    let minute = Duration::from_secs(60);
    let pause = Pause::new(WallTime::EPOCH, Some(minute), None);
    let paused = Leadership {
        paused: Some(Sight::first(pause, at(0))),
        store_answered: Some(at(0)),
        last_change: Change::at(Cause::Vacated, at(0)),
        ..view()
    };
    assert_eq!(paused.change(at(10_000)).cause, Cause::Paused);
    assert_eq!(paused.pause_left(at(10_000)), Some(Duration::from_secs(50)));
    assert_eq!(paused.change(at(15_000)).cause, Cause::StoreSilent);
    assert_eq!(paused.pause_left(at(60_000)), None);
    let unseen = Leadership { store_answered: None, ..paused };
    assert_eq!(unseen.change(at(10_000)).cause, Cause::NoAnswerYet);
}

#[test]
fn the_highest_term_is_shown_as_it_was_seen() {
    assert_eq!(view().term(), None);
    let seen = Leadership { term: Some(Term::new(7)), ..view() };
    assert_eq!(seen.term(), Some(Term::new(7)));
}

#[test]
fn a_successor_is_named_until_a_candidate_leads() {
    let vacated = Leadership { successor: Some("b".into()), ..view() };
    assert_eq!(vacated.successor(at(0)), Some("b"));
    let led = Leadership { rival: rival(at(5_000)), ..vacated };
    assert_eq!(led.successor(at(4_999)), None);
    assert_eq!(view().successor(at(0)), None);
}

#[test]
fn the_silence_of_the_store_counts_from_its_last_answer() {
    assert_eq!(view().store_silence(at(3_000)), None);
    let answered = Leadership { store_answered: Some(at(1_000)), ..view() };
    assert_eq!(answered.store_silence(at(3_000)), Some(Duration::from_secs(2)));
}

#[test]
fn what_changed_just_now_changes_no_more() {
    let led = Leadership { rival: rival(at(5_000)), store_answered: Some(at(1_000)), ..view() };
    assert_eq!(led.decays_at(at(4_999)), Some(at(5_000)));
    assert_eq!(led.decays_at(at(5_000)), Some(at(16_000)));
    assert_eq!(led.decays_at(at(16_000)), None);
}
