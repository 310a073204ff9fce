//! The guard: the process between main and the command, which ends the command in time.
//!
//! It has no configuration, no log and no election: it knows two deadlines, the clock, and its
//! descendants. It decides nothing beyond [`Plan`].

use std::cmp;
use std::collections::HashSet;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, getpgid, getpid, kill_process_group, set_child_subreaper,
    set_parent_process_death_signal, setsid, test_kill_process,
};
use tokio::signal::unix::{Signal as SignalStream, SignalKind, signal};

use super::channel::{Channel, Received};
use super::message::{Report, Request};
use super::plan::{Action, Deadlines, Exit, LEFTOVER_GRACE, ORPHAN_GRACE, Plan};
use super::processes::{self, IgnoredSignals, Reaped};
use super::start::Starting;
use crate::election::time::BootTime;
use crate::time::alarm::{Alarm, Timer};
use crate::time::clock::HostClock;

/// The first argument by which the program knows that it is to be the guard. Hidden from people.
pub const SUBCOMMAND: &str = "guard";

/// What process listings call it: not `bellwether`, so that `pkill -9 bellwether` ends main and
/// leaves the guard to end the command.
pub(super) const NAME: &str = "bw-guard";

/// How often to look for processes that were adopted: no signal tells of that.
const ADOPTION_PERIOD: Duration = Duration::from_millis(20);

/// How soon to kill what is left again: each round reaches what those that the last one killed had
/// just started. The period doubles, for what cannot be killed at all: a process in the middle of a
/// hardware access, or of another user.
const KILL_PERIOD: Duration = Duration::from_millis(5);
const LONGEST_KILL_PERIOD: Duration = Duration::from_millis(160);

/// Sysexits' EX_USAGE: it was started by hand.
const USAGE: u8 = 64;

/// Signals that would end or stop the guard. It takes note of them and does nothing: a sender that wants
/// the command to end tells main, or kills main.
///
/// They are *handled*, not ignored: the command would inherit ignored signals. It does inherit those
/// that were ignored around this program, as under `nohup`.
const SURVIVED: [SignalKind; 8] = [
    SignalKind::alarm(),
    SignalKind::hangup(),
    SignalKind::interrupt(),
    SignalKind::quit(),
    SignalKind::terminate(),
    SignalKind::user_defined1(),
    SignalKind::user_defined2(),
    // A terminal's ^Z. There is no name for it.
    SignalKind::from_raw(Signal::TSTP.as_raw()),
];

/// Runs the guard. `args` is what follows [`SUBCOMMAND`]: `--`, the command, its arguments.
///
/// Everything worth knowing goes to main over the socket, so the exit code says little.
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let mut words = args.peekable();
    words.next_if(|word| word == "--");
    let words: Vec<_> = words.collect();
    if words.is_empty() {
        return ExitCode::from(USAGE);
    }
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn run(words: &[OsString]) -> io::Result<()> {
    // A session of its own has no terminal: input there is meant for main. A command that reads a
    // password fails instead of being stopped (SIGTTIN, SIGTTOU) while it holds the lease.
    setsid()?;
    // A guard that is stopped does not notice that main was killed. So the kernel wakes it.
    let _ = set_parent_process_death_signal(Some(Signal::CONT));
    let _ = rustix::thread::set_name(c"bw-guard");
    // Any process number switches it on.
    set_child_subreaper(Some(getpid()))?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let ignored = IgnoredSignals::now();
        // An ignored signal ends nothing, and stays ignored for the command.
        for kind in SURVIVED.into_iter().filter(|kind| !ignored.contain(kind.as_raw_value())) {
            // What is dropped is only the note of it: the handler stays.
            drop(signal(kind)?);
        }
        let children = signal(SignalKind::child())?;
        let channel = Channel::from_fd(io::stdin().as_fd().try_clone_to_owned()?)?;
        guard(words, channel, children).await
    })
}

