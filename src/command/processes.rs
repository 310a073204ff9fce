//! Finding, ending and reaping processes, by way of `/proc`.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;
use std::{fs, io};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, kill_process, pidfd_open, pidfd_send_signal,
    wait, waitpid,
};

use super::plan::Exit;
use crate::election::time::BootTime;

/// How long an ended child is left for another part of this process that may wait for it, such as
/// the client that started a `credential_process`: that does so within milliseconds of the same
/// SIGCHLD.
const LEFT_ALONE: Duration = Duration::from_secs(1);

/// The orphans that this process inherits: as the first process of a container all orphans in it,
/// and as a child subreaper those that a killed guard leaves. Each that ends stays a zombie until
/// it is reaped.
#[derive(Debug, Default)]
pub struct Strays {
    /// The orphans that have ended, and when this process first noticed it.
    ended: Vec<(Pid, BootTime)>,
}

impl Strays {
    /// Call it at every SIGCHLD, and at the time that [`Self::look_again_at`] returns. Reaps every
    /// child that ended a while ago, except those in `keep` ([`super::group::guards`]).
    pub fn reap(&mut self, keep: &[Pid], now: BootTime) {
        let zombies = children().into_iter().filter(|pid| !keep.contains(pid) && is_zombie(*pid));
        let known = std::mem::take(&mut self.ended);
        for pid in zombies {
            let since = known.iter().find(|(ended, _)| *ended == pid).map_or(now, |(_, at)| *at);
            if now.since(since) < LEFT_ALONE {
                self.ended.push((pid, since));
            } else {
                // An error means that it is gone already, which is the intended result.
                let _ = waitpid(Some(pid), WaitOptions::NOHANG);
            }
        }
    }

    /// When to call [`Self::reap`] again, even if no other child has ended.
    pub fn look_again_at(&self) -> Option<BootTime> {
        self.ended.iter().map(|(_, since)| *since + LEFT_ALONE).min()
    }
}

/// The signals that this process ignores.
#[derive(Clone, Copy, Debug)]
pub struct IgnoredSignals(u64);

impl IgnoredSignals {
    /// The current state: call it before you set any handler. A signal that was ignored when this
    /// process was started should stay ignored, as SIGHUP under `nohup`.
    pub fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self(status.lines().find_map(|line| mask(line.strip_prefix("SigIgn:")?)).unwrap_or(0))
    }

    /// Whether a signal is among them, by its number.
    pub fn contain(self, number: i32) -> bool {
        let bit = u32::try_from(number).ok().and_then(|number| number.checked_sub(1));
        bit.and_then(|bit| self.0.checked_shr(bit)).is_some_and(|mask| mask & 1 == 1)
    }
}

fn mask(hex: &str) -> Option<u64> {
    u64::from_str_radix(hex.trim(), 16).ok()
}

/// The children of this process, adopted ones included, dead ones as long as they are not reaped.
///
/// A child that comes or goes meanwhile may be missing: callers look again until all is done.
pub(super) fn children() -> Vec<Pid> {
    let own = rustix::process::getpid();
    children_by_thread(own).unwrap_or_else(|_| children_by_parent(own))
}

/// From the kernel's own lists, which not every kernel offers (`CONFIG_PROC_CHILDREN`).
fn children_by_thread(parent: Pid) -> io::Result<Vec<Pid>> {
    let mut children = Vec::new();
    for thread in fs::read_dir(format!("/proc/{}/task", parent.as_raw_pid()))? {
        match fs::read_to_string(thread?.path().join("children")) {
            Ok(list) => children.extend(list.split_whitespace().filter_map(parse_pid)),
            // Either this thread ended just now, or there are no such lists.
            Err(_) if fs::exists("/proc/thread-self/children")? => {}
            Err(error) => return Err(error),
        }
    }
    Ok(children)
}

/// From the parent that each process names.
fn children_by_parent(of: Pid) -> Vec<Pid> {
    all().filter(|pid| parent(*pid) == Some(of)).collect()
}

