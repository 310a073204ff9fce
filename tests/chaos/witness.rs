//! Queries every candidate all the time, and reads the resource.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;
use support::now;

use crate::candidate::Candidate;
use crate::history::resource::Resource;
use crate::history::{History, Read, Yes};

/// Often enough to see what lasts a tenth of a second, seldom enough for a small machine.
const PAUSE: Duration = Duration::from_millis(60);

/// An answer that takes longer says nothing: the candidate is frozen.
const PATIENCE: Duration = Duration::from_millis(700);

pub struct Witness {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Witness {
    pub fn of(candidates: &[Candidate], history: &Arc<History>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for candidate in candidates {
            let (url, name) = (candidate.url(), candidate.name.clone());
            let (stop, history) = (Arc::clone(&stop), Arc::clone(history));
            threads.push(thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    look(&name, &url, &history);
                    thread::sleep(PAUSE);
                }
            }));
        }
        let (stopped, history) = (Arc::clone(&stop), Arc::clone(history));
        threads.push(thread::spawn(move || {
            let resource = Resource::open(history.folder());
            while !stopped.load(Ordering::Relaxed) {
                let call = now();
                if let Ok(row) = resource.read() {
                    history.read(Read { call, end: now(), row });
                }
                thread::sleep(PAUSE);
            }
        }));
        Self { stop, threads }
    }

    pub fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("a witness does not panic");
        }
    }
}

fn look(name: &str, url: &str, history: &History) {
    let sent = now();
    let Some((status, body)) = ask(url) else { return };
    let answered = now();
    let yes = (status == 200).then(|| Yes {
        by: name.to_owned(),
        term: body["term"].as_u64().expect("a leader has a term"),
        sent,
        answered,
    });
    assert_eq!(yes.is_some(), body["leader"] == true, "{body}");
    assert!(
        yes.is_none() || body["identity"] == name,
        "another process took the port of {name}: {body}"
    );
    history.answered(yes);
}

pub fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(PATIENCE))
        .build()
        .new_agent()
}

/// The status and the body of `/leader`, if they came in time.
pub fn ask(url: &str) -> Option<(u16, Value)> {
    let mut response = agent().get(format!("{url}/leader")).call().ok()?;
    let text = response.body_mut().read_to_string().ok()?;
    Some((response.status().as_u16(), serde_json::from_str(&text).ok()?))
}
