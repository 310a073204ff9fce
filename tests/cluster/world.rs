//! What applications do to the world: they report each piece of their leader-only work to a server of the test,
//! which notes who did it under which term, in the order of arrival.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use bellwether::election::time::BootTime;

use crate::node::{ADDRESS, patiently};
use support::now;

/// A report of an application.
#[derive(Clone, Debug)]
pub struct Report {
    pub at: BootTime,
    pub pod: String,
    /// `starts`, `works`, `ending` after SIGTERM, `ends`.
    pub what: String,
    pub term: u64,
}

#[derive(Clone)]
pub struct World {
    pub url: String,
    reports: Arc<Mutex<Vec<Report>>>,
}

impl World {
    /// Listens in the network of the calling thread, until this process ends.
    pub fn new() -> Self {
        let listener = TcpListener::bind((ADDRESS, 0)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let reports = Arc::<Mutex<Vec<Report>>>::default();
        let sink = Arc::clone(&reports);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if let Some((pod, what, term)) = request(&stream) {
                    sink.lock().unwrap().push(Report { at: now(), pod, what, term });
                }
                let _ = (&stream).write_all(b"HTTP/1.0 204 No Content\r\n\r\n");
            }
        });
        Self { url, reports }
    }

    pub fn reports(&self) -> Vec<Report> {
        self.reports.lock().unwrap().clone()
    }

    /// The reports of one kind.
    pub fn of(&self, what: &str) -> Vec<Report> {
        self.reports().into_iter().filter(|report| report.what == what).collect()
    }

    /// Waits for a report that a condition holds for.
    #[track_caller]
    pub fn sees(&self, what: &str, is_it: impl Fn(&Report) -> bool) -> Report {
        patiently(what, || self.reports().into_iter().find(&is_it))
    }

    /// Waits for work in a later term than any before.
    #[track_caller]
    pub fn sees_next_term(&self) -> Report {
        let last = self.of("works").iter().map(|report| report.term).max().unwrap_or(0);
        self.sees("one works in a later term", |report| {
            report.what == "works" && report.term > last
        })
    }

    /// Checks that each term had one leader, and that no pod worked under a term after a later one.
    #[track_caller]
    pub fn saw_never_two(&self) {
        let works = self.of("works");
        assert!(!works.is_empty(), "no pod worked");
        for pair in works.windows(2) {
            let (before, after) = (&pair[0], &pair[1]);
            assert!(before.term <= after.term, "work under an older term: {before:?}, {after:?}");
            let same = before.term == after.term;
            assert!(!same || before.pod == after.pod, "two of one term: {before:?}, {after:?}");
        }
    }
}

/// `/POD/WHAT/TERM`
fn request(stream: &TcpStream) -> Option<(String, String, u64)> {
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut header = String::new();
    while reader.read_line(&mut header).ok()? > 2 {
        header.clear();
    }
    let mut words = line.split(' ').nth(1)?.split('/').skip(1).map(str::to_owned);
    Some((words.next()?, words.next()?, words.next()?.parse().ok()?))
}
