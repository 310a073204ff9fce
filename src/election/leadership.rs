//! What readers see of an election: by rule `answers-from-the-clock`, each answer is computed from
//! the clock at the moment of the question.
//!
//! A [`Leadership`] is a plain value, which the driver publishes after every step of the elector.
//! It has no flag that says "leader". It has deadlines, and every question carries the time at
//! which it is asked. If the election stalls, the answers decay to "no" on their own.

use std::time::Duration;

pub use super::change::LossReason;
use super::change::{Cause, Change};
use super::holder_url::HolderUrl;
use super::lease::{Candidate, LeaseRecord, Origin, Version};
use super::pause::{Pause, Sight};
use super::term::Term;
use super::time::{BootTime, WallTime};
use super::timing::Timing;
use super::watch::Written;

/// The state of an election as one candidate sees it.
#[derive(Clone, Debug)]
pub struct Leadership {
    /// The candidate whose view this is.
    pub candidate: Candidate,
    /// The candidate's settings.
    pub timing: Timing,
    /// The candidate's own leadership, if it has one and is not stepping down.
    pub(super) own: Option<Tenure>,
    /// The candidate's own lease, kept only until the work it allowed has ended.
    pub(super) draining: Option<Tenure>,
    /// Another candidate that the record names.
    pub(super) rival: Option<Rival>,
    /// The highest term seen, of any candidate.
    pub(super) term: Option<Term>,
    /// When the last call that the store answered was sent.
    pub(super) store_answered: Option<BootTime>,
    /// Since when calls to the store fail: when the first of them was sent.
    pub(super) store_fails: Option<BootTime>,
    /// The last change of the leadership, by what the store showed last.
    pub(super) last_change: Change,
    /// When the lease in the record can be claimed, as far as is known.
    pub(super) claimable_at: Option<BootTime>,
    /// Leader-only work of an earlier term keeps this candidate from standing.
    pub(super) awaits_work: bool,
    /// When the election was first decided.
    pub(super) first_decided: Option<BootTime>,
    /// Why the candidate is not standing.
    pub(super) standing_down: Option<StandingDown>,
    /// A pause of the election that the record shows, in force or over.
    pub(super) paused: Option<Sight>,
    /// Who the last holder named to lead next, while no candidate does.
    pub(super) successor: Option<Box<str>>,
    /// The last leadership of this candidate that ended.
    pub(super) last_loss: Option<Loss>,
}

/// Who holds the lease, as the record says.
#[derive(Clone, Debug)]
pub struct Holder {
    /// Who.
    pub identity: String,
    /// The fencing token.
    pub term: Term,
    /// By the holder's settings.
    pub lease_duration: Duration,
    /// By the holder's wall clock.
    pub acquire_time: WallTime,
    /// By the holder's wall clock.
    pub renew_time: WallTime,
    /// Where it can be reached, if it says so.
    pub url: Option<HolderUrl>,
    /// Where it runs, if known.
    pub origin: Option<Origin>,
}

impl Holder {
    /// The candidate that holds the lease of this record.
    pub(super) fn of(candidate: &Candidate, record: &LeaseRecord) -> Self {
        Self {
            identity: candidate.identity.clone(),
            term: record.term,
            lease_duration: record.lease_duration,
            acquire_time: record.acquire_time,
            renew_time: record.renew_time,
            url: record.holder_url.clone(),
            origin: record.origin.clone(),
        }
    }
}

/// This candidate's own hold on the lease.
#[derive(Clone, Debug)]
pub struct Tenure {
    /// What the record says of it.
    pub holder: Holder,
    /// Until when it is believed.
    pub until: BootTime,
    /// When work that depends on it is killed.
    pub kills_at: BootTime,
    /// When the last renewal was sent.
    pub renewed: BootTime,
    /// The version of the record since.
    pub version: Version,
}

impl Tenure {
    /// The fencing token.
    pub fn term(&self) -> Term {
        self.holder.term
    }
}

/// Another candidate's hold on the lease, as seen from here.
#[derive(Clone, Debug)]
pub(super) struct Rival {
    /// What the record says of it.
    pub(super) holder: Holder,
    /// Until when its lease can be live.
    pub(super) live_until: BootTime,
    /// When it renewed its lease.
    pub(super) written: Written,
    /// When it has stopped leading if it did not renew since.
    pub(super) believed_until: BootTime,
    /// Whether its process has written since this candidate stands under its present incarnation.
    pub(super) is_alive: bool,
}

