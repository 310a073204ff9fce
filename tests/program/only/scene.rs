//! Commands under `only`, and signs of life.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use support::{Log, Pasture, Sidecar, bellwether, eventually, kill};

pub use support::beats::{BEAT, beat_after, beats, stubborn};
pub use support::raw::{open, post, raw};

/// A sidecar that leads.
pub fn leader(pasture: &Pasture, more: &[&str]) -> Sidecar {
    let sidecar = Sidecar::start_with("a", &pasture.store(), more);
    eventually("it leads", || sidecar.leader().leads().then_some(()));
    sidecar
}

/// A second sidecar, which stands by.
pub fn standby(pasture: &Pasture) -> Sidecar {
    let sidecar = Sidecar::start("b", &pasture.store());
    eventually("it knows who leads", || sidecar.leader().holder().map(drop));
    sidecar
}

/// `bellwether ARGS` beside a sidecar, in the folder of the database.
pub fn beside(sidecar: &Sidecar, pasture: &Pasture, args: &[&str]) -> Command {
    let mut command = bellwether();
    command.args(args).env("BELLWETHER_SIDECAR", &sidecar.url).current_dir(pasture.folder());
    command.stdin(Stdio::null());
    command
}

/// Runs it to its end.
#[track_caller]
pub fn ask(sidecar: &Sidecar, args: &[&str]) -> (Option<i32>, Output) {
    let output = beside(sidecar, &Pasture::new(), args).output().unwrap();
    (output.status.code(), output)
}

/// A `bellwether only` of its own, killed when dropped.
pub struct Only {
    pub child: Child,
    pub log: Log,
}

impl Only {
    pub fn start(sidecar: &Sidecar, pasture: &Pasture, script: &str) -> Self {
        Self::start_with(sidecar, pasture, &[], script)
    }

    pub fn start_with(sidecar: &Sidecar, pasture: &Pasture, more: &[&str], script: &str) -> Self {
        let mut command = beside(sidecar, pasture, &["only"]);
        command.args(more).args(["--", "sh", "-c", script]).stderr(Stdio::piped());
        Self::of(command.spawn().unwrap())
    }

    /// One that was started with a pipe.
    pub fn of(mut child: Child) -> Self {
        let log = Log::of(child.stderr.take().unwrap());
        Self { child, log }
    }

    pub fn signal(&self, name: &str) {
        kill(name, self.child.id());
    }

    #[track_caller]
    pub fn exit_code(&mut self) -> Option<i32> {
        self.log.exit_status(&mut self.child).code()
    }
}

impl Drop for Only {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- log of only:\n{}", self.log.text());
        }
    }
}

/// Waits until the next leader's command runs, and checks that the old one was dead by then.
#[track_caller]
pub fn taken_over(pasture: &Pasture, by: &Sidecar, term: u64) {
    eventually("the other one leads", || by.leader().leads().then_some(()));
    let _next = Only::start(by, pasture, BEAT);
    let first = beat_after(pasture, term);
    let last = beats(pasture).iter().filter(|b| b.term == term).map(|b| b.at).fold(0.0, f64::max);
    assert!(last <= first.at, "term {term} beat at {last}, after {first:?}");
}

/// A hold by hand, which ignores all it receives. It holds when this returns.
#[track_caller]
pub fn hold_by_hand(sidecar: &Sidecar) -> TcpStream {
    let before = holds(sidecar);
    let stream = open(sidecar, "POST /hold HTTP/1.1\r\nHost: localhost\r\n\r\n");
    eventually("it holds", || (holds(sidecar) > before).then_some(()));
    stream
}

pub fn holds(sidecar: &Sidecar) -> u64 {
    sidecar.leader().body["holds"].as_u64().unwrap()
}

pub fn exists(pasture: &Pasture, file: &str) -> bool {
    Path::exists(&pasture.folder().join(file))
}
