//! What has to be true of a history.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use bellwether::election::time::BootTime;
use serde_json::json;
use support::tools::{printed, tool};

use crate::history::{Frozen, History, Outcome, Process, Work, Write, Yes, nanoseconds};

/// The first violation of each kind.
pub fn all(history: &History) -> Vec<String> {
    let works = history.works();
    [
        never_two(&history.yes()),
        wrote(&works),
        never_overlapping(&works, &history.frozen()),
        linearizable(history, &works),
    ]
    .into_iter()
    .filter_map(Result::err)
    .collect()
}

/// A term has one leader, and no "yes" of a term was requested after a "yes" of a later one.
fn never_two(yes: &[Yes]) -> Result<(), String> {
    if yes.is_empty() {
        return Err("no candidate ever led".to_owned());
    }
    let mut leaders = BTreeMap::new();
    for one in yes {
        let first = leaders.entry(one.term).or_insert(&one.by);
        if **first != one.by {
            return Err(format!("two leaders of term {}: {first} and {}", one.term, one.by));
        }
    }
    let mut by_question: Vec<_> = yes.iter().collect();
    by_question.sort_by_key(|yes| yes.sent);
    let (mut arrived, mut latest) = (yes.iter().peekable(), None::<&Yes>);
    for one in by_question {
        while let Some(other) = arrived.next_if(|other| other.answered < one.sent) {
            latest = latest.filter(|latest| latest.term >= other.term).or(Some(other));
        }
        if let Some(later) = latest.filter(|latest| latest.term > one.term) {
            return Err(format!("'yes' after it was replaced: {one:?}, {later:?}"));
        }
    }
    Ok(())
}

/// Without a write that was accepted, the next checks look at nothing.
fn wrote(works: &[Work]) -> Result<(), String> {
    if works.is_empty() {
        return Err("no command ever wrote".to_owned());
    }
    let mut writes = works.iter().flat_map(|work| &work.writes);
    if !writes.any(|write| write.outcome == Some(Outcome::Accepted)) {
        return Err("the resource never accepted a write".to_owned());
    }
    Ok(())
}

/// Every line of a command was written while it ran. What was frozen with its whole instance is looked at
/// up to then.
fn never_overlapping(works: &[Work], frozen: &Frozen) -> Result<(), String> {
    let mut latest: Option<(&Work, BootTime)> = None;
    for same_term in works.chunk_by(|one, other| one.term == other.term) {
        let times = |work: &Work| {
            let until = frozen.get(&work.process).copied();
            let times = work.writes.iter().map(|write| write.at);
            times.filter(move |at| until.is_none_or(|until| *at < until)).collect::<Vec<_>>()
        };
        let all =
            same_term.iter().flat_map(|work| times(work).into_iter().map(move |at| (work, at)));
        let all: Vec<_> = all.collect();
        let Some(first) = all.iter().min_by_key(|(_, at)| *at) else { continue };
        if let Some((work, at)) = latest.filter(|(_, at)| *at > first.1) {
            return Err(format!(
                "{} worked in term {} at {at:?}, {} already in term {} at {:?}",
                work.owner, work.term, first.0.owner, first.0.term, first.1
            ));
        }
        let last = all.iter().max_by_key(|(_, at)| *at).copied();
        latest = latest.into_iter().chain(last).max_by_key(|(_, at)| *at);
    }
    Ok(())
}

/// Hands the history of the resource to porcupine, one operation a line.
fn linearizable(history: &History, works: &[Work]) -> Result<(), String> {
    let mut lines = String::new();
    let mut add = |line: serde_json::Value| writeln!(lines, "{line}").expect("a text has room");
    for work in works {
        let ends = work.writes.iter().filter(|write| write.outcome.is_some());
        let ends: BTreeMap<_, _> = ends.map(|end| (end.value, end)).collect();
        for write in work.writes.iter().filter(|write| write.outcome.is_none()) {
            let end = ends.get(&write.value);
            let outcome = end.and_then(|end| end.outcome).unwrap_or(Outcome::Unknown);
            // One whose outcome is not known may be applied at any later time.
            let end = end.filter(|_| outcome != Outcome::Unknown).map(|end| nanoseconds(end.at));
            add(json!({
                "client": work.process.pid, "call": nanoseconds(write.at), "return": end, "term": work.term,
                "owner": work.owner, "value": write.value, "outcome": outcome,
            }));
        }
    }
    for read in history.reads() {
        add(json!({
            "client": 0, "call": nanoseconds(read.call), "return": nanoseconds(read.end),
            "term": read.row.term, "owner": read.row.owner, "value": read.row.value, "outcome": "read",
        }));
    }
    let mut checker = tool("chaos/linearizable");
    let mut child = spawn(&mut checker);
    let written = child.stdin.take().expect("it is piped").write_all(lines.as_bytes());
    let output = child.wait_with_output().expect("the checker ends");
    if written.is_ok() && output.status.success() {
        Ok(())
    } else {
        Err(format!("the writes of the resource are not linearizable: {}", printed(&output)))
    }
}

fn spawn(checker: &mut Command) -> std::process::Child {
    checker.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    checker.spawn().expect("the checker starts (make setup)")
}

/// What the checks must find, and what they must let pass. This program has no harness for tests of its parts, so each
/// run begins with them.
pub fn can_fail() {
    let second = |at: u64| BootTime::ZERO + Duration::from_secs(at);
    let work = |pid: u32, term: u64, outcome: Outcome, times: &[u64]| Work {
        process: Process { pid, started: 100 },
        term,
        owner: format!("c{pid}"),
        writes: times
            .iter()
            .map(|at| Write { value: *at, at: second(*at), outcome: Some(outcome) })
            .collect(),
    };

    assert!(wrote(&[]).is_err());
    assert!(wrote(&[work(7, 1, Outcome::Refused, &[10, 20])]).is_err());
    assert!(wrote(&[work(7, 1, Outcome::Accepted, &[10, 20])]).is_ok());

    let accepted = Outcome::Accepted;
    let works = [work(7, 1, accepted, &[10, 16, 20]), work(8, 2, accepted, &[15, 25])];
    let frozen_at = |pid, started, at| Frozen::from([(Process { pid, started }, second(at))]);
    let overlaps = |frozen: Frozen| never_overlapping(&works, &frozen).is_err();
    assert!(overlaps(Frozen::new()));
    assert!(overlaps(frozen_at(7, 100, 18)), "it wrote beside the next one before it was frozen");
    assert!(!overlaps(frozen_at(7, 100, 12)));
    assert!(!overlaps(frozen_at(7, 100, 9)), "it was frozen before its first write");
    assert!(overlaps(frozen_at(7, 50, 9)), "an earlier process with its id was frozen");
    assert!(overlaps(frozen_at(7, 150, 12)), "a later process with its id was frozen");
}
