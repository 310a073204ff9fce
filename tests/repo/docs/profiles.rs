//! The table of durations in docs/operations.md: computed from `Timing`, and played by the elector.

use std::fs;
use std::time::Duration;

use bellwether::election::elector::{Action, Call, CallFailed, Elector, Event, Swapped};
use bellwether::election::lease::{Candidate, Observed, Version};
use bellwether::election::time::{BootTime, Now, WallTime};
use bellwether::election::timing::Timing;

use crate::docs::pages::project;

/// Name, lease duration, renew deadline, retry period.
const PROFILES: [(&str, [u64; 3]); 4] = [
    ("default", [15_000, 10_000, 2_000]),
    ("fast", [6_000, 4_000, 500]),
    ("cheap", [30_000, 20_000, 5_000]),
    ("one second", [1_000, 700, 150]),
];

/// The jitter of so many candidates: the figure for an outage holds for the worst of them.
const SEEDS: u64 = 200;

/// How long a store that works takes, or one that refuses at once.
const ANSWER: Duration = Duration::from_millis(5);

/// Renews the table when `BELLWETHER_WRITE_DOCS` is set.
#[test]
fn the_table_of_durations_is_up_to_date() {
    let rows: String = PROFILES.iter().map(|(name, ms)| row(name, *ms)).collect();
    let path = project().join("docs/operations.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once("<!-- profiles -->\n").expect("the begin of the table");
    let (_, after) = rest.split_once("<!-- end of profiles -->").expect("the end of the table");
    let head = "| | lease / renew / retry | time without a leader after a crash | tolerated store outage | \
                longest store call | time for work to end | tolerated clock rate difference | \
                writes per hour |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n";
    let made = format!("{before}<!-- profiles -->\n{head}{rows}<!-- end of profiles -->{after}");
    if std::env::var_os("BELLWETHER_WRITE_DOCS").is_some() {
        fs::write(&path, &made).unwrap();
    } else {
        assert!(
            page == made,
            "docs/operations.md is out of date: run \
             `BELLWETHER_WRITE_DOCS=1 cargo test --test repo docs:: durations`, and commit what it wrote"
        );
    }
}

fn row(name: &str, ms: [u64; 3]) -> String {
    let [lease, renew, retry] = ms.map(Duration::from_millis);
    let timing = Timing::new(lease, renew, retry).unwrap();
    let sent = BootTime::ZERO;
    let killed = timing.kills_at(sent).since(sent);
    let ending = killed - timing.leads_until(sent).since(sent);
    let rates = (lease.as_secs_f64() / killed.as_secs_f64() - 1.0) * 100.0;
    let writes = Duration::from_secs(3600).as_millis() / retry.as_millis();
    format!(
        "| {name} | {} / {} / {} | {} to {}; on DynamoDB to {} | {} | {} | {} | {rates:.0} % | {writes} |\n",
        shown(lease),
        shown(renew),
        shown(retry),
        shown(lease - retry),
        shown(lease),
        shown(lease + retry),
        shown(ridden_out(timing)),
        shown(timing.call_timeout()),
        shown(ending),
    )
}

/// To the hundredth of a second; below a second, to the millisecond.
fn shown(duration: Duration) -> String {
    let ms = duration.as_millis();
    if ms < 1000 {
        return format!("{ms} ms");
    }
    let seconds = format!("{}.{:02}", ms / 1000, ms % 1000 / 10);
    format!("{} s", seconds.trim_end_matches('0').trim_end_matches('.'))
}

#[derive(Clone, Copy)]
enum Outage {
    /// The store gives no answer.
    Hangs,
    /// The store cannot be reached, and says so.
    Refuses,
}

/// The longest outage that no leader notices, in steps of a fortieth of the renew deadline: one that
/// begins just before a renewal is due, which is the worst moment.
fn ridden_out(timing: Timing) -> Duration {
    let step = timing.renew_deadline() / 40;
    let survives = |length: Duration| {
        let all = [Outage::Hangs, Outage::Refuses];
        all.iter().all(|outage| (0..SEEDS).all(|seed| leads_on(timing, seed, *outage, length)))
    };
    let longest = (0..40).map(|steps| step * steps).take_while(|length| survives(*length)).last();
    longest.unwrap()
}

/// Whether a leader leads on through an outage, begun just before its second renewal is due.
fn leads_on(timing: Timing, seed: u64, outage: Outage, length: Duration) -> bool {
    let me = Candidate { identity: "a".to_owned(), incarnation: "1".to_owned() };
    let mut elector = Elector::new(me, timing, seed);
    let (mut now, mut event) = (BootTime::from_duration(Duration::from_secs(100)), Event::Wake);
    let (mut record, mut writes): (Option<Observed>, u64) = (None, 0);
    let mut elected_at = None;
    loop {
        let at = Now { boot: now, wall: WallTime::EPOCH };
        let action = elector.step(at, event).action;
        let leads = elector.leadership().is_leading(now);
        match elected_at {
            None if leads => elected_at = Some(now),
            Some(_) if !leads => return false,
            Some(at) if now.since(at) > length + timing.renew_deadline() * 2 => return true,
            _ => {}
        }
        let begins = elected_at.map(|at| at + timing.retry_period().saturating_sub(ANSWER * 2));
        let is_out = begins.is_some_and(|begins| now >= begins && now.since(begins) < length);
        let call = match action {
            Action::Wait { until } => {
                (now, event) = (until, Event::Wake);
                continue;
            }
            Action::Call(call) => call,
            Action::Finished => panic!("it leaves without a request"),
        };
        let (deadline, swap) = match call {
            Call::Observe { deadline } => (deadline, None),
            Call::Swap { deadline, record, .. } => (deadline, Some(record)),
        };
        now = match outage {
            Outage::Hangs if is_out => deadline,
            Outage::Hangs | Outage::Refuses => now + ANSWER,
        };
        event = match swap {
            None if is_out => Event::Observed(Err(CallFailed)),
            Some(_) if is_out => Event::Swapped(Err(CallFailed)),
            None => Event::Observed(Ok(record.clone())),
            Some(written) => {
                writes += 1;
                let version = Version::new(writes.to_string());
                let written = Observed {
                    record: written,
                    version: version.clone(),
                    remaining: None,
                    outlived: false,
                };
                record = Some(written);
                Event::Swapped(Ok(Swapped::Won(version)))
            }
        };
    }
}
