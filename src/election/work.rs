//! What running leader-only work should do now, given the leadership.

use std::time::Duration;

use super::leadership::{Leadership, LossReason, Tenure};
use super::time::BootTime;

/// Until when leader-only work may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// When it is told to end (SIGTERM).
    pub stop_at: BootTime,
    /// When what is left of it is killed (SIGKILL).
    pub kill_at: BootTime,
}

impl Deadlines {
    /// What the leadership allows if it is not renewed.
    pub fn of(tenure: &Tenure) -> Self {
        Self { stop_at: tenure.until, kill_at: tenure.kills_at }
    }
}

/// What work in its term is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directive {
    /// Continue, until then.
    Continue(Deadlines),
    /// End, and be killed then.
    End {
        /// May move to a later time, as the lease is renewed for work that is ending.
        kill_at: BootTime,
    },
}

/// Leader-only work that was begun in one term.
#[derive(Clone, Debug)]
pub struct SupervisedWork {
    /// The leadership as it was last known to be renewed.
    tenure: Tenure,
    draining_since: Option<BootTime>,
    /// When another instance was first known to lead, or likely to.
    too_late_since: Option<BootTime>,
    grace: Duration,
}

impl SupervisedWork {
    /// Work that begins under `tenure`. It may take `grace` to end if this instance steps down on
    /// purpose, for as long as the lease is kept for it.
    pub fn new(tenure: Tenure, grace: Duration) -> Self {
        Self { tenure, draining_since: None, too_late_since: None, grace }
    }

    /// The leadership that it runs under, as last renewed.
    pub fn tenure(&self) -> &Tenure {
        &self.tenure
    }

