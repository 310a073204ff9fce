//! One suite of promises, kept by every store.
//!
//! `suite` holds the promises as functions over a [`subject::Subject`]; the other files say how to
//! set up one store each. A new store adds a file and a line `conformance!(…)`.

mod subject;
mod suite;

mod dynamodb;
mod kubernetes;
mod memory;
mod postgres;
mod sqlite;

/// Runs every promise of the suite on the subject that the expression sets up.
macro_rules! conformance {
    ($subject:expr) => {
        $crate::conformance::conformance!($subject; [
            first_acquire_creates_the_record,
            two_elections_do_not_touch_each_other,
            a_swap_against_another_version_is_refused_and_shows_the_record,
            a_swap_for_no_record_is_refused_when_there_is_one,
            a_renewal_keeps_the_term_and_changes_the_version,
            vacating_keeps_the_term,
            every_field_comes_back_as_written,
            what_a_terminal_would_obey_does_not_come_back,
            a_table_of_an_older_version_keeps_working,
            a_start_without_the_store_leaves_no_field_out,
            a_url_is_shown_of_its_own_holder_only,
            a_pause_is_hinted_and_stays_until_it_is_taken_away,
            a_pause_begins_where_there_is_no_record,
            what_the_last_holder_left_is_shown_until_the_next_one,
            expiry_is_judged_by_the_store,
            a_record_of_unknown_shape_is_refused_without_damage,
            init_by_many_at_once_is_fine,
            list_shows_every_record,
            changes_of_leader_are_hinted,
            renewals_are_announced,
            one_of_many_contenders_wins_each_round,
        ]);
    };
    ($subject:expr; [$($promise:ident),* $(,)?]) => {
        $(
            #[tokio::test]
            async fn $promise() {
                crate::conformance::suite::$promise(&$subject.await).await;
            }
        )*
    };
}
pub(crate) use conformance;
