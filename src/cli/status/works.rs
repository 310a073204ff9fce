//! Works that are done once: what is done of each, by its history.

use comfy_table::{Table, presets};
use serde::Serialize;

use super::state::{State, one_line};
use crate::election::history::{self, Attempt, Entry, History, Order};
use crate::election::lease::{ElectionName, Namespace, Observed, RecordKind};
use crate::election::term::Term;

/// How many keys of a work the table shows; all are in `--json`.
const SHOWN: usize = 5;

/// The histories among the records, until their works take them.
pub(super) struct Histories(Vec<(Option<Namespace>, String, History)>);

impl Histories {
    /// `unreadable` gets a line for each that cannot be read.
    pub(super) fn of(
        records: &[(Option<Namespace>, ElectionName, Observed)],
        unreadable: &mut Vec<String>,
    ) -> Self {
        let mut found = Vec::new();
        for (namespace, name, observed) in records {
            let RecordKind::History(work) = name.kind() else { continue };
            let Some(payload) = observed.record.payload.as_deref() else { continue };
            match History::decode(payload) {
                Ok(history) => found.push((namespace.clone(), work.to_owned(), history)),
                Err(why) => unreadable.push(format!("the record '{name}' cannot be read: {why}")),
            }
        }
        Self(found)
    }

    /// The history of a work, if the record is the lease of one.
    pub(super) fn take(
        &mut self,
        namespace: Option<&Namespace>,
        name: &ElectionName,
    ) -> Option<History> {
        let RecordKind::Work(work) = name.kind() else { return None };
        let is_its = |(of, name, _): &(Option<Namespace>, String, History)| {
            of.as_ref() == namespace && name == work
        };
        let index = self.0.iter().position(is_its)?;
        Some(self.0.swap_remove(index).2)
    }
}

/// What is done of a work, as `--json` shows it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Work {
    order: Option<Order>,
    /// The newest first.
    keys: Vec<KeyRow>,
}

/// What a key is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum KeyState {
    /// Its command runs.
    Running,
    /// Its command runs, or was interrupted: the store has no clock to tell.
    RunningOrInterrupted,
    /// Its command has begun, and has no end.
    Interrupted,
    /// The way down runs.
    TakingBack,
    Done,
    Failed,
    TakenBack,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct KeyRow {
    key: String,
    order: Option<Order>,
    state: KeyState,
    holder_identity: String,
    term: Term,
    began: String,
    /// None as long as it runs.
    ended: Option<String>,
    failures: u32,
    exit_code: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stderr: Option<String>,
}

impl Work {
    /// By its history and its lease.
    pub(super) fn of(history: &History, lease: State, held: Term) -> Self {
        let keys =
            history.entries().iter().rev().map(|entry| KeyRow::of(entry, lease, held)).collect();
        Self { order: history.order(), keys }
    }
}

impl KeyRow {
    fn of(entry: &Entry, lease: State, held: Term) -> Self {
        let open = |attempt: &Attempt| match lease {
            State::Held if attempt.term == held => KeyState::Running,
            State::Unknown if attempt.term == held => KeyState::RunningOrInterrupted,
            State::Held | State::Unknown | State::Over | State::Vacated => KeyState::Interrupted,
        };
        let (state, failures, code, stderr) = match &entry.state {
            history::State::Begun { failures } => (open(&entry.attempt), *failures, None, None),
            history::State::Done { .. } => (KeyState::Done, 0, Some(0), None),
            history::State::Failed { failures, code, stderr, .. } => {
                (KeyState::Failed, *failures, Some(*code), stderr.clone())
            }
            history::State::TakenBack { .. } => (KeyState::TakenBack, 0, None, None),
        };
        // One that was interrupted leaves the key as it was.
        let taking_back = entry.taking_back.as_ref().filter(|attempt| {
            matches!(open(attempt), KeyState::Running | KeyState::RunningOrInterrupted)
        });
        let attempt = taking_back.unwrap_or(&entry.attempt);
        let state = if taking_back.is_some() { KeyState::TakingBack } else { state };
        let is_open = matches!(entry.state, history::State::Begun { .. }) || taking_back.is_some();
        Self {
            key: entry.key.to_string(),
            order: entry.order,
            state,
            holder_identity: attempt.holder.clone(),
            term: attempt.term,
            began: attempt.began.to_string(),
            ended: (!is_open).then(|| entry.changed().to_string()),
            failures,
            exit_code: code,
            stderr,
        }
    }