impl Rival {
    /// The last renewal, if it is known when that was.
    fn renewed(&self) -> Option<BootTime> {
        self.written.is_close.then_some(self.written.by)
    }
}

/// Who the holder is, as seen from a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HolderIs {
    /// The candidate itself.
    ThisInstance,
    /// A process of the same name that has not been seen to write: most likely an earlier run of this
    /// instance, or this very process before it was paused or copied.
    EarlierRun,
    /// Another process of the same name, which is alive.
    Namesake,
    /// Another instance.
    Another,
}

impl HolderIs {
    /// For JSON and the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ThisInstance => "this_instance",
            Self::EarlierRun => "earlier_run",
            Self::Namesake => "namesake",
            Self::Another => "another",
        }
    }
}

/// Why a candidate does not stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandingDown {
    /// The process is shutting down.
    ShuttingDown,
    /// The gate is closed: the application is not healthy.
    GateClosed,
    /// There is nothing to do: it stands only for work.
    NothingToDo,
    /// It resigned and waits for the cooldown to end.
    Resigned {
        /// When it stands again.
        until: BootTime,
    },
    /// The election is paused.
    Paused {
        /// When it stands again; none if the election has to be resumed.
        until: Option<BootTime>,
    },
}

impl StandingDown {
    /// When it ends by the passing of time, if it does.
    pub(super) fn ends_at(self) -> Option<BootTime> {
        match self {
            Self::Resigned { until } => Some(until),
            Self::Paused { until } => until,
            Self::ShuttingDown | Self::GateClosed | Self::NothingToDo => None,
        }
    }

    /// Whether it is a reason at `now`.
    pub(super) fn lasts_at(self, now: BootTime) -> bool {
        self.ends_at().is_none_or(|ends_at| now < ends_at)
    }

    /// The reason for which a leader steps down.
    pub(super) fn ends_belief(self) -> LossReason {
        match self {
            Self::ShuttingDown => LossReason::ShuttingDown,
            Self::GateClosed => LossReason::GateClosed,
            Self::NothingToDo => LossReason::NothingToDo,
            Self::Resigned { .. } => LossReason::Resigned,
            Self::Paused { .. } => LossReason::Paused,
        }
    }
}

/// What decides whether a candidate stands: see [`Event::Gate`](super::elector::Event::Gate).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gated {
    /// The health of the application.
    ByHealth,
    /// Whether there is work that is done once.
    ByWork,
}

impl Gated {
    /// Why it does not stand behind a closed gate.
    pub(super) fn closed(self) -> StandingDown {
        match self {
            Self::ByHealth => StandingDown::GateClosed,
            Self::ByWork => StandingDown::NothingToDo,
        }
    }
}

/// The end of a leadership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Loss {
    pub(super) term: Term,
    pub(super) reason: LossReason,
}

/// Why an election is not decided, as seen from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undecided {
    /// No answer yet since the start.
    #[error("the store has not responded yet")]
    NoAnswerYet,
    /// The last answer is older than a lease duration.
    #[error("the store has not responded for a lease duration")]
    StoreSilent,
    /// The store answers; no leader is known.
    #[error("no leader is known")]
    NoLeader,
}

impl Leadership {
    /// What a candidate sees before its first look: nothing.
    pub fn unknown(candidate: Candidate, timing: Timing) -> Self {
        Self {
            candidate,
            timing,
            own: None,
            draining: None,
            rival: None,
            term: None,
            store_answered: None,
            store_fails: None,
            last_change: Change::NONE,
            claimable_at: None,
            awaits_work: false,
            first_decided: None,
            standing_down: None,
            paused: None,
            successor: None,
            last_loss: None,
        }
    }

    /// Whether this candidate may do leader-only work at `now`.
    pub fn is_leading(&self, now: BootTime) -> bool {
        self.leading(now).is_some()
    }

    /// The candidate's own leadership, if it is valid at `now`.
    pub fn leading(&self, now: BootTime) -> Option<&Tenure> {
        self.own.as_ref().filter(|own| now < own.until)
    }