fn parent(pid: Pid) -> Option<Pid> {
    Stat::of(pid).and_then(|stat| Pid::from_raw(stat.parent))
}

/// Whether a process is stopped by a signal or a debugger.
pub(super) fn is_stopped(pid: Pid) -> bool {
    Stat::of(pid).is_some_and(|stat| matches!(stat.state, 'T' | 't'))
}

fn is_zombie(pid: Pid) -> bool {
    Stat::of(pid).is_some_and(|stat| stat.state == 'Z')
}

/// When a process was started, in the unit of [`kill_strays`].
pub(super) fn started(pid: Pid) -> Option<u64> {
    Stat::of(pid).map(|stat| stat.started)
}

/// A part of `/proc/PID/stat`.
#[derive(Clone, Copy, Debug)]
struct Stat {
    state: char,
    parent: i32,
    /// Zero if its leader is outside of this process's PID namespace.
    session: i32,
    /// In clock ticks since the boot.
    started: u64,
}

impl Stat {
    fn of(pid: Pid) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).ok()?;
        // "pid (name) state parent group session …", and a name may hold anything, parentheses too.
        let mut fields = stat.rsplit_once(") ")?.1.split(' ');
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        let session = fields.nth(1)?.parse().ok()?;
        // The 22nd of all.
        let started = fields.nth(15)?.parse().ok()?;
        Some(Self { state, parent, session, started })
    }
}

/// Every process that can be seen.
fn all() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str().and_then(parse_pid))
}

fn parse_pid(text: &str) -> Option<Pid> {
    text.parse().ok().filter(|pid| *pid > 0).and_then(Pid::from_raw)
}

/// The result of one check for children that changed state.
#[derive(Debug)]
pub(super) enum Reaped {
    /// This one had, and is no more.
    One(Pid, Exit),
    /// This one was stopped, by this signal.
    Stopped(Pid, i32),
    /// This one continues after it was stopped.
    Continued(Pid),
    /// None at present.
    NoneYet,
    /// There are no children at all.
    NoChildren,
}

/// Checks any one child, and reaps it if it has ended.
pub(super) fn reap_any() -> Reaped {
    loop {
        match wait(WaitOptions::NOHANG | WaitOptions::UNTRACED | WaitOptions::CONTINUED) {
            Ok(Some((pid, status))) => {
                if let Some(exit) = exit_of(status) {
                    return Reaped::One(pid, exit);
                } else if let Some(by) = status.stopping_signal() {
                    return Reaped::Stopped(pid, by);
                } else if status.continued() {
                    return Reaped::Continued(pid);
                }
            }
            Err(rustix::io::Errno::CHILD) => return Reaped::NoChildren,
            Err(rustix::io::Errno::INTR) => {}
            Ok(None) | Err(_) => return Reaped::NoneYet,
        }
    }
}

fn exit_of(status: WaitStatus) -> Option<Exit> {
    let byte = |raw: i32| u8::try_from(raw & 0xff).ok();
    let code = status.exit_status().and_then(byte).map(Exit::Code);
    code.or_else(|| status.terminating_signal().and_then(byte).map(Exit::Signal))
}

/// Sends a signal to an own child that has not been reaped, so that the number is surely its.
///
/// The signal to continue follows: a stopped process would not see it otherwise.
pub(super) fn signal_child(child: Pid, signal: Signal) {
    // It may have ended, or run as another user now. The callers look until it is gone.
    let _ = kill_process(child, signal);
    let _ = kill_process(child, Signal::CONT);
}

/// How many processes [`kill_descendants`] holds: each takes a descriptor. Callers repeat the call.
const MOST_HELD: usize = 500;

