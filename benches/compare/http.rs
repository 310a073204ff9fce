//! `/leader` a second, beside client-go's `IsLeader` behind Go's HTTP server: each on one processor, and wrk, which
//! asks, on another.

use std::process::Command;
use std::time::Duration;

use support::ports::free_port;

use crate::candidate::{Candidate, Failure, family};
use crate::rows::{Kind, ROWS, Row, Start, uuid};
use crate::scenes::{DEFAULT, cpu};
use crate::stores::Stores;

/// What a server of `/leader` bears.
#[derive(Clone, Copy)]
pub struct Rate {
    pub a_second: f64,
    /// Answers for each second of CPU time.
    pub a_core: f64,
    pub p99: Duration,
}

const LIMIT: Duration = Duration::from_secs(60);

/// Our sidecar on SQLite and client-go, in turns.
pub fn compare(stores: &Stores, rounds: usize, seconds: u64) -> [Result<Vec<Rate>, Failure>; 2] {
    let row = |kind| ROWS.into_iter().find(|row| row.kind == kind).expect("a row of this kind");
    let servers = [row(Kind::Serve), row(Kind::ClientGo)].map(|row| Server::start(stores, &row));
    let mut rates: [Result<Vec<Rate>, Failure>; 2] = [Ok(Vec::new()), Ok(Vec::new())];
    for _ in 0..rounds {
        for (server, rates) in servers.iter().zip(&mut rates) {
            let rate = server.as_ref().map_err(Clone::clone).and_then(|s| s.rate(seconds));
            match (rate, rates.as_mut()) {
                (Ok(rate), Ok(rates)) => rates.push(rate),
                (Err(why), _) => *rates = Err(why),
                _ => {}
            }
        }
    }
    rates
}

struct Server {
    candidate: Candidate,
    url: String,
}

impl Server {
    fn start(stores: &Stores, row: &Row) -> Result<Self, Failure> {
        let listen = format!("127.0.0.1:{}", free_port());
        let candidate = row.start(&Start {
            stores,
            lease: DEFAULT,
            election: &uuid(),
            works: false,
            port: None,
            processor: Some("0"),
            listen: Some(&listen),
        })?;
        candidate.leads_within(LIMIT)?;
        let url = match candidate.log.address().filter(|_| row.is_ours()) {
            Some(url) => format!("{url}/leader"),
            None => format!("http://{listen}/leader"),
        };
        Ok(Self { candidate, url })
    }

    fn rate(&self, seconds: u64) -> Result<Rate, Failure> {
        let used = || family(self.candidate.id()).into_iter().map(cpu).sum::<Duration>();
        let before = used();
        let output = Command::new("taskset")
            .args(["-c", "1", "wrk", "-t1", "-c16", "--latency", "-d", &format!("{seconds}s")])
            .arg(&self.url)
            .output()
            .map_err(|error| format!("wrk: {error}"))?;
        let used = used() - before;
        let text = String::from_utf8_lossy(&output.stdout);
        if text.contains("Non-2xx") {
            return Err(format!("not every answer was 200: {text}"));
        }
        read(&text, used).ok_or_else(|| format!("wrk printed {text}"))
    }
}

/// What wrk prints. Before the distribution, another figure may end with "99%".
fn read(text: &str, used: Duration) -> Option<Rate> {
    let (_, distribution) = text.split_once("Latency Distribution")?;
    let after = |mark: &str| distribution.split_once(mark)?.1.split_whitespace().next();
    let requests: f64 =
        text.split_once(" requests in ")?.0.split_whitespace().last()?.parse().ok()?;
    Some(Rate {
        a_second: after("Requests/sec:")?.parse().ok()?,
        a_core: requests / used.as_secs_f64(),
        p99: duration(after("99%")?)?,
    })
}

/// As `1.25ms`.
fn duration(text: &str) -> Option<Duration> {
    let unit = text.find(|c: char| c.is_ascii_alphabetic())?;
    let number: f64 = text[..unit].parse().ok()?;
    let factor = match &text[unit..] {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        _ => return None,
    };
    Some(Duration::from_secs_f64(number * factor))
}
