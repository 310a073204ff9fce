//! What is measured.

use std::ops::Deref;
use std::thread;
use std::time::Duration;

use bellwether::election::time::BootTime;
use rustix::process::Signal;
use support::network::{Background, Mode, Proxy};
use support::{get, now};

use crate::candidate::{Candidate, Failure, family};
use crate::rows::{Kind, Row, Start, uuid};
use crate::stores::Stores;

/// The lease in which leaders crash and are frozen: the shortest that is documented everywhere.
pub const SHORT: Duration = Duration::from_secs(3);

/// The default of client-go and of bellwether: hand-overs, and what an idle candidate costs.
pub const DEFAULT: Duration = Duration::from_secs(15);

/// Longer than any start takes on a busy machine.
const START: Duration = Duration::from_secs(30);

/// After this, a standby is one: by then it has seen several renewals.
const SETTLED: Duration = SHORT;

/// How long something was so, or more than that.
#[derive(Clone, Copy)]
pub enum Span {
    Exactly(Duration),
    /// It had not ended when it was no longer watched.
    MoreThan(Duration),
}

/// What happened in the life of an election.
#[derive(Default)]
pub struct Life {
    /// From the last request of a leader that is killed until the next one leads, as a part of the lease.
    pub crash: Option<f64>,
    /// For how long the work of the killed leader continues beside the next leader.
    pub orphan: Option<Span>,
    /// From a start on the record of a dead leader until it leads.
    pub cold: Option<Duration>,
    /// For how long it claims to lead after a pause in which its lease ended. None if the lease did not end.
    pub pause: Option<Option<Span>>,
    /// For how long two lead after the leader lost its store. None if no other took over.
    pub hole: Option<Option<Span>>,
    /// What failed, in words.
    pub failures: Vec<String>,
}

struct Arena<'a> {
    stores: &'a Stores,
    row: &'a Row,
    lease: Duration,
    election: String,
}

/// A candidate, and the proxy through which it reaches its store.
struct Reached {
    candidate: Candidate,
    proxy: Option<Background>,
}

impl Deref for Reached {
    type Target = Candidate;

    fn deref(&self) -> &Candidate {
        &self.candidate
    }
}

impl Arena<'_> {
    fn start(&self) -> Result<Candidate, Failure> {
        self.start_at(None)
    }

    fn start_at(&self, port: Option<u16>) -> Result<Candidate, Failure> {
        self.row.start(&Start {
            stores: self.stores,
            lease: self.lease,
            election: &self.election,
            works: true,
            port,
            processor: None,
            listen: None,
        })
    }

    fn start_behind_proxy(&self) -> Result<Reached, Failure> {
        let proxy = self.stores.port(self.row.store).map(Proxy::in_background);
        let candidate = self.start_at(proxy.as_ref().map(|proxy| proxy.port()))?;
        Ok(Reached { candidate, proxy })
    }

    /// Until a standby leads that waits for the end of a lease.
    fn take_over(&self) -> Duration {
        self.lease * 2 + Duration::from_secs(2)
    }
}

/// Five leaders of one election, one after the other: one is killed, one starts on a dead record, one is frozen, one
/// loses its store.
pub fn life(stores: &Stores, row: &Row) -> Life {
    let arena = Arena { stores, row, lease: row.lease(SHORT), election: uuid() };
    let mut life = Life::default();
    if let Err(failure) = play(&arena, &mut life) {
        life.failures.push(failure);
    }
    life
}

fn play(arena: &Arena<'_>, life: &mut Life) -> Result<(), Failure> {
    let leader = crash(arena, life).map_err(|why| format!("crash: {why}"))?;
    let leader = cold(arena, leader, life).map_err(|why| format!("start: {why}"))?;
    let leader = pause(arena, leader, life).map_err(|why| format!("pause: {why}"))?;
    hole(arena, leader, life).map_err(|why| format!("black hole: {why}"))
}

fn crash(arena: &Arena<'_>, life: &mut Life) -> Result<Candidate, Failure> {
    let mut leader = arena.start_behind_proxy()?;
    leader.leads_within(START)?;
    let standby = arena.start()?;
    thread::sleep(SETTLED);
    let renewed = renewal(arena, &leader);
    leader.candidate.kill();
    let led = standby.leads_within(arena.take_over())?;
    life.crash = Some(led.since(renewed).as_secs_f64() / arena.lease.as_secs_f64());
    let claims = leader.claims_after(led, arena.lease);
    life.orphan = Some(span(claims.time, claims.stopped));
    Ok(standby)
}

