//! A start can be observed and interrupted from its first moment, also if the store does not
//! answer.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use support::lock::Lock;
use support::ports::free_port;
use support::{LIMIT, Log, Pasture, bellwether, eventually, get, handles_sigterm, kill, now};

/// A call may take minutes with these, and so may a start that waits for one.
const PATIENT: [&str; 6] =
    ["--lease-duration", "1h", "--renew-deadline", "45m", "--retry-period", "20m"];

/// A port that accepts and never answers.
struct Mute(TcpListener);

impl Mute {
    fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    fn postgres(&self) -> String {
        format!("postgres://u@127.0.0.1:{}/d?sslmode=disable", self.port())
    }
}

/// A process that is killed when dropped.
struct Started(Child, Log);

impl Started {
    fn new(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Log::of(child.stderr.take().unwrap());
        Self(child, log)
    }

    /// Ends it once it listens to signals, and waits for its exit code.
    fn ends_by(&mut self, signal: &str) -> Option<i32> {
        eventually("it listens to signals", || handles_sigterm(self.0.id()).then_some(()));
        kill(signal, self.0.id());
        let status = self.1.exit_status(&mut self.0);
        use std::os::unix::process::ExitStatusExt as _;
        status.code().or(status.signal().map(|signal| 128 + signal))
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        if std::thread::panicking() {
            eprintln!("--- log:\n{}", self.1.text());
        }
    }
}

/// Its answers while it starts; then it is ended.
#[track_caller]
fn starts_visibly(mut command: Command, port: u16) {
    let mut started = Started::new(&mut command);
    let url = |path: &str| format!("http://127.0.0.1:{port}{path}");
    eventually("it listens", || get(&url("/livez")).filter(|answer| answer.status == 200));
    for path in ["/started", "/ready", "/leader", "/elections/default/started"] {
        let answer = get(&url(path)).expect("it answers");
        assert_eq!(answer.status, 503, "{path}: {answer:?}");
        assert!(answer.body.to_string().contains("starting: the store has not"), "{answer:?}");
    }
    assert_eq!(started.ends_by("TERM"), Some(0));
    assert!(started.1.text().contains("\"event\":\"shutting_down\""), "{}", started.1.text());
}

#[test]
fn serve_and_run_answer_and_obey_while_the_store_is_mute() {
    let mute = Mute::new();
    for command in ["serve", "run"] {
        let port = free_port();
        let mut program = bellwether();
        program.args([command, "--store", &mute.postgres(), "--listen"]);
        program.arg(format!("127.0.0.1:{port}")).args(PATIENT);
        if command == "run" {
            program.args(["--", "true"]);
        }
        starts_visibly(program, port);
    }
}

#[test]
fn serve_answers_while_an_sqlite_file_is_locked() {
    let pasture = Pasture::new();
    let store = pasture.store();
    // A file that has no write-ahead log yet cannot be opened while it is locked.
    let _lock = Lock::take(&pasture);
    let port = free_port();
    let mut program = bellwether();
    program.args(["serve", "--store", &store, "--listen"]).arg(format!("127.0.0.1:{port}"));
    program.args(PATIENT);
    starts_visibly(program, port);
}

#[test]
fn serve_answers_while_the_platform_does_not_say_who_this_is() {
    let (pasture, mute, port) = (Pasture::new(), Mute::new(), free_port());
    let mut program = bellwether();
    program.env("ECS_CONTAINER_METADATA_URI_V4", format!("http://127.0.0.1:{}/v4", mute.port()));
    program.args(["serve", "--store", &pasture.store(), "--listen"]);
    let mut started = Started::new(program.arg(format!("127.0.0.1:{port}")));
    // Requested for as long as the lookup takes, a second and a half.
    let url = format!("http://127.0.0.1:{port}/started");
    let first = eventually("it listens", || get(&url));
    assert_eq!(first.status, 503, "{first:?}");
    assert!(first.body.to_string().contains("the platform has not given"), "{first:?}");
    eventually("it starts", || get(&url).filter(|answer| answer.status == 200));
    assert_eq!(started.ends_by("TERM"), Some(0));
}

#[test]
fn once_obeys_its_timeout_and_signals_while_the_store_is_mute() {
    let mute = Mute::new();
    let once = |timeout: &str| {
        let mut program = bellwether();
        program.args(["once", "--key", "k", "--store", &mute.postgres(), "--timeout", timeout]);
        program.args(PATIENT).args(["--", "true"]);
        program
    };
    let began = now();
    let output = once("1s").output().unwrap();
    assert_eq!(output.status.code(), Some(75), "{output:?}");
    assert!(now().since(began) < LIMIT, "as soon as it is over");
    let mut waits = Started::new(&mut once("1h"));
    assert_eq!(waits.ends_by("TERM"), Some(143));
    // Also while the platform does not name the release.
    let mut auto = once("1h");
    auto.env("ECS_CONTAINER_METADATA_URI_V4", format!("http://127.0.0.1:{}/v4", mute.port()));
    let mut auto = Started::new(auto.args(["--key", "auto"]));
    assert_eq!(auto.ends_by("INT"), Some(130));
}

#[test]
fn the_commands_that_only_ask_obey_signals_as_a_first_process_too() {
    let mute = Mute::new();
    let sidecar = format!("http://127.0.0.1:{}", mute.port());
    let postgres = mute.postgres();
    let commands: [&[&str]; 4] = [
        &["init", "--store", &postgres],
        &["status", "--store", &postgres],
        &["wait", "--sidecar", &sidecar, "--request-timeout", "1h", "--timeout", "1h"],
        &["only", "--sidecar", &sidecar, "--request-timeout", "1h", "--", "true"],
    ];
    for args in commands {
        // A signal without a handler does not end the first process of a container.
        let program = bellwether();
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
        command.arg(program.get_program()).args(program.get_args()).args(args);
        let mut started = Started::new(&mut command);
        let parent = started.0.id();
        let child = eventually("it runs", || {
            let path = format!("/proc/{parent}/task/{parent}/children");
            let child = std::fs::read_to_string(path).ok()?.trim().parse::<u32>().ok()?;
            // Not before it is the program, and listens.
            handles_sigterm(child).then_some(child)
        });
        kill("TERM", child);
        let status = eventually("it ends", || started.0.try_wait().unwrap());
        assert_eq!(status.code(), Some(if args[0] == "only" { 75 } else { 143 }), "{args:?}");
    }
}

#[test]
fn wait_keeps_its_timeout_however_long_a_question_may_take() {
    let mute = Mute::new();
    let sidecar = format!("http://127.0.0.1:{}", mute.port());
    for leading in [&[][..], &["--leading"]] {
        let mut program = bellwether();
        program.args(["wait", "--sidecar", &sidecar, "--request-timeout", "1h"]);
        let mut waits = Started::new(program.args(["--timeout", "500ms"]).args(leading));
        let status = waits.1.exit_status(&mut waits.0);
        assert_eq!(status.code(), Some(75), "{}", waits.1.text());
    }
}