async fn guard(words: &[OsString], channel: Channel, children: SignalStream) -> io::Result<()> {
    let alarm = Alarm::new()?;
    let Some((deadlines, stdin)) = order(&channel).await else { return Ok(()) };
    let mut plan = Plan::new(deadlines);
    if plan.act(HostClock::boot()) != Action::Run {
        return channel.send(&Report::TooLate.encode(), None);
    }
    match Starting::begin(words, stdin) {
        Err(error) => {
            let errno = error.raw_os_error().unwrap_or_default();
            channel.send(&Report::NotStarted(errno).encode(), None)
        }
        Ok(command) => {
            report(&channel, Report::Started(command.pid.as_raw_pid()));
            Guard::new(channel, children, alarm, plan, command).until_gone().await;
            Ok(())
        }
    }
}

/// Main's order to start; none if main went away or does not make sense.
async fn order(channel: &Channel) -> Option<(Deadlines, OwnedFd)> {
    let Received { text, fd } = channel.recv().await?;
    match Request::parse(&text)? {
        Request::Start(deadlines) => Some((deadlines, fd?)),
        _ => None,
    }
}

/// If main is gone there is no process to notify, and that is noticed elsewhere.
fn report(channel: &Channel, report: Report) {
    let _ = channel.send(&report.encode(), None);
}

/// A command under guard.
struct Guard {
    channel: Channel,
    /// Whether main is there.
    connected: bool,
    children: SignalStream,
    alarm: Alarm,
    plan: Plan,
    /// The command itself, until it is reaped: so long its number, and that of its group, cannot
    /// become a stranger's.
    leader: Option<Pid>,
    /// The result of its start.
    command: Starting,
    /// Whether main knows that this process may not signal the command.
    reported_out_of_reach: bool,
    /// The group, once it was asked to end.
    requested_group: Option<Pid>,
    /// The processes that were asked to end one by one. Many programs take a second SIGTERM for
    /// an order to drop everything, so each gets one.
    requested: HashSet<Pid>,
    kill_period: Duration,
    /// Closed when this process ends, which is when nothing is left.
    kept: Option<OwnedFd>,
}

impl Guard {
    fn new(
        channel: Channel,
        children: SignalStream,
        alarm: Alarm,
        plan: Plan,
        command: Starting,
    ) -> Self {
        Self {
            channel,
            connected: true,
            children,
            alarm,
            plan,
            leader: Some(command.pid),
            command,
            reported_out_of_reach: false,
            requested_group: None,
            requested: HashSet::new(),
            kill_period: KILL_PERIOD,
            kept: None,
        }
    }

    /// Turns until no descendant is left, and says so.
    async fn until_gone(mut self) {
        loop {
            // All that main has said counts before the clock does: see `Plan::extend`.
            self.receive();
            if self.reap_all() {
                return report(&self.channel, Report::Gone);
            }
            match self.plan.act(HostClock::boot()) {
                Action::Run => {}
                Action::Terminate => self.terminate(),
                Action::Kill => self.kill(),
            }
            self.wait().await;
        }
    }

    fn receive(&mut self) {
        while self.connected {
            match self.channel.try_recv() {
                Ok(received) => self.obey(received),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.obey(None),
            }
        }
    }

    /// What cannot be understood cannot be obeyed: it is treated like a main that went away.
    fn obey(&mut self, received: Option<Received>) {
        let (text, fd) = received.map(|Received { text, fd }| (text, fd)).unzip();
        match text.and_then(|text| Request::parse(&text)) {
            Some(Request::Keep) => self.kept = fd.flatten(),
            Some(Request::Extend(deadlines)) => {
                self.plan.extend(deadlines);
                self.check_reach();
            }
            Some(Request::Signal(number)) => self.pass_on(number),
            Some(Request::Stop { kill_at }) => self.plan.stop(HostClock::boot(), kill_at),
            Some(Request::Start(_)) | None => {
                self.connected = false;
                let now = HostClock::boot();
                self.plan.hasten(now, now + ORPHAN_GRACE);
            }
        }
    }

    fn pass_on(&self, number: i32) {
        if let (Some(leader), Some(signal)) = (self.leader, Signal::from_named_raw(number)) {
            let _ = kill_process_group(leader, signal);
        }
    }

