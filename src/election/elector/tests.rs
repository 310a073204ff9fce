//! One test for each promise of the elector, as a script of named situations.
//!
//! [`World`] is the candidate's surroundings: a clock that is moved by hand and a store of one
//! record whose answers the script can lose. Times are in milliseconds since the start, and the
//! timing is the default one: lease 15 s, renew deadline 10 s, retry period 2 s.

use super::*;
use crate::election::lease::{Renewed, Vacated, Version};
use crate::election::time::WallTime;

mod acquired;
mod announced;
mod calls;
mod copied;
mod false_news;
mod gaining;
mod keeping;
mod losing;
mod passing_on;
mod pausing;
mod pushed_changes;
mod rhythm;
mod shutting_down;
mod standing_by;
mod stepping_down;
mod turns;

const CALL_TIMEOUT: u64 = 2_666;

fn at(ms: u64) -> BootTime {
    BootTime::from_duration(Duration::from_millis(ms))
}

fn candidate(identity: &str, incarnation: &str) -> Candidate {
    Candidate { identity: identity.to_owned(), incarnation: incarnation.to_owned() }
}

fn took_over_at(world: &mut World, limit: u64) -> BootTime {
    while !world.leads() && world.now < at(limit) {
        let next = world.now + Duration::from_millis(1);
        world.run_until(u64::try_from(next.as_duration().as_millis()).unwrap());
    }
    world.now
}

struct World {
    elector: Elector,
    now: BootTime,
    call: Option<Call>,
    wake_at: BootTime,
    finished: bool,
    record: Option<Observed>,
    writes: u64,
    /// What a store with a clock says about every record.
    remaining: Option<Duration>,
    /// What the wall clock read at the start, if that is not zero.
    wall: Option<WallTime>,
    /// How many incarnations were given out since the start.
    lives: u64,
    news: Vec<News>,
    renewals: Vec<Renewal>,
    /// Every call, with the time it was sent at.
    calls: Vec<(BootTime, Call)>,
}

impl World {
    /// A candidate that was just started on an empty store, and looks.
    fn new() -> Self {
        Self::on(None)
    }

    /// A candidate that was just started on a store with this record.
    fn on(record: Option<LeaseRecord>) -> Self {
        Self::seeded(7, record)
    }

    fn seeded(seed: u64, record: Option<LeaseRecord>) -> Self {
        Self::with(candidate("me", "1"), seed, record)
    }

    fn with(me: Candidate, seed: u64, record: Option<LeaseRecord>) -> Self {
        let mut world = Self {
            elector: Elector::new(me, Timing::default(), seed),
            now: BootTime::ZERO,
            call: None,
            wake_at: BootTime::ZERO,
            finished: false,
            record: None,
            writes: 0,
            remaining: None,
            wall: None,
            lives: 0,
            news: Vec::new(),
            renewals: Vec::new(),
            calls: Vec::new(),
        };
        if let Some(record) = record {
            world.candidate_writes(record);
        }
        world.send(Event::Wake);
        world
    }

    /// A candidate that leads under term 1 by a write sent at zero.
    fn leading() -> Self {
        let mut world = Self::new();
        world.run_until(0);
        assert!(world.leads());
        world.news.clear();
        world
    }

    /// A candidate that first saw a rival's record, of term 5, at zero.
    fn standby() -> Self {
        let mut world = Self::on(Some(rival(5)));
        world.store_answers();
        world.news.clear();
        world
    }

    /// One step of the elector, with what must be true of every step.
    fn send(&mut self, event: Event) {
        assert!(!self.finished, "a step after the end");
        let started = self.wall.map_or(Duration::ZERO, WallTime::since_epoch);
        let wall = WallTime::from_unix(started + self.now.as_duration());
        let mut step = self.elector.step(Now { boot: self.now, wall }, event);
        if self.elector.needs_incarnation() {
            let waits = matches!(step.action, Action::Wait { .. } | Action::Finished);
            assert!(waits, "a call without a name: {:?}", step.action);
            self.lives += 1;
            let incarnation = format!("of life {}", self.lives);
            let event = Event::Reborn { incarnation, seed: self.lives };
            let reborn = self.elector.step(Now { boot: self.now, wall }, event);
            step = Step { action: reborn.action, news: [step.news, reborn.news].concat() };
        }
        for news in step.news {
            match news {
                News::Renewal(renewal) => self.renewals.push(renewal),
                news => self.news.push(news),
            }
        }
        match step.action {
            Action::Wait { until } => {
                assert!(until > self.now, "it spins at {:?}", self.now);
                self.wake_at = until;
            }
            Action::Finished => self.finished = true,
            Action::Call(call) => {
                assert!(self.call.is_none(), "two calls at a time");
                assert!(self.calls.len() < 10_000, "it calls without end at {:?}", self.now);
                let (Call::Observe { deadline } | Call::Swap { deadline, .. }) = &call;
                assert!(*deadline > self.now, "no time to answer");
                assert!(deadline.since(self.now) <= Timing::default().call_timeout());
                self.wake_at = *deadline;
                self.calls.push((self.now, call.clone()));
                self.call = Some(call);
            }
        }
    }

    fn deadline(&self) -> BootTime {
        match self.call.as_ref().expect("a call is under way") {
            Call::Observe { deadline } | Call::Swap { deadline, .. } => *deadline,
        }
    }