    /// What to tell it. To be asked at every change of the view.
    pub fn directive(&mut self, view: &Leadership, now: BootTime) -> Directive {
        let term = self.tenure.term();
        let same_term = |held: &&Tenure| held.term() == term;
        if let Some(own) = view.leading(now).filter(same_term) {
            self.tenure = own.clone();
            return Directive::Continue(Deadlines::of(own));
        }
        if let Some(held) = view.draining(now).filter(same_term) {
            self.tenure = held.clone();
            self.draining_since.get_or_insert(now);
        } else if view.holder(now).is_some_and(|holder| holder.term > term)
            || view.loss_of(term, now) == Some(LossReason::Copied)
        {
            // Another candidate leads, or this instance under a new term: the work is killed now.
            // After a clock that stood still, or a copy of this process, another candidate may lead
            // as well.
            return Directive::End { kill_at: *self.too_late_since.get_or_insert(now) };
        }
        let patience = self.draining_since.map(|since| since + self.grace);
        let kill_at = self.tenure.kills_at;
        Directive::End { kill_at: patience.map_or(kill_at, |patience| patience.min(kill_at)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::election::elector::{Action, Call, Elector, Event, Sign, Swapped};
    use crate::election::lease::{Candidate, Version};
    use crate::election::term::Term;
    use crate::election::time::{Now, WallTime};
    use crate::election::timing::Timing;

    const GRACE: Duration = Duration::from_secs(20);

    fn at(seconds: u64) -> Now {
        let boot = BootTime::from_duration(Duration::from_secs(seconds));
        Now { boot, wall: WallTime::EPOCH }
    }

    /// An elector that was elected by a write sent at second 100, and work under it.
    fn leading() -> (Elector, SupervisedWork) {
        let me = Candidate { identity: "me".to_owned(), incarnation: "1".to_owned() };
        let mut elector = Elector::new(me, Timing::default(), 1);
        elector.step(at(100), Event::Wake);
        elector.step(at(100), Event::Observed(Ok(None)));
        elector.step(at(100), Event::Swapped(Ok(Swapped::Won(Version::new("1")))));
        elector.step(at(100), Event::Work { under_way: true });
        let tenure = elector.leadership().leading(at(100).boot).unwrap().clone();
        (elector, SupervisedWork::new(tenure, GRACE))
    }

    fn renew(elector: &mut Elector, seconds: u64) {
        let action = elector.step(at(seconds), Event::Wake).action;
        assert!(matches!(action, Action::Call(Call::Swap { .. })), "{action:?}");
        let won = Swapped::Won(Version::new(seconds.to_string()));
        elector.step(at(seconds), Event::Swapped(Ok(won)));
    }

    fn directed(elector: &Elector, supervised: &mut SupervisedWork, seconds: u64) -> Directive {
        supervised.directive(&elector.leadership(), at(seconds).boot)
    }

    fn continues(stop: u64, kill_ms: u64) -> Directive {
        let kill_at = BootTime::from_duration(Duration::from_millis(kill_ms));
        Directive::Continue(Deadlines { stop_at: at(stop).boot, kill_at })
    }

    fn end(kill_ms: u64) -> Directive {
        Directive::End { kill_at: BootTime::from_duration(Duration::from_millis(kill_ms)) }
    }

    #[test]
    fn a_renewal_moves_the_deadlines() {
        let (mut elector, mut supervised) = leading();
        assert_eq!(directed(&elector, &mut supervised, 101), continues(110, 112_500));
        renew(&mut elector, 102);
        assert_eq!(directed(&elector, &mut supervised, 103), continues(112, 114_500));
    }

    #[test]
    fn a_lapse_ends_it_within_the_lease() {
        let (elector, mut supervised) = leading();
        assert_eq!(directed(&elector, &mut supervised, 111), end(112_500));
    }

    #[test]
    fn stepping_down_keeps_the_lease_for_as_long_as_the_grace() {
        let (mut elector, mut supervised) = leading();
        elector.step(at(101), Event::Resign { cooldown: Duration::from_secs(60), successor: None });
        assert_eq!(directed(&elector, &mut supervised, 101), end(112_500));
        for seconds in (102..=112).step_by(2) {
            renew(&mut elector, seconds);
        }
        assert_eq!(directed(&elector, &mut supervised, 112), end(121_000), "101 and the grace");
    }

    #[test]
    fn a_lease_that_lapses_while_it_is_kept_still_ends_the_work_in_time() {
        let (mut elector, mut supervised) = leading();
        elector.step(at(101), Event::Resign { cooldown: Duration::from_secs(60), successor: None });
        renew(&mut elector, 102);
        assert_eq!(directed(&elector, &mut supervised, 102), end(114_500));
        elector.step(at(112), Event::Wake);
        assert_eq!(directed(&elector, &mut supervised, 112), end(114_500), "by the last renewal");
    }

    #[test]
    fn work_of_a_process_that_was_paused_or_copied_is_killed_at_once() {
        let (mut elector, mut supervised) = leading();
        renew(&mut elector, 102);
        elector.step(at(103), Event::Copied(Sign::VmGeneration));
        assert_eq!(directed(&elector, &mut supervised, 103), end(103_000));
        let (incarnation, seed) = ("2".to_owned(), 2);
        elector.step(at(103), Event::Reborn { incarnation, seed });
        assert_eq!(directed(&elector, &mut supervised, 104), end(103_000), "nothing new to say");
    }

    #[test]
    fn work_that_was_ending_in_a_process_that_was_copied_is_killed_at_once_too() {
        let (mut elector, mut supervised) = leading();
        renew(&mut elector, 102);
        elector.step(at(102), Event::Resign { cooldown: Duration::from_secs(60), successor: None });
        directed(&elector, &mut supervised, 102);
        elector.step(at(103), Event::Copied(Sign::VmGeneration));
        assert_eq!(directed(&elector, &mut supervised, 103), end(103_000));
    }

    #[test]
    fn a_new_term_of_its_own_allows_nothing_to_the_old_work() {
        let (mut elector, mut supervised) = leading();
        let action = elector.step(at(111), Event::Wake).action;
        assert!(matches!(action, Action::Call(Call::Observe { .. })), "{action:?}");
        elector.step(at(111), Event::Observed(Ok(None)));
        // The last request for the old work comes when it is gone, as far as the elector knows.
        elector.step(at(112), Event::Work { under_way: false });
        elector.step(at(130), Event::Wake);
        elector.step(at(130), Event::Observed(Ok(None)));
        elector.step(at(130), Event::Swapped(Ok(Swapped::Won(Version::new("2")))));
        let view = elector.leadership();
        assert_eq!(view.leading(at(130).boot).map(|own| own.term()), Some(Term::new(2)));
        assert_eq!(directed(&elector, &mut supervised, 130), end(130_000));
    }
}
