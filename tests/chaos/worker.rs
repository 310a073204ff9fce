//! The leader-only work: a command that writes to the fenced resource and records what it did.
//!
//! It is this program, started by a sidecar. It can report by its own file only: it may be
//! killed at every line.

use std::path::PathBuf;
use std::time::Duration;

use support::now;

use crate::history::resource::Resource;
use crate::history::{Outcome, Recorder, Write};

/// Makes this program the worker.
pub const ARGUMENT: &str = "worker";

/// The folder of the history and of the resource.
pub const FOLDER: &str = "CHAOS_FOLDER";

/// How many writes a command of `only` makes; one of `run` makes them until it is ended.
pub const WRITES: &str = "CHAOS_WRITES";

pub fn work() {
    let setting = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("no {name}"));
    let folder = PathBuf::from(setting(FOLDER));
    let term = setting("BELLWETHER_TERM").parse().expect("a term");
    let owner = setting("BELLWETHER_IDENTITY");
    let writes = std::env::var(WRITES).ok().map_or(u64::MAX, |text| text.parse().unwrap());
    let mut recorder = Recorder::new(&folder, term, &owner);
    let mut resource = Resource::open(&folder);
    for number in 0..writes {
        let value = (u64::from(std::process::id()) << 32) | number;
        recorder.record(&Write { value, at: now(), outcome: None });
        let outcome = match resource.write(term, &owner, value) {
            Ok(true) => Outcome::Accepted,
            Ok(false) => Outcome::Refused,
            Err(_) => Outcome::Unknown,
        };
        recorder.record(&Write { value, at: now(), outcome: Some(outcome) });
        if outcome == Outcome::Unknown {
            resource = Resource::open(&folder);
        }
        std::thread::sleep(Duration::from_millis(fastrand::u64(5..25)));
    }
}