    /// A command can change its user at any time. A person has to know before its end is due.
    fn check_reach(&mut self) {
        let refused = |leader| test_kill_process(leader) == Err(Errno::PERM);
        if !self.reported_out_of_reach && self.leader.is_some_and(refused) {
            self.reported_out_of_reach = true;
            report(&self.channel, Report::OutOfReach);
        }
    }

    /// Reaps the command and every orphan that has ended; whether there is no child left.
    fn reap_all(&mut self) -> bool {
        loop {
            match processes::reap_any() {
                Reaped::One(pid, exit) if self.leader == Some(pid) => self.leader_ended(exit),
                Reaped::One(pid, _) => {
                    self.requested.remove(&pid);
                }
                Reaped::Stopped(pid, by) if self.leader == Some(pid) => {
                    report(&self.channel, Report::Stopped(by));
                }
                Reaped::Continued(pid) if self.leader == Some(pid) => {
                    report(&self.channel, Report::Continued);
                }
                // It concerns only an orphan.
                Reaped::Stopped(..) | Reaped::Continued(_) => {}
                Reaped::NoneYet => return false,
                Reaped::NoChildren => return true,
            }
        }
    }

    /// An end that is noticed after the deadline counts as ordered: main may have seen to it.
    fn leader_ended(&mut self, exit: Exit) {
        self.leader = None;
        let stopped = self.plan.act(HostClock::boot()) > Action::Run;
        report(
            &self.channel,
            match self.command.failure() {
                Some(errno) => Report::NotStarted(errno),
                None => Report::Exited { exit, stopped },
            },
        );
        let now = HostClock::boot();
        self.plan.hasten(now, now + LEFTOVER_GRACE);
    }

    /// Asks the group to end; after the command itself has ended, whatever it left behind.
    ///
    /// As long as the command lives, what left its group is the command's to end in its own order.
    fn terminate(&mut self) {
        match self.leader {
            Some(leader) if self.requested_group.is_none() => {
                self.requested_group = Some(leader);
                signal_group(leader, Signal::TERM);
                // A command may move itself to another group of its session.
                if getpgid(Some(leader)) != Ok(leader) {
                    processes::signal_child(leader, Signal::TERM);
                }
            }
            Some(_) => {}
            None => self.terminate_leftovers(),
        }
    }

    fn terminate_leftovers(&mut self) {
        for child in processes::children() {
            let group = getpgid(Some(child)).ok();
            let requested_with_group = group.is_some() && group == self.requested_group;
            if !requested_with_group && self.requested.insert(child) {
                processes::signal_child(child, Signal::TERM);
            }
        }
    }

    /// Kills the group, and everything else that descends from this process. What a process starts
    /// before it dies becomes a child of the guard, and dies in the next round.
    fn kill(&mut self) {
        self.kill_period = cmp::min(self.kill_period * 2, LONGEST_KILL_PERIOD);
        if let Some(leader) = self.leader {
            signal_group(leader, Signal::KILL);
        }
        for child in processes::children() {
            processes::signal_child(child, Signal::KILL);
        }
        processes::kill_descendants(getpid());
    }

    async fn wait(&mut self) {
        let due = self.due();
        tokio::select! {
            biased;
            received = self.channel.recv(), if self.connected => self.obey(received),
            _ = self.children.recv() => {}
            () = self.alarm.until(due) => {}
        }
    }

    /// When to turn again if nothing happens.
    fn due(&self) -> BootTime {
        match self.plan.next() {
            None => HostClock::boot() + self.kill_period,
            Some(next) if self.leader.is_none() => {
                cmp::min(next, HostClock::boot() + ADOPTION_PERIOD)
            }
            Some(next) => next,
        }
    }
}

/// A stopped process would not see SIGTERM: it is continued.
fn signal_group(group: Pid, signal: Signal) {
    let _ = kill_process_group(group, signal);
    let _ = kill_process_group(group, Signal::CONT);
}