    /// The lease that this candidate still holds while it waits for its work to end. It does not
    /// lead any more, and no other candidate does yet.
    pub fn draining(&self, now: BootTime) -> Option<&Tenure> {
        self.draining.as_ref().filter(|lease| now < lease.until)
    }

    /// For how much longer this candidate leads if nothing happens; zero if it does not lead.
    pub fn valid_for(&self, now: BootTime) -> Duration {
        self.leading(now).map_or(Duration::ZERO, |own| own.until.since(now))
    }

    /// The candidate that may be leading at `now`: this candidate, or a rival whose lease can be live.
    pub fn holder(&self, now: BootTime) -> Option<&Holder> {
        let own = self.leading(now).map(|own| &own.holder);
        own.or_else(|| self.live_rival(now).map(|rival| &rival.holder))
    }

    /// When the lease of another instance, which leads at `now`, can be over if it does not renew.
    pub fn rival_ends_in(&self, now: BootTime) -> Option<Duration> {
        let rival = self.live_rival(now).filter(|_| self.leading(now).is_none())?;
        Some(rival.live_until.since(now))
    }

    /// Who the holder is, if one is known to lead at `now`. The identity alone does not tell: an
    /// earlier run of this instance has the same one, and another process may have it too.
    pub fn holder_is(&self, now: BootTime) -> Option<HolderIs> {
        if self.is_leading(now) {
            return Some(HolderIs::ThisInstance);
        }
        let rival = self.live_rival(now)?;
        Some(match rival.holder.identity == self.candidate.identity {
            true if rival.is_alive => HolderIs::Namesake,
            true => HolderIs::EarlierRun,
            false => HolderIs::Another,
        })
    }

    /// How long ago the holder renewed its lease, as far as that was seen here. None without a
    /// holder, or if that is not known.
    pub fn renewed_ago(&self, now: BootTime) -> Option<Duration> {
        let own = self.leading(now).map(|own| own.renewed);
        let renewed = own.or_else(|| self.live_rival(now)?.renewed())?;
        Some(now.since(renewed))
    }

    /// Whether another instance that leads has missed its renewals: it has not been seen to write for
    /// more than half of its lease.
    pub fn is_overdue(&self, now: BootTime) -> bool {
        let rival = self.live_rival(now).filter(|_| !self.is_leading(now));
        rival.is_some_and(|rival| now.since(rival.written.by) > rival.holder.lease_duration / 2)
    }

    /// When this candidate can take over, if the lease that keeps it from doing so is not renewed. None
    /// if it leads, does not stand, or has not seen the record.
    pub fn takes_over_in(&self, now: BootTime) -> Option<Duration> {
        let stands = self.standing_down(now).is_none() && !self.awaits_work;
        let claimable_at = self.claimable_at.filter(|_| stands && !self.is_leading(now))?;
        Some(claimable_at.since(now))
    }

    /// Whether leader-only work of a term that ended keeps this candidate from standing.
    pub fn awaits_work(&self) -> bool {
        self.awaits_work
    }

    /// How the present state of the leadership came about, as far as was seen here.
    pub fn change(&self, now: BootTime) -> Change {
        let change = self.change_of_record(now);
        let is_paused = self.paused(now).is_some() && self.holder(now).is_none();
        match change.cause {
            Cause::NoAnswerYet | Cause::StoreSilent => change,
            _ if is_paused => Change { cause: Cause::Paused, ..change },
            _ => change,
        }
    }

    /// The same, whether or not the election is paused.
    pub(super) fn change_of_record(&self, now: BootTime) -> Change {
        let Some(answered) = self.store_answered else { return Change::NONE };
        if self.holder(now).is_some() {
            return self.last_change;
        }
        if let Some(own) = &self.own {
            // The deadline has passed, and the election has not noticed it yet.
            let cause = Cause::Stopped(LossReason::RenewDeadline);
            return Change { cause, since: Some(own.until) };
        }
        let over_at = self.rival.as_ref().map(|rival| rival.live_until);
        let silent_at = answered + self.timing.lease_duration();
        let silent = |since| Change { cause: Cause::StoreSilent, since: Some(since) };
        match &self.rival {
            // The last look showed a holder that may have renewed its lease since.
            Some(rival) if answered < rival.believed_until => silent(rival.live_until),
            _ if now >= silent_at => silent(over_at.map_or(silent_at, |at| at.max(silent_at))),
            Some(rival) => Change { cause: Cause::LeaseRanOut, since: rival.renewed() },
            None => self.last_change,
        }
    }