    /// Moves the clock and says so.
    fn wake_at(&mut self, ms: u64) {
        self.now = at(ms);
        self.send(Event::Wake);
    }

    /// Carries out the call under way, and gives its answer to the script.
    fn apply(&mut self) -> Event {
        match self.call.take().expect("a call is under way") {
            Call::Observe { .. } => Event::Observed(Ok(self.show())),
            Call::Swap { expected, record, .. } => {
                if self.record.as_ref().map(|o| &o.version) != expected.as_ref() {
                    return Event::Swapped(Ok(Swapped::Lost(self.show())));
                }
                Event::Swapped(Ok(Swapped::Won(self.stores(record))))
            }
        }
    }

    fn show(&self) -> Option<Observed> {
        self.record.clone().map(|o| Observed { remaining: self.remaining, ..o })
    }

    /// A candidate writes. If that is a renewal, it has a time of its own.
    fn candidate_writes(&mut self, record: LeaseRecord) -> Version {
        let stored = self.record.as_ref().map(|o| &o.record);
        let renews = stored.is_some_and(|stored| record.is_same_writing(stored));
        let later = WallTime::from_unix(Duration::from_millis(1) + record.renew_time.since_epoch());
        let renew_time = if renews { later } else { record.renew_time };
        self.stores(LeaseRecord { renew_time, ..record })
    }

    fn stores(&mut self, record: LeaseRecord) -> Version {
        self.writes += 1;
        let version = Version::new(self.writes.to_string());
        self.record =
            Some(Observed { record, version: version.clone(), remaining: None, outlived: false });
        version
    }

    /// The call under way is carried out and answered at once.
    fn store_answers(&mut self) {
        let answer = self.apply();
        self.send(answer);
    }

    /// The call under way is not carried out, and fails now.
    fn request_is_lost(&mut self) {
        let failed = match self.call.take().expect("a call is under way") {
            Call::Observe { .. } => Event::Observed(Err(CallFailed)),
            Call::Swap { .. } => Event::Swapped(Err(CallFailed)),
        };
        self.send(failed);
    }

    /// The call under way is carried out, but fails now.
    fn answer_is_lost(&mut self) {
        let failed = match self.apply() {
            Event::Observed(_) => Event::Observed(Err(CallFailed)),
            _ => Event::Swapped(Err(CallFailed)),
        };
        self.send(failed);
    }

    /// Time passes to `ms`, and the store answers everything at once.
    fn run_until(&mut self, ms: u64) {
        loop {
            if self.call.is_some() {
                self.store_answers();
            } else if !self.finished && self.wake_at <= at(ms) {
                self.now = self.now.max(self.wake_at);
                self.send(Event::Wake);
            } else {
                break;
            }
        }
        self.now = at(ms);
    }

    /// Time passes until the next call is sent. Returns when that was.
    fn run_until_request(&mut self) -> BootTime {
        let started = self.now;
        while self.call.is_none() {
            assert!(self.now.since(started) < Duration::from_secs(60), "it calls no more");
            self.now = self.now.max(self.wake_at);
            self.send(Event::Wake);
        }
        self.now
    }

    /// Looks are answered until the candidate swaps.
    fn run_until_swap(&mut self) {
        while !matches!(self.call, Some(Call::Swap { .. })) {
            if self.call.is_some() {
                self.store_answers();
            } else {
                self.run_until_request();
            }
        }
    }

    /// Time passes to `ms`, and every call hangs until its deadline.
    fn run_without_store_until(&mut self, ms: u64) {
        while !self.finished && self.wake_at <= at(ms) {
            self.now = self.now.max(self.wake_at);
            if self.call.is_some() && self.now >= self.deadline() {
                self.request_is_lost();
            } else {
                self.send(Event::Wake);
            }
        }
        self.now = at(ms);
    }

    fn leads(&self) -> bool {
        self.elector.leadership().is_leading(self.now)
    }

    fn leads_at(&self, ms: u64) -> bool {
        self.elector.leadership().is_leading(at(ms))
    }

    fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    fn stored(&self) -> &LeaseRecord {
        &self.record.as_ref().expect("a record").record
    }

    fn looks(&self) -> bool {
        matches!(self.call, Some(Call::Observe { .. }))
    }

    /// What the swap under way would write.
    fn writes(&self) -> &LeaseRecord {
        match &self.call {
            Some(Call::Swap { record, .. }) => record,
            other => panic!("no swap is under way but {other:?}"),
        }
    }
}

fn held_by(holder: Candidate, term: u64) -> LeaseRecord {
    LeaseRecord {
        holder: Some(holder),
        term: Term::new(term),
        ..LeaseRecord::without_holder(Duration::from_secs(15), WallTime::EPOCH)
    }
}

fn rival(term: u64) -> LeaseRecord {
    held_by(candidate("rival", "9"), term)
}

fn vacated(term: u64) -> LeaseRecord {
    LeaseRecord { holder: None, ..rival(term) }
}

const LOST_BY_DEADLINE: News = News::Lost { term: Term::new(1), reason: LossReason::RenewDeadline };

fn shutdown(give_up_at: u64) -> Event {
    Event::Shutdown { give_up_at: at(give_up_at) }
}