/// When the leader last wrote, at the worst moment for a crash: just after it did. Now, if it does not write.
fn renewal(arena: &Arena<'_>, leader: &Reached) -> BootTime {
    let give_up = now() + arena.lease;
    let Some(proxy) = &leader.proxy else { return renewal_of_file(leader) };
    let before = proxy.requests().count;
    while now() < give_up {
        let requests = proxy.requests();
        if let Some(last) = requests.last.filter(|_| requests.count > before) {
            // Until the store has it.
            thread::sleep(Duration::from_millis(20));
            return last;
        }
        thread::sleep(Duration::from_millis(1));
    }
    now()
}

/// A file has no proxy before it; the leader's answer has the time for which its lease is valid.
fn renewal_of_file(leader: &Candidate) -> BootTime {
    let Some(url) = leader.log.address() else { return now() };
    let deadline = SHORT * 10 / 15;
    let begun = || {
        let answer = get(&format!("{url}/leader"))?;
        let valid = Duration::from_millis(answer.body["validForMs"].as_u64()?);
        Some(answer.answered.since(BootTime::ZERO + (deadline - valid.min(deadline))))
    };
    let first = begun().unwrap_or_default();
    let give_up = now() + SHORT;
    while now() < give_up {
        // Half a retry period later than before: another one.
        if let Some(next) = begun().filter(|next| *next > first + SHORT / 15) {
            return BootTime::from_duration(next);
        }
        thread::sleep(Duration::from_millis(2));
    }
    now()
}

fn cold(arena: &Arena<'_>, mut leader: Candidate, life: &mut Life) -> Result<Candidate, Failure> {
    leader.kill();
    drop(leader);
    thread::sleep(arena.lease * 3 / 2);
    let next = arena.start()?;
    let led = next.leads_within(arena.take_over() + START)?;
    life.cold = Some(led.since(next.started));
    Ok(next)
}

fn pause(arena: &Arena<'_>, leader: Candidate, life: &mut Life) -> Result<Reached, Failure> {
    let standby = arena.start_behind_proxy()?;
    thread::sleep(SETTLED);
    leader.signal_all(Signal::STOP);
    let took_over = standby.leads_within(arena.take_over());
    let continued = now();
    leader.signal_all(Signal::CONT);
    life.pause = Some(took_over.is_ok().then(|| {
        let claims = leader.claims_after(continued, arena.lease * 2);
        span(claims.time, claims.stopped)
    }));
    drop(leader);
    standby.leads_within(START)?;
    Ok(standby)
}

fn hole(arena: &Arena<'_>, leader: Reached, life: &mut Life) -> Result<(), Failure> {
    let Some(proxy) = &leader.proxy else { return Ok(()) };
    let standby = arena.start()?;
    thread::sleep(SETTLED);
    let lost = now();
    proxy.set(Mode::Stall);
    let took_over = standby.leads_within(arena.take_over());
    life.hole = Some(took_over.ok().map(|led| {
        let claims = leader.claims_after(lost, arena.lease * 3);
        span(claims.last.since(led), claims.stopped)
    }));
    Ok(())
}

fn span(time: Duration, ended: bool) -> Span {
    if ended { Span::Exactly(time) } else { Span::MoreThan(time) }
}

/// The age of a standby of ours that takes over in a roll-out: by then it knows the leader.
pub const YOUNG: Duration = Duration::from_millis(350);

/// How much older the leader is then: more than eight times, from which the standby concludes that it is the newest.
pub const OLDER: Duration = YOUNG.saturating_mul(9);

/// How old the leader and the standby of a hand-over are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ages {
    /// As in a roll-out: the standby has the age [`YOUNG`], and the leader is older by [`OLDER`].
    RollOut,
    /// About the same.
    Same,
}