    fn live_rival(&self, now: BootTime) -> Option<&Rival> {
        self.rival.as_ref().filter(|rival| now < rival.live_until)
    }

    /// The highest term that was seen in this election; none before the first answer.
    pub fn term(&self) -> Option<Term> {
        self.term
    }

    /// The pause that is in force at `now`: no candidate stands, for a while or until it is resumed.
    pub fn paused(&self, now: BootTime) -> Option<&Pause> {
        self.paused.as_ref().filter(|seen| seen.is_in_force(now)).map(|seen| &seen.pause)
    }

    /// How much is left of that pause; none if it lasts until the election is resumed.
    pub fn pause_left(&self, now: BootTime) -> Option<Duration> {
        let paused = self.paused.as_ref().filter(|seen| seen.is_in_force(now))?;
        Some(paused.ends_at?.since(now))
    }

    /// Whether the election is decided as seen from here: the store answered within the last lease
    /// duration, and this candidate leads, a live holder is known, or it is known that no candidate
    /// leads because the election is paused.
    ///
    /// # Errors
    ///
    /// Why it is not.
    pub fn decided(&self, now: BootTime) -> Result<(), Undecided> {
        let answered = self.store_answered.ok_or(Undecided::NoAnswerYet)?;
        if now.since(answered) > self.timing.lease_duration() {
            Err(Undecided::StoreSilent)
        } else if self.holder(now).is_none() && self.paused(now).is_none() {
            Err(Undecided::NoLeader)
        } else {
            Ok(())
        }
    }

    /// Whether the election was ever decided since the start of the process.
    pub fn was_ever_decided(&self) -> bool {
        self.first_decided.is_some()
    }

    /// Why the candidate is not standing, if it is not.
    pub fn standing_down(&self, now: BootTime) -> Option<StandingDown> {
        let paused = self.paused.as_ref().filter(|seen| seen.is_in_force(now));
        let paused = paused.map(|seen| StandingDown::Paused { until: seen.ends_at });
        match self.standing_down.filter(|reason| reason.lasts_at(now)) {
            // A pause may be over before a resignation is.
            Some(resigned @ StandingDown::Resigned { .. }) => paused.or(Some(resigned)),
            None => paused,
            other => other,
        }
    }

    /// Who is to lead next, as the last holder said. None while a candidate leads.
    pub fn successor(&self, now: BootTime) -> Option<&str> {
        self.successor.as_deref().filter(|_| self.holder(now).is_none())
    }

    /// Why this candidate does not lead at `now` in `term`, in which it once did. None while it does.
    pub fn loss_of(&self, term: Term, now: BootTime) -> Option<LossReason> {
        if self.leading(now).is_some_and(|own| own.term() == term) {
            return None;
        }
        let known = self.last_loss.filter(|loss| loss.term == term).map(|loss| loss.reason);
        let lapsed = self.own.as_ref().is_some_and(|own| own.term() == term);
        // The deadline may have passed without the election having noticed it yet.
        let seen = if lapsed { LossReason::RenewDeadline } else { LossReason::Superseded };
        Some(known.unwrap_or(seen))
    }

    /// For how long calls to the store have failed; none if the last one was answered.
    pub fn store_fails_for(&self, now: BootTime) -> Option<Duration> {
        self.store_fails.map(|since| now.since(since))
    }

    /// How long ago the store was asked the last question that it answered.
    pub fn store_silence(&self, now: BootTime) -> Option<Duration> {
        self.store_answered.map(|answered| now.since(answered))
    }

    /// When the answers above change by the passing of time alone, if nothing else happens before.
    pub fn decays_at(&self, now: BootTime) -> Option<BootTime> {
        let silent = self.store_answered.map(|answered| answered + self.timing.lease_duration());
        let own = self.leading(now).map(|own| own.until);
        let holder = own.or_else(|| self.live_rival(now).map(|rival| rival.live_until));
        let pause = self.paused.as_ref().and_then(|seen| seen.ends_at);
        holder.into_iter().chain(silent).chain(pause).filter(|at| *at > now).min()
    }
}

#[cfg(test)]
mod tests;
