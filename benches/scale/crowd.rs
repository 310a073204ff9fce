//! All candidates of some elections, and what happens to the leader.

use std::thread;
use std::time::Duration;

use bellwether::election::lease::ElectionName;
use bellwether::election::time::BootTime;
use bellwether::election::timing::Timing;
use support::now;

use crate::place::Place;
use crate::process::Process;

/// A leader follows within this time, or the measurement fails.
const LIMIT: Duration = Duration::from_secs(120);

const SECOND: Duration = Duration::from_secs(1);

/// What followed a crash or a hand-over.
pub struct Disturbed {
    /// How many elections the process led.
    pub elections: usize,
    /// From the end of each lease, or from the request to leave, until the next candidate leads: the longest.
    pub until_led: Duration,
    /// The most requests in any second, from the disturbance until a second after all know the next leader.
    pub most_in_a_second: usize,
}

pub struct Steady {
    pub requests_a_minute: f64,
    /// Leases that did not stay with their leader.
    pub lost: u64,
}

pub struct Crowd {
    place: Place,
    elections: Vec<ElectionName>,
    processes: Vec<Process>,
    joined: usize,
}

impl Crowd {
    /// Starts them, and waits until all are as they are in the long run. The first leads all elections.
    pub fn gather(place: Place, processes: usize, elections: usize) -> Self {
        let names = (0..elections).map(|number| format!("election-{number}").parse().unwrap());
        let mut crowd =
            Self { place, elections: names.collect(), processes: Vec::new(), joined: 0 };
        crowd.join();
        crowd.wait("the first leads", |crowd, now| {
            crowd.processes[0].candidates.iter().all(|one| one.read(|view| view.is_leading(now)))
        });
        while crowd.joined < processes {
            crowd.join();
        }
        crowd.settle();
        crowd
    }

    fn join(&mut self) {
        let name = format!("candidate-{}", self.joined);
        self.processes.push(Process::start(&self.place, &name, &self.elections));
        self.joined += 1;
    }

    fn wait_until_all_know(&self) {
        self.wait("all know a leader", |crowd, now| {
            let mut all = crowd.processes.iter().flat_map(|process| &process.candidates);
            all.all(|one| one.read(|view| view.holder(now).is_some()))
        });
    }

    /// All know the leader, and then a check of the pushes has passed for each.
    fn settle(&self) {
        self.wait_until_all_know();
        thread::sleep(Timing::default().renew_deadline() * 2);
    }

    fn wait(&self, what: &str, is_so: impl Fn(&Self, BootTime) -> bool) {
        let give_up = now() + LIMIT;
        while !is_so(self, now()) {
            assert!(now() < give_up, "not within {LIMIT:?}: {what}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn stay(&self, span: Duration) -> Steady {
        let before = self.terms();
        let requests_a_minute = self.place.requests.a_minute(span);
        Steady { requests_a_minute, lost: self.terms() - before }
    }

    /// Each lease that is lost is followed by a higher term, also if the same candidate takes it again.
    fn terms(&self) -> u64 {
        let term = |process: &Process, at: usize| {
            process.candidates[at].read(|view| view.term()).map_or(0, |term| term.get())
        };
        let highest = |at| self.processes.iter().map(|process| term(process, at)).max();
        (0..self.elections.len()).filter_map(highest).sum()
    }

    pub fn crash(&mut self) -> Disturbed {
        let leader = self.remove_leader();
        let timing = Timing::default();
        let begun = now();
        let lease_end = |one: &bellwether::driver::Handle| {
            let until = one.read(|view| view.leading(begun).map(|own| own.until))?;
            Some(until + (timing.lease_duration() - timing.renew_deadline()))
        };
        let led = leader.candidates.iter().map(lease_end).collect();
        leader.crash();
        self.followed(begun, led)
    }

    pub fn hand_over(&mut self) -> Disturbed {
        let leader = self.remove_leader();
        let begun = now();
        let leads = |one: &bellwether::driver::Handle| one.read(|view| view.is_leading(begun));
        let led = leader.candidates.iter().map(|one| leads(one).then_some(begun)).collect();
        leader.leave(LIMIT);
        self.followed(begun, led)
    }

    /// From when on each election, if it is one of those, can have a next leader.
    fn followed(&mut self, begun: BootTime, mut led: Vec<Option<BootTime>>) -> Disturbed {
        let elections = led.iter().flatten().count();
        let mut until_led = Duration::ZERO;
        while led.iter().any(Option::is_some) {
            let now = now();
            assert!(now.since(begun) < LIMIT, "no next leader within {LIMIT:?}");
            for (at, since) in led.iter_mut().enumerate() {
                if let Some(since) = since.take_if(|_| self.is_led(at, now)) {
                    until_led = until_led.max(now.since(since));
                }
            }
            thread::sleep(Duration::from_millis(1));
        }
        self.wait_until_all_know();
        thread::sleep(SECOND);
        let most_in_a_second = self.place.requests.most_in_a_second(begun);
        self.join();
        self.settle();
        Disturbed { elections, until_led, most_in_a_second }
    }

    fn is_led(&self, at: usize, now: BootTime) -> bool {
        let leads = |process: &Process| process.candidates[at].read(|view| view.is_leading(now));
        self.processes.iter().any(leads)
    }

    /// The process that leads the most elections.
    fn remove_leader(&mut self) -> Process {
        let now = now();
        let led = |at: &usize| {
            let all = self.processes[*at].candidates.iter();
            all.filter(|one| one.read(|view| view.is_leading(now))).count()
        };
        let leader = (0..self.processes.len()).max_by_key(led).expect("there is one");
        self.processes.remove(leader)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.processes.drain(..).for_each(Process::crash);
    }
}
