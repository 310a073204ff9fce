//! Works that are done once: what is done of each, by its history.

use std::fmt;

use serde::Serialize;

use super::state::{State, age};
use super::table::{Column, NONE, folded, lines};
use crate::cli::short::Distinct;
use crate::election::history::{self, Attempt, CLOCKS_DIFFER, Entry, History, Moment, Order};
use crate::election::lease::{ElectionName, Namespace, Observed, RecordKind};
use crate::election::term::Term;
use crate::election::text;
use crate::election::time::WallTime;

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
    /// How many may fail, as the instance of the last attempt has it.
    max_attempts: Option<u32>,
    /// Whether no instance that is there tries again: all attempts have failed.
    #[serde(rename = "final")]
    is_final: bool,
    /// Whether an attempt to take it back has no end: the key counts as what it was, but the command
    /// may have undone some of it.
    revert_interrupted: bool,
    exit_code: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stderr: Option<String>,
    /// Since when it is what it is.
    #[serde(skip)]
    since: WallTime,
    /// For the run of a period: when that began.
    #[serde(skip)]
    tick: Option<WallTime>,
}

impl Work {
    /// By its history and its lease.
    pub(super) fn of(history: &History, lease: State, held: Term) -> Self {
        let keys =
            history.entries().iter().rev().map(|entry| KeyRow::of(entry, lease, held)).collect();
        Self { order: history.order(), keys }
    }

    /// What the newest key is.
    pub(super) fn newest(&self) -> Option<String> {
        self.keys.first().map(KeyRow::shown_state)
    }

    /// Whether the newest key needs no attention.
    pub(super) fn is_well(&self) -> Option<bool> {
        let newest = self.keys.first()?;
        let needs_attention = matches!(newest.state, KeyState::Failed | KeyState::Interrupted);
        Some(!needs_attention && !newest.revert_interrupted)
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
        let revert_interrupted = entry.taking_back.is_some() && taking_back.is_none();
        let attempt = taking_back.unwrap_or(&entry.attempt);
        let state = if taking_back.is_some() { KeyState::TakingBack } else { state };
        let is_open = matches!(entry.state, history::State::Begun { .. }) || taking_back.is_some();
        let since = if is_open { attempt.began } else { entry.changed() };
        let max_attempts = attempt.max_attempts;
        Self {
            key: entry.key.to_string(),
            order: entry.order,
            state,
            holder_identity: attempt.holder.clone(),
            term: attempt.term,
            began: attempt.began.to_string(),
            ended: (!is_open).then(|| entry.changed().to_string()),
            failures,
            max_attempts,
            is_final: state == KeyState::Failed && max_attempts.is_some_and(|max| failures >= max),
            revert_interrupted,
            exit_code: code,
            stderr,
            since: since.wall(),
            tick: entry.tick.map(Moment::wall),
        }
    }

    /// In a few words, without whether it is final or was being taken back.
    fn shown_state(&self) -> String {
        let words = match self.state {
            KeyState::Running => "running",
            KeyState::RunningOrInterrupted => "running or interrupted",
            KeyState::Interrupted => "interrupted",
            KeyState::TakingBack => "taking back",
            KeyState::TakenBack => "taken back",
            KeyState::Done => "done",
            KeyState::Failed => return self.failed(),
        };
        words.to_owned()
    }

    fn failed(&self) -> String {
        let max = self.max_attempts.map_or_else(String::new, |max| format!(" of {max}"));
        format!("failed ({}{max})", self.failures)
    }

    fn whole_state(&self) -> String {
        let is_final = if self.is_final { ", final" } else { "" };
        let revert = if self.revert_interrupted { ", revert interrupted" } else { "" };
        format!("{}{is_final}{revert}", self.shown_state())
    }
}

/// Which work, in a store that has no other one of this name if there is no namespace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) namespace: Option<&'a str>,
    pub(super) name: &'a str,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(namespace) = self.namespace {
            write!(f, "{namespace}/")?;
        }
        f.write_str(self.name)
    }
}

