//! A candidate of client-go, as a process.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use bellwether::election::time::BootTime;

use support::{Log, kill};

/// See `tools/rival`.
pub struct Rival {
    child: Child,
    output: Log,
}

impl Rival {
    /// Stands in the election `default` with durations of whole seconds.
    pub fn start(name: &str, kubeconfig: &Path, namespace: &str) -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/leases/rival");
        let mut command = Command::new(program);
        command.arg("-kubeconfig").arg(kubeconfig).args(["-namespace", namespace]);
        command.args(["-identity", name, "-lease-duration", "3s", "-renew-deadline", "2s"]);
        command.args(["-retry-period", "300ms"]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the rival is built (make setup)");
        let output = Log::of(child.stdout.take().unwrap());
        Self { child, output }
    }

    /// When it began to lead, and when it stopped, if it did.
    pub fn led(&self) -> Vec<(BootTime, Option<BootTime>)> {
        let mut led = Vec::new();
        for line in self.output.lines() {
            let (nanos, what) = line.split_once(' ').unwrap();
            let at = std::time::Duration::from_nanos(nanos.parse().unwrap());
            let at = BootTime::from_duration(at);
            match (what, led.last_mut()) {
                ("leads", _) => led.push((at, None)),
                ("stopped", Some((_, end))) => *end = Some(at),
                _ => {}
            }
        }
        led
    }

    pub fn leads(&self) -> bool {
        self.led().last().is_some_and(|(_, end)| end.is_none())
    }

    pub fn signal(&self, name: &str) {
        kill(name, self.child.id());
    }

    /// Waits until it has ended, and all its output has arrived.
    pub fn wait(&mut self) {
        self.child.wait().unwrap();
        support::eventually("its output ends", || self.output.has_ended().then_some(()));
    }
}

impl Drop for Rival {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
