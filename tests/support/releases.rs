//! Releases that follow each other, on whatever store: one at a time, in order, and taken back.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::{Killed, QUICK, eventually, kill, now};

/// A store, a program that can use it, and a folder for what the commands leave behind.
pub struct Releases {
    store: String,
    program: fn() -> Command,
    folder: tempfile::TempDir,
}

/// What one instance says for itself.
pub struct Instance {
    child: Killed,
}

impl Instance {
    #[track_caller]
    pub fn code(&mut self) -> Option<i32> {
        eventually("it exits", || self.child.0.try_wait().unwrap()).code()
    }

    pub fn waits(&mut self) -> bool {
        self.child.0.try_wait().unwrap().is_none()
    }
}

impl Releases {
    pub fn on(store: &str, program: fn() -> Command) -> Self {
        Self { store: store.to_owned(), program, folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn start(&self, name: &str, args: &[&str], script: &str) -> Instance {
        self.start_with(&[], name, args, script)
    }

    pub fn start_with(
        &self,
        env: &[(&str, &str)],
        name: &str,
        args: &[&str],
        script: &str,
    ) -> Instance {
        let mut command = (self.program)();
        command.args(["once", "--store", &self.store, "--identity", name]).args(QUICK).args(args);
        command.args(["--", "sh", "-c", script]).current_dir(self.path()).stdin(Stdio::null());
        command.envs(env.iter().copied());
        let log = fs::File::create(self.path().join(format!("log-{name}"))).unwrap();
        Instance {
            child: Killed(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()),
        }
    }

    #[track_caller]
    pub fn run(&self, args: &[&str], script: &str) -> Option<i32> {
        self.start("one", args, script).code()
    }

    /// `once --reset`: the exit code, and what it says.
    pub fn reset(&self, args: &[&str]) -> (Option<i32>, String) {
        let mut command = (self.program)();
        command.args(["once", "--reset", "--store", &self.store]).args(QUICK).args(args);
        let output = command.stdin(Stdio::null()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }

    pub fn log(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(format!("log-{name}"))).unwrap_or_default()
    }

    pub fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path().join("lines")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    #[track_caller]
    pub fn until_line(&self, line: &str) {
        eventually(line, || self.lines().iter().any(|found| found == line).then_some(()));
    }
}

/// `once --key web:7 -- sleep & once --key web:8 -- true`: 8 does not run inside 7.
pub fn one_runs_at_a_time(releases: &Releases) {
    let slow = "echo 7 begins >> lines; sleep 2; echo 7 ends >> lines";
    let mut seven = releases.start("a", &["--key", "web:7"], slow);
    releases.until_line("7 begins");
    let mut eight = releases.start("b", &["--key", "web:8"], "echo 8 runs >> lines");
    assert_eq!((seven.code(), eight.code()), (Some(0), Some(0)));
    assert_eq!(releases.lines(), ["7 begins", "7 ends", "8 runs"]);
    let other = releases.run(&["--work", "other", "--key", "web:7"], "echo other >> lines");
    assert_eq!(other, Some(0), "another work is its own");
    assert_eq!(releases.lines().len(), 4);
}

pub fn an_older_order_never_begins_after_a_newer_one(releases: &Releases) {
    let key = |key, order| ["--key", key, "--order", order];
    assert_eq!(releases.run(&key("v1", "1"), "echo 1 >> lines"), Some(0));
    let slow = "echo 3 begins >> lines; sleep 2; echo 3 ends >> lines";
    let mut three = releases.start("a", &key("v3", "3"), slow);
    releases.until_line("3 begins");
    let mut two = releases.start("b", &key("v2", "2"), "echo 2 >> lines");
    assert_eq!(two.code(), Some(0), "it is skipped");
    assert!(releases.log("b").contains("skipped") && releases.log("b").contains("v3"));
    let strict = [&key("v2", "2")[..], &["--superseded", "fail"]].concat();
    assert_eq!(releases.run(&strict, "echo 2 >> lines"), Some(1));
    assert_eq!(releases.run(&key("v1", "1"), "echo 1 >> lines"), Some(0), "it is done");
    assert_eq!(three.code(), Some(0));
    assert_eq!(releases.run(&key("v2", "2"), "echo 2 >> lines"), Some(0));
    assert_eq!(releases.lines(), ["1", "3 begins", "3 ends"]);
}

/// A release is rolled back whose old image does not have the way down.
pub fn a_release_is_taken_back_and_the_older_one_continues(releases: &Releases) {
    let key = |key, order| ["--key", key, "--order", order, "--superseded", "wait"];
    assert_eq!(releases.run(&key("r1", "1"), "echo 1 up >> lines"), Some(0));
    assert_eq!(releases.run(&key("r2", "2"), "echo 2 up >> lines"), Some(0));
    let mut first = releases.start("old", &key("r1", "1"), "echo 1 again >> lines");
    thread::sleep(Duration::from_secs(1));
    assert!(first.waits(), "{}", releases.log("old"));
    let unknown = releases.run(&["--revert", "r9"], "echo no >> lines");
    assert_eq!(unknown, Some(64), "{}", releases.log("one"));
    assert_eq!(releases.run(&["--revert", "r2"], "exit 5"), Some(5), "{}", releases.log("one"));
    assert!(first.waits(), "it was not taken back");
    assert_eq!(releases.run(&["--revert", "r2"], "echo 2 down >> lines"), Some(0));
    assert_eq!(first.code(), Some(0), "{}", releases.log("old"));
    assert_eq!(releases.run(&["--revert", "r2"], "echo 2 down >> lines"), Some(0));
    assert_eq!(releases.lines(), ["1 up", "2 up", "2 down"], "each once");
    assert_eq!(releases.run(&key("r2", "2"), "echo 2 up >> lines"), Some(0));
    assert_eq!(releases.lines(), ["1 up", "2 up", "2 down", "2 up"]);
}

/// A tag that moves, deployed again, and an old image in a new revision of the task definition.
pub fn auto_sees_the_image(releases: &Releases) {
    let ecs = Ecs::start();
    let env = [("ECS_CONTAINER_METADATA_URI_V4", ecs.url.as_str())];
    let deploy = |revision: &str, image: &str| {
        ecs.is(revision, image);
        let script = "echo $BELLWETHER_WORK $BELLWETHER_KEY >> lines";
        releases.start_with(&env, "task", &["--key", "auto"], script).code()
    };
    assert_eq!(deploy("7", "sha256:aa"), Some(0), "{}", releases.log("task"));
    assert_eq!(deploy("7", "sha256:aa"), Some(0));
    assert_eq!(deploy("7", "sha256:bb"), Some(0));
    assert_eq!(deploy("8", "sha256:cc"), Some(0));
    assert_eq!(deploy("9", "sha256:aa"), Some(0));
    assert_eq!(deploy("7", "sha256:dd"), Some(0), "it is skipped");
    assert!(releases.log("task").contains("skipped"), "{}", releases.log("task"));
    let ran = ["aa", "bb", "cc"].map(|image| format!("ecs:prod/web ecs:prod/web@sha256:{image}"));
    assert_eq!(releases.lines(), ran);
}

/// A database that is up two seconds late, and one that was not up for all attempts.
pub fn failures_pause_and_heal(releases: &Releases) {
    // It looks before it says so: after the line, nothing changes this attempt.
    let script = "test -e up; up=$?; echo try >> lines; exit $up";
    let args = ["--key", "late", "--retry-delay", "2s"];
    let mut late = releases.start("late", &args, script);
    releases.until_line("try");
    fs::write(releases.path().join("up"), "").unwrap();
    assert_eq!(late.code(), Some(0), "{}", releases.log("late"));
    assert_eq!(releases.lines().len(), 2);
    fs::remove_file(releases.path().join("up")).unwrap();
    let args = ["--key", "bad", "--retry-delay", "10ms", "--max-attempts", "2"];
    let args = [&args[..], &["--retry-after", "3s"]].concat();
    assert_eq!(releases.run(&args, script), Some(1));
    assert_eq!(releases.lines().len(), 4);
    assert_eq!(releases.run(&args, script), Some(1), "too soon");
    assert_eq!(releases.lines().len(), 4);
    fs::write(releases.path().join("up"), "").unwrap();
    thread::sleep(Duration::from_secs(4));
    assert_eq!(releases.run(&args, script), Some(0), "{}", releases.log("one"));
    assert_eq!(releases.lines().len(), 5);
}

pub fn waiting_and_running_have_limits_of_their_own(releases: &Releases) {
    let slow = "echo begins >> lines; sleep 7; echo ends >> lines";
    let mut runner = releases.start("a", &["--key", "k", "--timeout", "6s"], slow);
    releases.until_line("begins");
    let mut waiter = releases.start("b", &["--key", "k", "--timeout", "1s"], slow);
    assert_eq!(waiter.code(), Some(75), "{}", releases.log("b"));
    assert_eq!(runner.code(), Some(0), "it is not stopped: {}", releases.log("a"));
    assert_eq!(releases.lines(), ["begins", "ends"]);
    let args = ["--key", "hangs", "--run-timeout", "500ms", "--max-attempts", "1"];
    assert_eq!(releases.run(&args, "sleep 60"), Some(124));
}

/// All that is known of a work is forgotten, but not while an attempt is under way, and no other work's.
pub fn a_work_is_reset_whole(releases: &Releases) {
    let key = |key, order| ["--work", "shop", "--key", key, "--order", order];
    let other = ["--work", "other", "--key", "v1"];
    let reset = || releases.reset(&["--work", "shop"]);
    assert_eq!(releases.run(&key("v1", "1"), "echo v1 $BELLWETHER_TERM >> lines"), Some(0));
    assert_eq!(releases.run(&other, "echo other >> lines"), Some(0));
    let slow = "echo v2 >> lines; until [ -e go ]; do sleep 0.02; done; echo v2 ends >> lines";
    let mut two = releases.start("two", &key("v2", "2"), slow);
    releases.until_line("v2");
    let (code, printed) = reset();
    assert_eq!(code, Some(75), "{printed}");
    assert!(printed.contains("two runs an attempt now"), "{printed}");
    fs::write(releases.path().join("go"), "").unwrap();
    assert_eq!(two.code(), Some(0), "{}", releases.log("two"));
    let again = [&key("v1", "1")[..], &["--superseded", "wait"]].concat();
    let mut older = releases.start("older", &again, "echo v1 $BELLWETHER_TERM >> lines");
    eventually("it waits", || {
        (releases.log("older").contains(r#""event":"standing""#)).then_some(())
    });
    thread::sleep(Duration::from_secs(1));
    assert!(older.waits(), "{}", releases.log("older"));
    let (code, printed) = reset();
    assert_eq!(code, Some(0), "{printed}");
    assert!(printed.contains("can be done again"), "{printed}");
    assert_eq!(older.code(), Some(0), "{}", releases.log("older"));
    assert_eq!(releases.run(&other, "echo other >> lines"), Some(0), "it is done");
    let (lines, term) =
        (releases.lines(), |line: &str| line.split(' ').nth(1)?.parse::<u64>().ok());
    assert_eq!(lines[1..4], ["other", "v2", "v2 ends"]);
    assert!(lines.len() == 5 && term(&lines[0]) < term(&lines[4]), "terms continue: {lines:?}");
    let (code, printed) = releases.reset(&["--work", "unknown"]);
    assert_eq!(code, Some(0), "{printed}");
    assert!(printed.contains("there is nothing to reset"), "{printed}");
}

/// Two releases of eight instances each, deployed two seconds apart; the first runner is killed.
pub fn two_releases_of_eight(releases: &Releases) {
    let script = "for i in $(seq 20); do read up idle < /proc/uptime; \
                  echo $BELLWETHER_KEY $BELLWETHER_TERM $up $BELLWETHER_IDENTITY >> lines; sleep 0.05; done; \
                  echo $BELLWETHER_KEY >> done";
    let start = |release: &str, order: &str| {
        let args = ["--key", release, "--order", order];
        (0..8).map(|n| releases.start(&format!("{release}-{n}"), &args, script)).collect::<Vec<_>>()
    };
    let mut all = start("r7", "7");
    eventually("the first one runs", || (!releases.lines().is_empty()).then_some(()));
    let began = now();
    let runner = releases.lines()[0].rsplit('-').next().unwrap().parse::<usize>().unwrap();
    kill("KILL", all[runner].child.0.id());
    let killed = all.remove(runner);
    thread::sleep(Duration::from_secs(2).saturating_sub(now().since(began)));
    all.extend(start("r8", "8"));
    drop(killed);
    let args = ["--key", "r7", "--order", "7"];
    all.push(releases.start("again", &args, script));
    for instance in &mut all {
        assert_eq!(instance.code(), Some(0));
    }
    let done = fs::read_to_string(releases.path().join("done")).unwrap();
    assert_eq!(done, "r7\nr8\n", "each to its end once, in order");
    let beats: Vec<(u64, f64)> = releases.lines().iter().map(|line| beat(line)).collect();
    assert!(beats.is_sorted_by(|one, next| one.0 <= next.0 && one.1 <= next.1), "{beats:?}");
    let terms = beats.chunk_by(|one, next| one.0 == next.0).count();
    assert_eq!(terms, 3, "the one that was killed, and two: {beats:?}");
}

fn beat(line: &str) -> (u64, f64) {
    let words: Vec<_> = line.split(' ').collect();
    (words[1].parse().unwrap(), words[2].parse().unwrap())
}

/// The task metadata service of ECS, for as long as the test runs.
pub struct Ecs {
    pub url: String,
    says: Arc<Mutex<(String, String)>>,
    fails: Arc<AtomicUsize>,
}

impl Ecs {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v4/abc", listener.local_addr().unwrap());
        let says = Arc::new(Mutex::new((String::new(), String::new())));
        let printed = Arc::clone(&says);
        let fails = Arc::new(AtomicUsize::new(0));
        let fails_now = Arc::clone(&fails);
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut head = [0; 1024];
                let read = stream.read(&mut head).unwrap_or(0);
                let (revision, image) = printed.lock().unwrap().clone();
                let body = if head[..read].starts_with(b"GET /v4/abc/task") {
                    format!(
                        r#"{{"Cluster":"arn:aws:ecs:eu-west-1:123456789012:cluster/prod",
                        "TaskARN":"arn:aws:ecs:eu-west-1:123456789012:task/prod/0123456789abcdef",
                        "Family":"web","Revision":"{revision}"}}"#
                    )
                } else {
                    format!(r#"{{"Image":"web:latest","ImageID":"{image}"}}"#)
                };
                let one_less = |left: usize| left.checked_sub(1);
                let fails = fails_now.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less);
                let status = if fails.is_ok() { "500 Internal Server Error" } else { "200 OK" };
                let length = body.len();
                let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n");
                let _ = stream.write_all(format!("{head}{body}").as_bytes());
            }
        });
        Self { url, says, fails }
    }

    /// So many requests fail from now on. A look at the task takes two.
    pub fn fails(&self, requests: usize) {
        self.fails.store(requests, Ordering::SeqCst);
    }

    /// From now on tasks are of this revision and image.
    pub fn is(&self, revision: &str, image: &str) {
        *self.says.lock().unwrap() = (revision.to_owned(), image.to_owned());
    }
}

