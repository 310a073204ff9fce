//! The accepted requests to one process.

use std::time::Duration;

use bellwether::election::leadership::{Leadership, StandingDown};
use bellwether::election::term::Term;
use bellwether::election::time::BootTime;

use super::{PROMISES_KEPT, Violation};

/// What a process has promised, by its own clock.
#[derive(Debug, Default)]
pub struct Promises {
    /// The last resignation: its term, and until when no candidate stands here.
    resigned: Option<(Option<Term>, BootTime)>,
    /// When a shutdown gives up.
    gives_up_at: Option<BootTime>,
    /// The process had nothing left to do since.
    known: bool,
}

impl Promises {
    pub fn resigns(&mut self, view: &Leadership, now: BootTime, cooldown: Duration) {
        let term = view.leading(now).map(|own| own.term());
        self.resigned = Some((term, now + cooldown));
        self.known = false;
    }

    pub fn shuts_down(&mut self, gives_up_at: BootTime) {
        let earlier = self.gives_up_at.map_or(gives_up_at, |at| at.min(gives_up_at));
        self.gives_up_at = Some(earlier);
        self.known = false;
    }

    /// The process has nothing left to do for now.
    pub fn are_known(&mut self) {
        self.known = true;
    }

    pub fn is_shutting_down(&self) -> bool {
        self.gives_up_at.is_some()
    }

    pub fn gives_up_at(&self) -> Option<BootTime> {
        self.gives_up_at
    }

    /// When the process has nothing left to do for now. Its timers may be late by `slack`.
    pub fn check(
        &self,
        view: &Leadership,
        now: BootTime,
        slack: Duration,
    ) -> Result<(), Violation> {
        let bad = |what: String| Violation::found(PROMISES_KEPT, what);
        let leads = view.leading(now).map(|own| own.term());
        if let Some((Some(term), _)) = self.resigned
            && leads == Some(term)
        {
            return bad(format!("term {term} continues although its leader resigned"));
        }
        let Some(gives_up_at) = self.gives_up_at else { return Ok(()) };
        if leads.is_some() || view.standing_down(now) != Some(StandingDown::ShuttingDown) {
            return bad("a shutdown was accepted and is not under way".to_owned());
        }
        if now > gives_up_at + slack {
            return bad(format!("a shutdown continues at {now:?}, to be over at {gives_up_at:?}"));
        }
        Ok(())
    }

    /// It writes itself into the record.
    pub fn stands(&self, now: BootTime) -> Result<(), Violation> {
        match self.resigned {
            _ if !self.known => Ok(()),
            Some((_, until)) if now < until => {
                let what = format!("it stands at {now:?}, and resigned until {until:?}");
                Violation::found(PROMISES_KEPT, what)
            }
            _ if self.is_shutting_down() => {
                Violation::found(PROMISES_KEPT, "it stands while it shuts down".to_owned())
            }
            _ => Ok(()),
        }
    }
}
