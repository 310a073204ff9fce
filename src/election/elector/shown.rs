//! What others may know of the election: for readers, and as news.

use std::time::Duration;

use super::copied::Name;
use super::held::{Held, Lease};
use super::news::News;
use super::standing::Standing;
use crate::election::holder_url::HolderUrl;
use crate::election::leadership::{Holder, Loss, LossReason, Rival, Tenure};
use crate::election::lease::{Candidate, LeaseRecord, Observed, Origin};
use crate::election::pause::Pause;
use crate::election::projection::Projection;
use crate::election::succession::Succession;
use crate::election::term::Term;
use crate::election::time::{BootTime, WallTime};
use crate::election::timing::{Timing, longest_belief};
use crate::election::watch::Watch;

/// What was seen and reported so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Shown {
    pub(super) store_answered: Option<BootTime>,
    pub(super) store_fails: Option<BootTime>,
    pub(super) succession: Succession,
    pub(super) first_decided: Option<BootTime>,
    pub(super) last_loss: Option<Loss>,
    /// Where this candidate runs, if that is known.
    pub(super) origin: Option<Origin>,
    /// Where this candidate can be reached while it leads, if it says so.
    pub(super) url: Option<HolderUrl>,
    /// A record of another origin has been reported.
    met_stranger: bool,
    /// The pause that was reported.
    paused: Option<Pause>,
    following: Option<(Candidate, Term)>,
    /// What is followed has the name of this candidate, and is alive: it is no earlier run.
    follows_namesake: bool,
    news: Vec<News>,
}

impl Shown {
    pub(super) fn report(&mut self, news: News) {
        self.news.push(news);
    }

    /// This candidate freed the lease.
    pub(super) fn vacated(&mut self, watch: &Watch) {
        let term = watch.highest_term().unwrap_or_default();
        let successor = watch.handover().and_then(|(left, _)| left.successor());
        self.report(News::Vacated { term, successor: successor.map(Into::into) });
    }

    /// What a record of this candidate says for people, with neither a holder nor a term.
    pub(super) fn record(&self, wall: WallTime) -> LeaseRecord {
        // A pause that was in force is over.
        LeaseRecord {
            origin: self.origin.clone(),
            holder_url: self.url.clone(),
            ..LeaseRecord::without_holder(Duration::ZERO, wall)
        }
    }

    pub(super) fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// This candidate no longer leads.
    pub(super) fn lost(&mut self, term: Term, reason: LossReason, at: BootTime) {
        self.succession.stopped(reason, at);
        self.last_loss = Some(Loss { term, reason });
        self.report(News::Lost { term, reason });
    }

    /// The process stood still or was copied. Work that was ending already has less time, too.
    pub(super) fn copied(&mut self, work_under_way: bool) {
        if let Some(loss) = self.last_loss.as_mut().filter(|_| work_under_way) {
            loss.reason = LossReason::Copied;
        }
    }

    /// The pause that is in force now, if there is one.
    pub(super) fn pause(&mut self, in_force: Option<&Pause>) {
        if in_force == self.paused.as_ref() {
            return;
        }
        self.paused = in_force.cloned();
        self.report(match in_force {
            Some(pause) => News::Paused(pause.clone()),
            None => News::Resumed,
        });
    }

    /// This candidate won a term, which it may lead in or not.
    pub(super) fn follows_none(&mut self) {
        self.following = None;
    }

    /// Whether another candidate than this one, or another term of it, is seen to hold the lease than
    /// before.
    pub(super) fn follow(&mut self, watch: &Watch, name: &Name) -> bool {
        let me = name.candidate();
        let rival = watch.observed().and_then(|o| {
            let holder = o.record.holder.clone().filter(|holder| holder != me)?;
            Some((holder, o.record.term))
        });
        let is_namesake = rival.as_ref().is_some_and(|(holder, _)| holder.identity == me.identity)
            && watch.written().is_some_and(|written| name.shows_another(written));
        let changed = rival != self.following;
        let reveals = is_namesake && !self.follows_namesake;
        self.follows_namesake = is_namesake;
        if let Some((holder, term)) = rival.as_ref().filter(|_| changed || reveals) {
            let holder = holder.identity.clone();
            self.report(News::Following { holder, term: *term });
        }
        self.following = rival;
        changed
    }

    /// Reports that the term is lower than one `seen` earlier, once each time that it falls: a
    /// candidate that never saw the higher one may lead and renew under a lower one.
    pub(super) fn went_backwards(&mut self, last: Option<Term>, seen: Option<Term>, record: Term) {
        if let Some(seen) = seen.filter(|_| last.is_none_or(|last| record < last)) {
            self.report(News::TermWentBackwards { seen, record });
        }
    }

    /// Reports a record of another environment, once.
    pub(super) fn compare_origins(&mut self, seen: Option<&Observed>) {
        let theirs = seen.and_then(|o| o.record.origin.as_ref());
        if let (false, Some(own), Some(origin)) = (self.met_stranger, &self.origin, theirs)
            && own.environment() != origin.environment()
        {
            let stranger = News::Stranger { origin: origin.clone(), own: own.clone() };
            self.report(stranger);
            self.met_stranger = true;
        }
    }

    /// Only the candidate that is followed decides something: when the next look comes.
    pub(super) fn project(&self, onto: &mut dyn Projection) {
        let (holder, term) = self.following.as_ref().map(|(holder, term)| (holder, *term)).unzip();
        onto.candidate(holder);
        onto.term(term.unwrap_or_default());
    }
}

/// The own hold on the lease, believed in or not.
pub(super) fn tenure(held: Held, me: &Candidate, watch: &Watch, timing: &Timing) -> Option<Tenure> {
    let observed = watch.observed()?;
    Some(Tenure {
        holder: Holder::of(me, &observed.record),
        until: timing.leads_until(held.sent_at),
        kills_at: timing.kills_at(held.sent_at),
        renewed: held.sent_at,
        version: observed.version.clone(),
    })
}

/// Who is to claim the lease that this candidate is about to vacate, or that another one vacated.
pub(super) fn successor(lease: &Lease, standing: &Standing, watch: &Watch) -> Option<Box<str>> {
    let own = standing.successor().filter(|_| lease.is_draining());
    let named = || watch.handover()?.0.successor();
    own.or_else(named).map(Into::into)
}

/// Another candidate that the record names.
pub(super) fn rival(name: &Name, watch: &Watch) -> Option<Rival> {
    let me = name.candidate();
    let record = &watch.observed()?.record;
    let holder = record.holder.as_ref().filter(|holder| *holder != me)?;
    let written = watch.written()?;
    Some(Rival {
        holder: Holder::of(holder, record),
        live_until: watch.live_until(me)?,
        written,
        believed_until: written.by + longest_belief(record.lease_duration),
        is_alive: name.shows_another(written),
    })
}