/// A test of each for a store.
#[macro_export]
macro_rules! releases_follow_each_other {
    ($home:expr) => {
        use $crate::releases;

        #[test]
        fn one_runs_at_a_time() {
            let (_home, releases) = $home;
            releases::one_runs_at_a_time(&releases);
        }

        #[test]
        fn an_older_order_never_begins_after_a_newer_one() {
            let (_home, releases) = $home;
            releases::an_older_order_never_begins_after_a_newer_one(&releases);
        }

        #[test]
        fn a_release_is_taken_back_and_the_older_one_continues() {
            let (_home, releases) = $home;
            releases::a_release_is_taken_back_and_the_older_one_continues(&releases);
        }

        #[test]
        fn auto_sees_the_image() {
            let (_home, releases) = $home;
            releases::auto_sees_the_image(&releases);
        }

        #[test]
        fn failures_pause_and_heal() {
            let (_home, releases) = $home;
            releases::failures_pause_and_heal(&releases);
        }

        #[test]
        fn waiting_and_running_have_limits_of_their_own() {
            let (_home, releases) = $home;
            releases::waiting_and_running_have_limits_of_their_own(&releases);
        }

        #[test]
        fn a_work_is_reset_whole_and_not_while_it_runs() {
            let (_home, releases) = $home;
            releases::a_work_is_reset_whole(&releases);
        }

        #[test]
        fn two_releases_of_eight_run_once_each_in_order() {
            let (_home, releases) = $home;
            releases::two_releases_of_eight(&releases);
        }
    };
}
