//! `bellwether run`: several instances guard one command, which runs once at a time whatever
//! happens to them.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use support::beats::{BEAT, beat_after, beats, never_overlapped};
use support::lock::{Lock, stop_between_writes};
use support::{Log, Pasture, QUICK, bellwether, eventually, kill};

/// A `bellwether run` of its own, killed when dropped.
pub struct Runner {
    child: Child,
    pub log: Log,
}

impl Runner {
    pub fn start(name: &str, pasture: &Pasture, script: &str) -> Self {
        Self::start_with(name, pasture, &QUICK, script)
    }

    pub fn start_with(name: &str, pasture: &Pasture, timing: &[&str], script: &str) -> Self {
        Self::begin(command(name, pasture, timing, script))
    }

    pub fn begin(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Log::of(child.stderr.take().unwrap());
        Self { child, log }
    }

    pub fn signal(&self, name: &str) {
        kill(name, self.child.id());
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    #[track_caller]
    pub fn exit_code(&mut self) -> Option<i32> {
        self.log.exit_status(&mut self.child).code()
    }
}

/// `bellwether run`, for any way of starting it.
pub fn command(name: &str, pasture: &Pasture, timing: &[&str], script: &str) -> Command {
    let mut command = bellwether();
    command.args(["run", "--store", &pasture.store(), "--identity", name]).args(timing);
    command.args(["--", "sh", "-c", script]).current_dir(pasture.folder());
    command
}

/// The same under another program, such as `timeout 5`.
pub fn under(wrapper: &[&str], command: &Command) -> Command {
    let mut wrapped = Command::new(wrapper[0]);
    wrapped.args(&wrapper[1..]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    wrapped.current_dir(command.get_current_dir().unwrap());
    wrapped
}

impl Drop for Runner {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- log:\n{}", self.log.text());
        }
    }
}

#[test]
fn the_exit_code_of_the_command_is_passed_through() {
    let pasture = Pasture::new();
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill $$", 143)] {
        assert_eq!(Runner::start("a", &pasture, script).exit_code(), Some(code), "{script}");
    }
    let not_found = bellwether()
        .args(["run", "--store", &pasture.store(), "--", "/no/such/program"])
        .output()
        .unwrap();
    assert_eq!(not_found.status.code(), Some(127));
}

#[test]
fn after_the_command_ended_the_lease_is_free() {
    let pasture = Pasture::new();
    for round in 1..=3 {
        let script = "echo $BELLWETHER_TERM $BELLWETHER_ELECTION $BELLWETHER_IDENTITY > env";
        assert_eq!(Runner::start("a", &pasture, script).exit_code(), Some(0));
        let env = fs::read_to_string(pasture.folder().join("env")).unwrap();
        assert_eq!(env, format!("{round} default a\n"), "each run is a term, at once");
    }
}

#[test]
fn signals_are_passed_on() {
    let pasture = Pasture::new();
    let script = "trap 'echo hup >> signals' HUP; trap 'echo usr1 >> signals' USR1; \
                  echo 1 0 a > beats; while :; do sleep 0.01; done";
    let runner = Runner::start("a", &pasture, script);
    beat_after(&pasture, 0);
    for signal in ["HUP", "USR1"] {
        runner.signal(signal);
        let seen = || fs::read_to_string(pasture.folder().join("signals")).ok();
        let name = signal.to_lowercase();
        eventually("the command sees the signal", || {
            seen().filter(|text| text.contains(&name)).map(drop)
        });
    }
}

#[test]
fn sigterm_ends_the_command_and_hands_over() {
    let pasture = Pasture::new();
    let mut first = Runner::start("a", &pasture, &format!("trap 'exit 0' TERM; {BEAT}"));
    let term = beat_after(&pasture, 0).term;
    let _second = Runner::start("b", &pasture, BEAT);
    first.signal("TERM");
    assert_eq!(first.exit_code(), Some(0));
    assert_eq!(first.log.events("vacated"), 1);
    let next = beat_after(&pasture, term);
    assert_eq!((next.term, next.by.as_str()), (term + 1, "b"));
    never_overlapped(&pasture);
}

#[test]
fn the_lease_is_kept_for_a_command_that_takes_longer_than_it_to_end() {
    let pasture = Pasture::new();
    // Six seconds, two leases, of orderly end.
    let slow = format!(
        "trap 'for i in 1 2 3 4 5 6; do sleep 1; done; echo done > finished; exit 0' TERM; {BEAT}"
    );
    let mut first = Runner::start("a", &pasture, &slow);
    let term = beat_after(&pasture, 0).term;
    let _second = Runner::start("b", &pasture, BEAT);
    first.signal("TERM");
    let next = beat_after(&pasture, term);
    assert!(pasture.folder().join("finished").exists(), "it was killed before it had ended");
    assert_eq!((next.term, next.by.as_str()), (term + 1, "b"));
    assert_eq!(first.exit_code(), Some(0));
}