    fn outcome(&self) -> String {
        let Self { holder_identity: holder, began, failures, .. } = self;
        let holder = one_line(holder);
        let ended = self.ended.as_deref().unwrap_or("-");
        match self.state {
            KeyState::Running => format!("running on {holder} since {began}"),
            KeyState::RunningOrInterrupted => {
                format!("running on {holder} since {began}, or interrupted")
            }
            KeyState::Interrupted => format!("interrupted on {holder}, begun at {began}"),
            KeyState::TakingBack => format!("being taken back by {holder} since {began}"),
            KeyState::Done => format!("done by {holder} at {ended}"),
            KeyState::TakenBack => format!("taken back by {holder} at {ended}"),
            KeyState::Failed => {
                let code = self.exit_code.unwrap_or_default();
                format!("attempt {failures} failed with {code} on {holder} at {ended}")
            }
        }
    }
}

/// The newest keys of each work, and what the failed ones wrote.
pub(super) fn table<'a>(works: impl Iterator<Item = (&'a str, &'a Work)>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["WORK", "KEY", "ORDER", "OUTCOME"]);
    let mut failures = String::new();
    for (name, work) in works {
        for key in work.keys.iter().take(SHOWN) {
            let order = key.order.map_or_else(|| "-".to_owned(), |order| order.to_string());
            table.add_row([one_line(name), one_line(&key.key), order, key.outcome()]);
            if let Some(stderr) = &key.stderr {
                failures += &format!("\n{} of {} wrote:\n", one_line(&key.key), one_line(name));
                failures.extend(stderr.lines().map(|line| format!("  {}\n", one_line(line))));
            }
        }
        if let Some(more) = work.keys.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            let more = format!("and {more} older");
            table.add_row([one_line(name), more, "-".to_owned(), "see --json".to_owned()]);
        }
    }
    if table.is_empty() {
        return String::new();
    }
    let lines: String = table.lines().map(|line| format!("{}\n", line.trim())).collect();
    format!("\n{lines}{failures}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::election::history::{End, Goal, Moment, Piece};
    use crate::election::time::WallTime;

    #[test]
    fn it_shows_the_last_keys_and_what_failed_ones_wrote() {
        let piece = |key: &str| Piece { key: key.parse().unwrap(), order: Some(7), tick: None };
        let at = Moment::of(WallTime::EPOCH);
        let attempt =
            |term| Attempt { holder: "web-0".to_owned(), term: Term::new(term), began: at };
        let end = End { code: 3, stderr: Some("no such table\n".to_owned()), at };
        let history = History::default().begin(&piece("v1"), Goal::Do, false, attempt(1));
        let history = history.finish(&piece("v1").key, Goal::Do, end, None).unwrap();
        let history = history.begin(&piece("v2"), Goal::Do, false, attempt(2));
        for (lease, state) in [
            (State::Held, "running on web-0"),
            (State::Unknown, "or interrupted"),
            (State::Over, "interrupted on web-0"),
            (State::Vacated, "interrupted on web-0"),
        ] {
            let work = Work::of(&history, lease, Term::new(2));
            let text = table(std::iter::once(("web", &work)));
            let lines: Vec<_> = text.lines().filter(|line| !line.is_empty()).collect();
            assert!(lines[1].contains("v2") && lines[1].contains(state), "{text}");
            assert!(lines[2].contains("attempt 1 failed with 3 on web-0 at 1970"), "{text}");
            assert_eq!(lines[3..], ["v1 of web wrote:", "  no such table"]);
        }
        assert_eq!(table(std::iter::empty()), "");
    }
}
