//! Why this instance does not lead, in words: by what was seen, and nothing else.

use std::time::Duration;

use super::app::App;
use super::election_state::ElectionState;
use crate::election::change::{Cause, LossReason};
use crate::election::leadership::{HolderIs, Leadership, StandingDown};
use crate::election::pause::Pause;
use crate::election::time::BootTime;
use crate::gate::Gate;

/// Why it does not lead; none if it does.
pub(super) fn of(
    app: &App,
    state: &ElectionState,
    view: &Leadership,
    now: BootTime,
) -> Option<String> {
    if view.is_leading(now) {
        return None;
    }
    let stands_down = view.standing_down(now);
    let parts = [
        view.paused(now).map(|pause| paused(pause, view, now)),
        stands_down.and_then(|reason| standing_down(reason, app.gate.as_ref(), now)),
        store(state.election.store_error().as_deref(), view, now),
        leadership(view, now),
        take_over(view, now),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    Some(parts.join("; "))
}

/// Why it leads, and yet not for as long as was asked for.
pub(super) fn too_short(view: &Leadership, now: BootTime, min_valid: Duration) -> String {
    let (left, wanted) = (view.valid_for(now), humantime::format_duration(min_valid));
    let left = humantime::format_duration(Duration::from_millis(
        u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
    ));
    format!(
        "this instance leads, but without a renewal only for {left}, which is less than \
             min-valid, {wanted}"
    )
}

/// As the operator wrote it, and when this instance stands again: it counts from when it saw the pause.
fn paused(pause: &Pause, view: &Leadership, now: BootTime) -> String {
    match view.pause_left(now) {
        Some(left) => format!("{pause}; stands again in {}", whole_up(left)),
        None => pause.to_string(),
    }
}

/// Why it does not stand, unless the election is paused.
fn standing_down(reason: StandingDown, gate: Option<&Gate>, now: BootTime) -> Option<String> {
    Some(match reason {
        StandingDown::Paused { .. } => return None,
        StandingDown::ShuttingDown => "shutting down".to_owned(),
        StandingDown::GateClosed => match gate.and_then(|gate| gate.why_closed(now)) {
            Some(why) => format!("the gate is closed: {why}"),
            None => "the gate is closed".to_owned(),
        },
        StandingDown::NothingToDo => "there is nothing to do".to_owned(),
        StandingDown::Resigned { until } => {
            format!("resigned, stands again in {}", whole(until.since(now)))
        }
    })
}

/// What is wrong with the store, if anything is.
fn store(error: Option<&str>, view: &Leadership, now: BootTime) -> Option<String> {
    let silent = view.store_silence(now).filter(|silent| *silent > view.timing.lease_duration());
    let what = match (view.store_silence(now), view.store_fails_for(now).or(silent)) {
        (None, _) => "the store has not responded yet".to_owned(),
        (Some(_), Some(since)) if since < Duration::from_secs(1) => {
            "the store does not respond".to_owned()
        }
        (Some(_), Some(since)) => format!("the store has not responded for {}", whole(since)),
        (Some(_), None) => {
            return error.map(|error| format!("a write to the store failed: {error}"));
        }
    };
    Some(error.map_or(what.clone(), |error| format!("{what}: {error}")))
}

/// Who leads, or why no instance is known to.
fn leadership(view: &Leadership, now: BootTime) -> Option<String> {
    let Some((holder, is)) = view.holder(now).zip(view.holder_is(now)) else {
        return vacancy(view, now);
    };
    let name = holder.identity.as_str();
    Some(match is {
        HolderIs::ThisInstance => return None,
        HolderIs::EarlierRun => {
            let left = whole_up(view.rival_ends_in(now).unwrap_or_default());
            format!("an earlier run of this instance; its lease runs out in {left}")
        }
        HolderIs::Namesake => format!("another process with the identity {name} leads"),
        HolderIs::Another if view.store_fails_for(now).is_some() => {
            format!("{name} leads, as last seen")
        }
        HolderIs::Another => format!("{name} leads"),
    })
}

fn vacancy(view: &Leadership, now: BootTime) -> Option<String> {
    let change = view.change(now);
    let ago = change.since.map(|since| whole(now.since(since)));
    let ago = ago.map_or(String::new(), |ago| format!(" {ago} ago"));
    Some(match change.cause {
        Cause::NoAnswerYet | Cause::Paused => return None,
        Cause::StoreSilent => "the leader is not known".to_owned(),
        Cause::RecordLost => {
            format!("the leader is not known: the store lost the record{ago}")
        }
        Cause::NoRecord => "no instance has led yet".to_owned(),
        Cause::Vacated => format!("no instance leads: the lease was freed{ago}"),
        Cause::LeaseRanOut if change.since.is_some() => {
            format!("no instance leads: the lease ran out, last renewal{ago}")
        }
        Cause::LeaseRanOut => "no instance leads: the lease ran out".to_owned(),
        Cause::Stopped(reason) => {
            format!("no instance is known to lead: this one stopped{ago}, {}", stopped(reason))
        }
        Cause::Found | Cause::First | Cause::HandedOver | Cause::KnownAgain | Cause::Unseen => {
            "no instance is known to lead".to_owned()
        }
    })
}

fn stopped(reason: LossReason) -> &'static str {
    match reason {
        LossReason::RenewDeadline => "because its lease was not renewed in time",
        LossReason::Superseded => "because the record named another",
        LossReason::RecordGone => "because the record was gone",
        LossReason::Resigned => "because it resigned",
        LossReason::Paused => "because the election was paused",
        LossReason::GateClosed => "because its gate closed",
        LossReason::NothingToDo => "because there was nothing to do",
        LossReason::ShuttingDown => "because it shuts down",
        LossReason::Copied => "because it was paused or copied",
    }
}

/// When this instance takes over, where that is news.
fn take_over(view: &Leadership, now: BootTime) -> Option<String> {
    if view.awaits_work() {
        return Some("leader-only work of its last term has not ended".to_owned());
    }
    let is_overdue = view.is_overdue(now);
    let is_vacant = view.holder(now).is_none();
    let takes_over = view.takes_over_in(now).filter(|_| is_overdue || is_vacant);
    let takes_over =
        takes_over.filter(|left| !left.is_zero() && view.store_fails_for(now).is_none());
    let takes_over = takes_over.map(|left| format!("takes over in {}", whole_up(left)));
    let renewal = view.renewed_ago(now).filter(|_| is_overdue);
    let renewal = renewal.map(|ago| format!("last renewal {} ago", whole(ago)));
    let parts: Vec<_> = renewal.into_iter().chain(takes_over).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn whole(duration: Duration) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_secs(duration.as_secs()))
}

/// What is left is not over before.
fn whole_up(duration: Duration) -> humantime::FormattedDuration {
    whole(duration + Duration::from_millis(999))
}