/// A key to show, and the work that it is of.
type Shown<'a> = (Place<'a>, &'a KeyRow);

/// The newest keys of each work; nothing if there is no key.
pub(super) fn table<'a>(
    works: impl Iterator<Item = (Place<'a>, &'a Work)> + Clone,
    width: Option<usize>,
    now: WallTime,
) -> Vec<String> {
    let keys: Vec<_> = works.clone().flat_map(|(place, work)| shown(place, work)).collect();
    if keys.is_empty() {
        return Vec::new();
    }
    let each = |of: fn(&KeyRow) -> String| keys.iter().map(move |(_, key)| of(key));
    let holders = keys.iter().map(|(_, key)| key.holder_identity.as_str());
    let order = |key: &KeyRow| key.order.map_or_else(|| NONE.to_owned(), |o| o.to_string());
    let mut columns = Vec::new();
    if keys.iter().any(|(place, _)| place.namespace.is_some()) {
        let namespaces = keys.iter().map(|(place, _)| place.namespace.unwrap_or(NONE));
        columns.push(Column::names("NAMESPACE", Distinct::Begin, namespaces));
    }
    columns.extend([
        Column::names("WORK", Distinct::Begin, keys.iter().map(|(place, _)| place.name)),
        Column::names("KEY", Distinct::End, keys.iter().map(|(_, key)| key.key.as_str())),
        Column::whole("ORDER", each(order)).leaves(1),
        Column::whole("STATE", each(KeyRow::whole_state)),
        Column::names("HOLDER", Distinct::End, holders).leaves(3),
    ]);
    if width.is_some() {
        let ages = keys.iter().map(|(_, key)| age(key.since, now));
        columns.push(Column::whole("AGE", ages).leaves(2));
    } else {
        columns.push(Column::whole("TERM", each(|key| key.term.to_string())));
        columns.push(Column::whole("BEGAN", each(|key| key.began.clone())));
        let ended = |key: &KeyRow| key.ended.clone().unwrap_or_else(|| NONE.to_owned());
        columns.push(Column::whole("ENDED", each(ended)));
    }
    let mut lines = lines(columns, width);
    let left_out = |(place, work): (Place<'a>, &'a Work)| {
        let older = work.keys.len().checked_sub(SHOWN).filter(|older| *older > 0)?;
        Some((place, older))
    };
    for (place, older) in works.filter_map(left_out) {
        let more = format!("{older} older keys of {}; see --json", text::line(&place.to_string()));
        lines.extend(folded(&more, "", width));
    }
    lines
}

/// The runs of periods that are recorded for a time in the future: they stop a work until then. And the
/// final failures: no instance tries again until then.
pub(super) fn ahead<'a>(
    works: impl Iterator<Item = (Place<'a>, &'a Work)>,
    width: Option<usize>,
    now: WallTime,
) -> Vec<String> {
    let latest = now.since_epoch().saturating_add(CLOCKS_DIFFER);
    let is_ahead = |time: WallTime| time.since_epoch() > latest;
    let mut lines = Vec::new();
    for (place, row) in works.flat_map(|(place, work)| shown(place, work)) {
        let (key, name) = (&row.key, place.name);
        let what = if row.tick.is_some_and(is_ahead) {
            "is in the future: no instance runs the command before"
        } else if row.is_final && is_ahead(row.since) {
            "failed at a time in the future: --retry-after does not begin before"
        } else {
            continue;
        };
        let namespace =
            place.namespace.map_or_else(String::new, |name| format!("--namespace {name} "));
        let text = format!(
            "{key} of {place} {what}; check the clocks of the hosts, or run once --reset {namespace}--work \
             {name} --key {key}"
        );
        lines.extend(folded(&text, "", width));
    }
    lines
}