/// Kills every descendant of `ancestor`, which is this process or a child that it has not reaped.
///
/// The guard adopts a descendant when the parent of that has ended, and could kill it then. But the end
/// of a killed parent can take seconds: it returns gigabytes of memory, or a disk does not complete
/// a write. And a parent may run as a user that this process may not signal. So this does not wait
/// for the end of any parent.
///
/// A process that was started meanwhile may be missing: callers look again until all is done. Does
/// nothing where the kernel has no descriptors of processes, or no lists of children.
pub(super) fn kill_descendants(ancestor: Pid) {
    let Ok(ancestor) = Held::open(ancestor) else { return };
    let mut held: VecDeque<_> = ancestor.children(MOST_HELD).into();
    while let Some(parent) = held.pop_front() {
        // Before it dies, and leaves them to another parent.
        let children = parent.children(MOST_HELD - held.len());
        let _ = pidfd_send_signal(&parent.fd, Signal::KILL);
        held.extend(children);
    }
}

/// A process that is held by a descriptor: its number is its own as long as it lives.
#[derive(Debug)]
struct Held {
    pid: Pid,
    fd: OwnedFd,
}

impl Held {
    fn open(pid: Pid) -> rustix::io::Result<Self> {
        Ok(Self { pid, fd: pidfd_open(pid, PidfdFlags::empty())? })
    }

    /// Its children, as many as `most`.
    fn children(&self, most: usize) -> Vec<Self> {
        let pids = children_by_thread(self.pid).unwrap_or_default();
        let held = pids.into_iter().filter_map(|pid| Self::open(pid).ok());
        held.filter(|child| self.is_parent_of(child)).take(most).collect()
    }

    /// A number that was read from a list may have become a stranger's before it was held. The parent of
    /// a stranger has another number; if not, the number of this process was used again, after its end.
    fn is_parent_of(&self, child: &Self) -> bool {
        parent(child.pid) == Some(self.pid) && self.is_alive()
    }

    fn is_alive(&self) -> bool {
        const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
        // Readable once it has ended.
        poll(&mut [PollFd::new(&self.fd, PollFlags::IN)], Some(&AT_ONCE)) == Ok(0)
    }
}

/// Kills the children that a guard left to this process, with their descendants, and returns how
/// many children there were. Reaps those that are dead. Repeat the call until there is none.
///
/// `guards` are those whose end a task waits for. Get them after the children are known. A guard's
/// descendants are in its session or in one of their own, never in this process's, and began after
/// the guard did (`since`). So this leaves alone the children that this process started itself, or
/// had before.
pub(super) fn kill_strays(guards: impl FnOnce() -> Vec<Pid>, since: Option<u64>) -> usize {
    let session = Stat::of(rustix::process::getpid()).map(|own| own.session);
    let children = children();
    let guards = guards();
    let is_stray = |(pid, stat): &(Pid, Stat)| {
        !guards.contains(pid) && Some(stat.session) != session && Some(stat.started) >= since
    };
    let strays =
        children.into_iter().filter_map(|pid| Some((pid, Stat::of(pid)?))).filter(is_stray);
    let mut killed = 0;
    for (pid, stat) in strays {
        if stat.state == 'Z' {
            let _ = waitpid(Some(pid), WaitOptions::NOHANG);
        } else {
            kill_descendants(pid);
            signal_child(pid, Signal::KILL);
            killed += 1;
        }
    }
    killed
}

/// Kills every process whose environment has `entry`; how many there were.
///
/// None found is no proof that there is none: a process in the middle of `execve` has no
/// environment, and one that forks and ends can slip through. Callers look more than once.
pub(super) fn kill_marked(entry: &OsStr) -> usize {
    let own = rustix::process::getpid();
    let candidates = all().filter(|pid| *pid != own && is_marked(*pid, entry));
    candidates.filter(|pid| kill_if_marked(*pid, entry)).count()
}

/// Whether it still was there. Not being allowed to kill it does not make it gone.
fn kill_if_marked(pid: Pid, entry: &OsStr) -> bool {
    // Held by a descriptor before its environment is read once more, the process cannot become a
    // stranger by its number being used again. Some sandboxes do not have that.
    let held = pidfd_open(pid, PidfdFlags::empty());
    if !is_marked(pid, entry) {
        return false;
    }
    let _ = match held {
        Ok(held) => pidfd_send_signal(held, Signal::KILL),
        Err(_) => kill_process(pid, Signal::KILL),
    };
    true
}

