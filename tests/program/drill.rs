//! The whole drill with real processes and real signals: elect, answer truly, take over.
//!
//! `suite` holds the scenes that every store has to play, as functions over a [`subject::Subject`]; a new
//! store adds a module with a line `drill!(…)`. The other files are about the program, and play on SQLite.
//! What is asserted is order and safety. How fast it goes is measured by `make figures`.

mod clocks;
mod guard;
mod one_line;
pub mod run;
mod signals;
mod store_trouble;
mod subject;
mod suite;
mod turns;

/// Plays every scene of the suite on the subject that the expression sets up.
macro_rules! drill {
    ($store:ident: $subject:expr) => {
        drill!($store: $subject; [
            of_three_exactly_one_leads_and_the_others_name_it,
            a_killed_leader_is_replaced_under_a_later_term,
            a_terminated_leader_says_no_frees_the_lease_and_exits_zero,
            a_leader_that_was_frozen_says_no_with_its_first_answer,
            a_leader_that_resigns_hands_over_and_follows,
            the_named_successor_leads_next,
            a_successor_that_is_not_there_is_not_waited_for_long,
            after_all_died_a_new_process_leads_without_waiting,
            a_restarted_process_does_not_take_itself_for_the_holder,
            a_question_that_waits_is_answered_at_the_hand_over,
            an_outage_demotes_and_all_rejoin,
            a_short_outage_demotes_no_leader,
            in_a_storm_of_outages_there_are_never_two_and_afterwards_one,
            a_second_signal_exits_at_once_and_leaves_the_lease,
            shutting_down_does_not_wait_for_a_store_that_hangs,
            eight_at_once_do_it_once,
            a_paused_election_has_no_leader_until_it_is_resumed,
            a_pause_ends_automatically_and_begins_before_the_first_instance,
            a_pause_during_an_outage_is_written_afterwards,
            work_ends_before_a_pause_is_reported,
            a_pause_between_two_looks_is_no_sign_of_a_copy,
        ]);
    };
    ($store:ident: $subject:expr; [$($scene:ident),* $(,)?]) => {
        mod $store {
            $(
                #[test]
                fn $scene() {
                    crate::drill::suite::$scene(&$subject);
                }
            )*
        }
    };
}
drill!(sqlite: crate::drill::subject::sqlite());
drill!(postgres: crate::drill::subject::postgres());
drill!(pgbouncer: crate::drill::subject::pgbouncer());
drill!(dynamodb: crate::drill::subject::dynamodb());
drill!(kubernetes: crate::drill::subject::kubernetes());

use support::{Pasture, Sidecar, eventually};

#[test]
fn min_valid_asks_for_that_much_validity() {
    let pasture = Pasture::new();
    let sidecar = Sidecar::start("a", &pasture.store());
    eventually("it leads", || sidecar.leader().leads().then_some(()));
    let answer = sidecar.get("/leader?min-valid=1900ms&wait=30s").unwrap();
    assert_eq!(answer.status, 200, "each renewal brings 2s: {answer:?}");
    assert!(answer.body["validForMs"].as_u64() >= Some(1900), "{answer:?}");
    assert_eq!(sidecar.status("/leader?min-valid=5s"), 400, "longer than the renew deadline");
    assert_eq!(sidecar.status("/leader?wait=soon"), 400);
}