/// What those of the shown keys that failed wrote.
pub(super) fn failures<'a>(
    works: impl Iterator<Item = (Place<'a>, &'a Work)>,
    width: Option<usize>,
) -> Vec<String> {
    let mut lines = Vec::new();
    for (place, key) in works.flat_map(|(place, work)| shown(place, work)) {
        let Some(code) = key.exit_code.filter(|_| key.state == KeyState::Failed) else { continue };
        let KeyRow { key, holder_identity: holder, stderr, .. } = key;
        let wrote = if stderr.is_some() { " and wrote:" } else { "" };
        let failed = format!("{key} of {place} failed with code {code} on {holder}{wrote}");
        lines.extend(folded(&failed, "", width));
        lines.extend(stderr.iter().flat_map(|stderr| folded(stderr, "  ", width)));
    }
    lines
}

fn shown<'a>(place: Place<'a>, work: &'a Work) -> impl Iterator<Item = Shown<'a>> + Clone {
    work.keys.iter().take(SHOWN).map(move |key| (place, key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use crate::election::history::{End, Goal, Piece};

    const NOW: WallTime = WallTime::EPOCH;

    fn place(name: &str) -> Place<'_> {
        Place { namespace: None, name }
    }

    fn piece(key: &str) -> Piece {
        Piece { key: key.parse().unwrap(), order: Some(7), tick: None }
    }

    fn attempt(term: u64, max_attempts: Option<u32>) -> Attempt {
        let (holder, began) = ("web-0".to_owned(), Moment::from_millis(1_000));
        Attempt { holder, term: Term::new(term), began, max_attempts }
    }

    fn failed(history: &History, key: &str, term: u64, of: Option<u32>) -> History {
        let end = End {
            code: 3,
            stderr: Some("no such table\n".to_owned()),
            at: Moment::from_millis(2_000),
        };
        let begun = history.begin(&piece(key), Goal::Do, false, attempt(term, of));
        begun.finish(&piece(key).key, Goal::Do, end, None).unwrap()
    }

    #[test]
    fn status_shows_the_last_keys_and_the_errors_of_failed_ones() {
        let history = failed(&History::default(), "v1", 1, Some(3));
        let history = history.begin(&piece("v2"), Goal::Do, false, attempt(2, Some(3)));
        for (lease, state) in [
            (State::Held, "running "),
            (State::Unknown, "running or interrupted"),
            (State::Over, "interrupted "),
            (State::Vacated, "interrupted "),
        ] {
            let work = Work::of(&history, lease, Term::new(2));
            let works = || std::iter::once((place("web"), &work));
            let lines = table(works(), Some(80), NOW);
            assert!(lines[1].contains("v2") && lines[1].contains(state), "{lines:?}");
            assert!(
                lines[2].contains("failed (1 of 3)") && lines[2].contains("web-0"),
                "{lines:?}"
            );
            let wrote = ["v1 of web failed with code 3 on web-0 and wrote:", "  no such table"];
            assert_eq!(failures(works(), Some(80)), wrote);
            assert_eq!(work.newest().as_deref(), Some(state.trim_end()));
        }
        assert_eq!(table(std::iter::empty(), None, NOW), Vec::<String>::new());
    }

    #[test]
    fn status_shows_that_a_run_in_the_future_stops_its_work() {
        let tick = Moment::from_millis(7 * 24 * 60 * 60 * 1000);
        let key = tick.to_string();
        let run = Piece { order: None, tick: Some(tick), ..piece(&key) };
        let history = History::default().begin(&run, Goal::Do, false, attempt(1, None));
        let work = Work::of(&history, State::Vacated, Term::new(1));
        let lines = |now: Duration| {
            ahead(std::iter::once((place("report"), &work)), None, WallTime::from_unix(now))
                .concat()
        };
        let week = Duration::from_secs(7 * 24 * 60 * 60);
        assert!(lines(Duration::ZERO).contains(&format!("once --reset --work report --key {key}")));
        assert_eq!(lines(week - Duration::from_secs(30)), "", "clocks differ");
        assert_eq!(lines(week), "");
    }

    #[test]
    fn status_shows_that_a_failure_in_the_future_does_not_heal() {
        let begun =
            |of| History::default().begin(&piece("v1"), Goal::Do, false, attempt(1, Some(of)));
        let end = End { code: 3, stderr: None, at: Moment::from_millis(120_000) };
        let lines = |of: u32, now: u64| {
            let history = begun(of).finish(&piece("v1").key, Goal::Do, end.clone(), None).unwrap();
            let work = Work::of(&history, State::Vacated, Term::new(1));
            let now = WallTime::from_unix(Duration::from_secs(now));
            ahead(std::iter::once((place("web"), &work)), None, now).concat()
        };
        assert!(lines(1, 0).contains("once --reset --work web --key v1"), "{}", lines(1, 0));
        assert_eq!(lines(1, 60), "", "clocks differ");
        assert_eq!(lines(2, 0), "", "it is not final");
    }

    #[test]
    fn status_shows_that_a_revert_was_interrupted() {
        let begun = History::default().begin(&piece("v1"), Goal::Do, false, attempt(1, Some(3)));
        let end = End { code: 0, stderr: None, at: Moment::from_millis(2_000) };
        let done = begun.finish(&piece("v1").key, Goal::Do, end, None).unwrap();
        let down = done.begin(&piece("v1"), Goal::TakeBack, false, attempt(2, None));
        for (history, lease, state, is_well) in [
            (&done, State::Vacated, "done  ", true),
            (&down, State::Held, "taking back  ", true),
            (&down, State::Over, "done, revert interrupted  ", false),
        ] {
            let work = Work::of(history, lease, Term::new(2));
            let lines = table(std::iter::once((place("web"), &work)), Some(80), NOW);
            assert!(lines[1].contains(state), "{lines:?}");
            assert_eq!(work.is_well(), Some(is_well), "{state}");
            let json = serde_json::to_value(&work).unwrap();
            assert_eq!(json["keys"][0]["revertInterrupted"], !is_well, "{json}");
        }
    }

    #[test]
    fn status_shows_whether_a_failure_is_final() {
        let mut history = History::default();
        for (term, expected) in
            [(1, "failed (1 of 2)"), (2, "failed (2 of 2), final"), (3, "failed (3)")]
        {
            // An older version has not written how many may fail.
            history = failed(&history, "v1", term, (term < 3).then_some(2));
            let work = Work::of(&history, State::Vacated, Term::new(term));
            let lines = table(std::iter::once((place("web"), &work)), Some(80), NOW);
            assert!(lines[1].contains(&format!("7      {expected}  web-0")), "{lines:?}");
            let json = serde_json::to_value(&work).unwrap();
            assert_eq!(json["keys"][0]["final"], term == 2, "{json}");
            assert_eq!(work.is_well(), Some(false));
        }
    }

    #[test]
    fn status_shows_of_which_namespace_a_work_is() {
        let work = |key| {
            let begun = History::default().begin(&piece(key), Goal::Do, false, attempt(1, Some(1)));
            let end = End { code: 3, stderr: None, at: Moment::from_millis(120_000) };
            let history = begun.finish(&piece(key).key, Goal::Do, end, None).unwrap();
            Work::of(&history, State::Vacated, Term::new(1))
        };
        let (own, other) = (work("v1"), work("v2"));
        let works = || {
            [("prod", &own), ("staging", &other)]
                .into_iter()
                .map(|(namespace, work)| (Place { namespace: Some(namespace), name: "web" }, work))
        };
        let lines = table(works(), None, NOW);
        assert!(lines[0].starts_with("NAMESPACE  WORK  KEY"), "{lines:?}");
        assert!(lines[2].starts_with("staging    web   v2"), "{lines:?}");
        assert_eq!(failures(works(), None)[0], "v1 of prod/web failed with code 3 on web-0");
        let reset = ahead(works(), None, NOW);
        assert!(reset[0].starts_with("v1 of prod/web failed at a time"), "{reset:?}");
        assert!(
            reset[0].contains("once --reset --namespace prod --work web --key v1"),
            "{reset:?}"
        );
    }
}