/// A zombie has no environment and so is not marked.
fn is_marked(pid: Pid, entry: &OsStr) -> bool {
    let environment = fs::read(format!("/proc/{}/environ", pid.as_raw_pid())).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|found| found == entry.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead as _, BufReader};
    use std::process::{Child, Command, Stdio};

    fn pid_of(child: &Child) -> Pid {
        Pid::from_raw(child.id().try_into().unwrap()).unwrap()
    }

    fn sleeper() -> Command {
        let mut command = Command::new("sleep");
        command.arg("600");
        command
    }

    #[test]
    fn both_ways_find_a_child_also_when_it_is_dead() {
        let mut child = sleeper().spawn().unwrap();
        let (own, pid) = (rustix::process::getpid(), pid_of(&child));
        for _ in ["alive", "zombie"] {
            assert!(children_by_thread(own).unwrap().contains(&pid));
            assert!(children_by_parent(own).contains(&pid));
            signal_child(pid, Signal::KILL);
        }
        child.wait().unwrap();
        assert!(!children().contains(&pid));
    }

    #[test]
    fn one_call_kills_every_generation_below_a_process_and_not_that_process() {
        let grandchild = "setsid sleep 600 & echo $!; wait";
        let script = format!("setsid sh -c '{grandchild}' & echo $!; wait; exec sleep 600");
        let mut ancestor =
            Command::new("sh").args(["-c", &script]).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(ancestor.stdout.take().unwrap()).lines().take(2);
        let below: Vec<_> = lines.map(|line| parse_pid(&line.unwrap()).unwrap()).collect();

        kill_descendants(pid_of(&ancestor));
        while below.iter().any(|pid| Stat::of(*pid).is_some_and(|stat| stat.state != 'Z')) {}
        assert!(ancestor.try_wait().unwrap().is_none());
        ancestor.kill().unwrap();
        ancestor.wait().unwrap();
    }

    #[test]
    fn a_process_is_the_parent_of_its_own_children_only_and_as_long_as_it_lives() {
        let mut children = [sleeper().spawn().unwrap(), sleeper().spawn().unwrap()];
        let own = Held::open(rustix::process::getpid()).unwrap();
        let [one, other] = children.each_ref().map(|child| Held::open(pid_of(child)).unwrap());
        assert!(own.is_parent_of(&one) && !one.is_parent_of(&other) && !one.is_parent_of(&own));
        for child in &mut children {
            child.kill().unwrap();
        }
        while !is_zombie(one.pid) {}
        assert!(own.is_alive() && !one.is_alive());
        for child in &mut children {
            child.wait().unwrap();
        }
        assert!(!own.is_parent_of(&one));
    }

    #[test]
    fn a_stopped_process_is_seen_to_be() {
        let mut child = sleeper().spawn().unwrap();
        let pid = pid_of(&child);
        assert!(!is_stopped(pid));
        kill_process(pid, Signal::STOP).unwrap();
        while !is_stopped(pid) {}
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_signal_is_found_in_the_mask_by_its_number() {
        let ignored = IgnoredSignals(mask("\t0000000000001001").unwrap());
        let found: Vec<_> = (-1..=70).filter(|number| ignored.contain(*number)).collect();
        assert_eq!(found, [1, 13]);
        // Rust's own start ignores SIGPIPE.
        assert!(IgnoredSignals::now().contain(13));
    }

    #[test]
    fn only_what_carries_the_mark_is_killed() {
        let mark = format!("{}", uuid::Uuid::new_v4());
        let mut marked = sleeper().env("BELLWETHER_TEST", &mark).spawn().unwrap();
        let mut similar = sleeper().env("BELLWETHER_TEST", format!("{mark}0")).spawn().unwrap();
        let entry = format!("BELLWETHER_TEST={mark}");
        while marked.try_wait().unwrap().is_none() {
            kill_marked(OsStr::new(&entry));
        }
        assert_eq!(kill_marked(OsStr::new(&entry)), 0);
        assert!(similar.try_wait().unwrap().is_none());
        similar.kill().unwrap();
        similar.wait().unwrap();
    }
}