#[test]
fn a_command_that_ignores_sigterm_is_killed_at_the_grace_and_the_lease_is_freed() {
    let pasture = Pasture::new();
    let timing = [&QUICK[..], &["--shutdown-grace", "1s"]].concat();
    let stubborn = format!("trap '' TERM INT HUP; ({BEAT}) & (setsid sh -c '{BEAT}') & {BEAT}");
    for _ in 0..3 {
        let mut runner = Runner::start_with("a", &pasture, &timing, &stubborn);
        beat_after(&pasture, beats(&pasture).last().map_or(0, |beat| beat.term));
        runner.signal("TERM");
        assert_eq!(runner.exit_code(), Some(0));
        eventually("its log", || runner.log.has_ended().then_some(()));
        assert_eq!(runner.log.events("command_killed"), 1);
        assert_eq!(runner.log.events("vacated"), 1, "after the kill was seen");
    }
    never_overlapped(&pasture);
}

#[test]
fn a_lease_that_cannot_be_freed_is_reported_to_run_out() {
    let pasture = Pasture::new();
    let mut runner = Runner::start("a", &pasture, BEAT);
    beat_after(&pasture, 0);
    let _lock = Lock::take(&pasture);
    runner.signal("TERM");
    assert_eq!(runner.exit_code(), Some(0));
    eventually("its log", || runner.log.has_ended().then_some(()));
    assert_eq!(runner.log.count("left without freeing the lease; it runs out on its own"), 1);
}

#[test]
fn a_killed_instance_leaves_no_command_behind() {
    let pasture = Pasture::new();
    let stubborn = format!("trap '' TERM INT HUP; ({BEAT}) & (setsid sh -c '{BEAT}') & {BEAT}");
    let first = Runner::start("a", &pasture, &stubborn);
    let term = beat_after(&pasture, 0).term;
    let _second = Runner::start("b", &pasture, BEAT);
    first.signal("KILL");
    beat_after(&pasture, term);
    never_overlapped(&pasture);
}

#[test]
fn a_frozen_instance_does_not_keep_its_command_running() {
    let pasture = Pasture::new();
    let first = Runner::start("a", &pasture, BEAT);
    let term = beat_after(&pasture, 0).term;
    let _second = Runner::start("b", &pasture, BEAT);
    stop_between_writes(&pasture.store(), |signal| first.signal(signal));
    let next = beat_after(&pasture, term);
    assert_eq!(next.by, "b");
    first.signal("CONT");
    eventually("the first stands again", || (first.log.events("following") > 0).then_some(()));
    never_overlapped(&pasture);
}

#[test]
fn a_lost_store_ends_the_command_and_it_runs_again_afterwards() {
    let pasture = Pasture::new();
    let runners = ["a", "b"].map(|name| Runner::start(name, &pasture, BEAT));
    let term = beat_after(&pasture, 0).term;
    let lock = Lock::take(&pasture);
    eventually("the command is stopped", || {
        let stopped = |runner: &Runner| runner.log.count("the command was stopped") > 0;
        runners.iter().any(stopped).then_some(())
    });
    let count = beats(&pasture).len();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(beats(&pasture).len(), count, "no instance runs it while the store is away");
    drop(lock);
    assert!(beat_after(&pasture, term).term > term);
    never_overlapped(&pasture);
}

/// Fifty losses by SIGKILL, SIGTERM and SIGSTOP, of commands that ignore SIGTERM and have children
/// and grandchildren in and out of their process group.
#[test]
fn through_fifty_forced_losses_the_command_never_runs_twice() {
    // On a busy machine the guard may be late: it has a second.
    const TIMING: [&str; 6] =
        ["--lease-duration", "4s", "--renew-deadline", "2s", "--retry-period", "200ms"];
    const NAMES: [&str; 3] = ["a", "b", "c"];
    let pasture = Pasture::new();
    let stubborn = format!("trap '' TERM; (({BEAT}) & {BEAT}) & (setsid sh -c '{BEAT}') & {BEAT}");
    let start = |name: &str| Runner::start_with(name, &pasture, &TIMING, &stubborn);
    let mut runners: Vec<_> = NAMES.iter().map(|name| start(name)).collect();
    let mut term = 0;
    for signal in ["KILL", "TERM", "STOP"].into_iter().cycle().take(50) {
        let beat = beat_after(&pasture, term);
        term = beat.term;
        let place = NAMES.iter().position(|name| *name == beat.by).unwrap();
        if signal == "STOP" {
            stop_between_writes(&pasture.store(), |signal| runners[place].signal(signal));
            beat_after(&pasture, term);
            runners[place].signal("CONT");
        } else {
            runners[place].signal(signal);
            runners[place] = start(&beat.by);
        }
    }
    beat_after(&pasture, term);
    assert!(term >= 50, "every loss made a new term");
    never_overlapped(&pasture);
}
