//! What an election tells the log: each change of leadership is one line.

use std::time::Duration;

use crate::election::elector::News;
use crate::election::leadership::{HolderIs, Leadership};
use crate::election::lease::ElectionName;
use crate::election::pause::Pause;
use crate::election::term::Term;
use crate::election::time::BootTime;

/// `view` is what readers see from now on.
pub(super) fn log(
    election: &ElectionName,
    url: Option<&str>,
    news: &News,
    view: &Leadership,
    now: BootTime,
) {
    match news {
        News::Elected { term } => elected(election, url, *term, view, now),
        News::Lost { term, reason } => {
            let reason = reason.as_str();
            tracing::info!(
                %election, term = term.get(), reason, event = "lost",
                "this instance no longer leads"
            );
        }
        News::Vacated { term, successor } => {
            let successor = successor.as_deref();
            tracing::info!(
                %election, term = term.get(), successor, event = "vacated",
                "lease vacated"
            )
        }
        News::Following { holder, term } => following(election, holder, *term, view, now),
        News::Paused(pause) => paused(election, pause, view, now),
        News::Resumed => {
            tracing::info!(%election, event = "resumed", "the election is no longer paused");
        }
        News::TermWentBackwards { seen, record } => tracing::warn!(
            %election, seen = seen.get(), record = record.get(),
            event = "term_went_backwards",
            "the record's term went backwards; check whether a backup was restored (standing \
             again after a whole lease)"
        ),
        News::Stranger { origin, own } => tracing::warn!(
            %election, %origin, %own,
            event = "foreign_record",
            "another environment wrote the record of this election, so both elect one leader \
             together; give each its own --namespace or store, unless that is intended"
        ),
        News::Copied(sign) => tracing::warn!(
            %election, sign = sign.as_str(), gap = sign.gap().map(shown),
            event = "paused_or_copied",
            "this process was paused or copied, and another may run under its incarnation; \
             standing again under a new one after the old lease"
        ),
        // Counted, and seen in the log as the store's trouble.
        News::Renewal(_) => {}
    }
}

fn paused(election: &ElectionName, pause: &Pause, view: &Leadership, now: BootTime) {
    let until = pause.until().map(|until| until.to_string());
    let reason = pause.reason().map(ToString::to_string);
    tracing::info!(
        %election, since = %pause.since(), until, by = pause.by(), reason,
        r#for = view.pause_left(now).map(shown), event = "paused",
        "the election is paused; no instance stands until it is resumed, or until the pause is over"
    );
}

fn elected(
    election: &ElectionName,
    url: Option<&str>,
    term: Term,
    view: &Leadership,
    now: BootTime,
) {
    let change = view.change(now);
    let (term, cause) = (term.get(), change.cause.as_str());
    let since = change.since.filter(|_| !change.cause.is_ignorance());
    let no_leader_for = since.map(|since| shown(now.since(since)));
    tracing::info!(
        %election, term, url, cause, no_leader_for, event = "elected",
        "elected: this instance leads"
    );
}

fn following(election: &ElectionName, holder: &str, term: Term, view: &Leadership, now: BootTime) {
    let term = term.get();
    match view.holder_is(now) {
        Some(HolderIs::EarlierRun) => {
            let runs_out_in = view.rival_ends_in(now).map(shown);
            tracing::info!(
                %election, term, holder, runs_out_in, event = "following_earlier_run",
                "an earlier run of this instance, or this one before a pause, holds the lease; it \
                 takes over when the lease has run out"
            );
        }
        Some(HolderIs::Namesake) => tracing::warn!(
            %election, term, holder, event = "following_namesake",
            "another process with the same identity leads; give each instance its own identity \
             (--identity)"
        ),
        None => tracing::info!(
            %election, term, holder, event = "lease_ran_out",
            "no instance leads: the lease of the last holder has run out"
        ),
        Some(HolderIs::Another | HolderIs::ThisInstance) => {
            let cause = view.change(now).cause.as_str();
            tracing::info!(
                %election, term, holder, cause, event = "following",
                "another instance leads"
            );
        }
    }
}

fn shown(duration: Duration) -> String {
    let whole = Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
    humantime::format_duration(whole).to_string()
}