/// SIGTERM to a leader until the standby leads, `rounds` times. Its command gets it too, as from a terminal.
pub fn hand_over(
    stores: &Stores,
    row: &Row,
    ages: Ages,
    rounds: usize,
) -> Result<Vec<Duration>, Failure> {
    let election = uuid();
    let start = Start {
        stores,
        lease: DEFAULT,
        election: &election,
        works: false,
        port: None,
        processor: None,
        listen: None,
    };
    let mut leader = row.start(&start)?;
    leader.leads_within(START)?;
    let mut times = Vec::new();
    // Only bellwether looks at ages.
    let settled = match ages {
        Ages::RollOut if row.is_ours() => YOUNG,
        _ => SETTLED,
    };
    for _ in 0..rounds {
        if ages == Ages::RollOut && row.is_ours() {
            thread::sleep(OLDER);
        }
        let standby = row.start(&start)?;
        thread::sleep(settled);
        if !row.is_pushed {
            // At any moment between two looks.
            thread::sleep(Duration::from_millis(fastrand::u64(0..2000)));
        }
        let sent = now();
        match row.kind {
            Kind::EtcdctlLock => leader.signal_all(Signal::TERM),
            _ => leader.signal(Signal::TERM),
        }
        times.push(standby.leads_within(DEFAULT * 2 + START)?.since(sent));
        leader.exits_within(START);
        leader = standby;
    }
    Ok(times)
}

/// What an idle leader and an idle standby cost.
#[derive(Clone, Copy)]
pub struct Cost {
    /// Bytes of the leader, with its helpers.
    pub memory: u64,
    /// CPU time of the leader a minute.
    pub cpu: Duration,
    /// Requests a minute of the leader and of the standby. None on a file.
    pub requests: Option<[f64; 2]>,
}

/// All at once, so that all have the same minute.
pub fn idle(stores: &Stores, rows: &[Row], time: Duration) -> Vec<Result<Cost, Failure>> {
    let pairs: Vec<_> = rows.iter().map(|row| pair(stores, row)).collect();
    // Longer than the tests of its own that a candidate makes at its start.
    thread::sleep(Duration::from_secs(10));
    let read = || -> Vec<_> { pairs.iter().map(|pair| pair.as_ref().ok().map(reading)).collect() };
    let (before, began) = (read(), now());
    thread::sleep(time);
    let (after, took) = (read(), now().since(began));
    let minutes = took.as_secs_f64() / 60.0;
    let costs = pairs.iter().zip(before.into_iter().zip(after));
    costs
        .map(|(pair, readings)| {
            let [leader, _] = pair.as_ref().map_err(Clone::clone)?;
            let (Some(before), Some(after)) = readings else { return Err("n/a".to_owned()) };
            let memory = family_of(leader).map(resident).sum::<Option<u64>>();
            Ok(Cost {
                memory: memory.ok_or_else(|| format!("it ended: {}", leader.last_words()))?,
                cpu: after.0.saturating_sub(before.0).div_f64(minutes),
                requests: after.1.zip(before.1).map(|(after, before)| {
                    [0, 1].map(|at| f64::from(after[at] - before[at]) / minutes)
                }),
            })
        })
        .collect()
}

/// Bytes of memory that are resident. None of a process that has ended.
fn resident(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

fn pair(stores: &Stores, row: &Row) -> Result<[Reached; 2], Failure> {
    let arena = Arena { stores, row, lease: DEFAULT, election: uuid() };
    let start = || {
        let proxy = stores.port(row.store).map(Proxy::in_background);
        let candidate = row.start(&Start {
            stores,
            lease: arena.lease,
            election: &arena.election,
            works: false,
            port: proxy.as_ref().map(|proxy| proxy.port()),
            processor: None,
            listen: None,
        })?;
        Ok::<_, Failure>(Reached { candidate, proxy })
    };
    let leader = start()?;
    leader.leads_within(START)?;
    Ok([leader, start()?])
}

/// CPU time of the leader, and requests of both.
fn reading(pair: &[Reached; 2]) -> (Duration, Option<[u32; 2]>) {
    let requests = |at: usize| {
        let proxy: &Background = pair[at].proxy.as_ref()?;
        u32::try_from(proxy.requests().count).ok()
    };
    let requests = requests(0).zip(requests(1)).map(|(leader, standby)| [leader, standby]);
    (family_of(&pair[0]).map(cpu).sum(), requests)
}

/// Its processes without the work.
fn family_of(candidate: &Candidate) -> impl Iterator<Item = u32> {
    let name = |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    family(candidate.id()).into_iter().filter(move |pid| name(pid).trim() != "worker")
}

/// CPU time of a process, which the scheduler counts in nanoseconds for each thread.
pub fn cpu(pid: u32) -> Duration {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("schedstat")).ok())
        .filter_map(|text| Some(Duration::from_nanos(text.split(' ').next()?.parse().ok()?)))
        .sum()
}
