//! One record, for programs and for people.

use std::time::Duration;

use serde::Serialize;

use super::state::{Paused, State, age, short};
use super::table::{Column, NONE, folded, lines};
use super::works::Work;
use crate::cli::short::Distinct;
use crate::election::holder_url::HolderUrl;
use crate::election::lease::{ElectionName, LeaseRecord, Namespace, Observed, Origin, RecordKind};
use crate::election::term::Term;
use crate::election::time::WallTime;

/// One record, as `--json` shows it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    kind: &'static str,
    pub(super) namespace: Option<String>,
    pub(super) name: String,
    pub(super) state: State,
    holder_identity: Option<String>,
    holder_url: Option<String>,
    incarnation: Option<String>,
    pub(super) term: Term,
    remaining_ms: Option<u64>,
    lease_duration_seconds: f64,
    acquire_time: String,
    renew_time: String,
    origin: Option<String>,
    pub(super) pause: Option<Paused>,
    /// What is done of a work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) work: Option<Work>,
    /// Since when it is what it is.
    #[serde(skip)]
    since: WallTime,
}

impl Row {
    pub(super) fn of(
        namespace: Option<&Namespace>,
        name: &ElectionName,
        observed: &Observed,
    ) -> Self {
        let Observed { record, remaining, .. } = observed;
        let LeaseRecord { holder, term, lease_duration, acquire_time, renew_time, .. } = record;
        let LeaseRecord { origin, holder_url, pause, .. } = record;
        let (kind, name) = match name.kind() {
            RecordKind::Work(work) | RecordKind::History(work) => ("work", work),
            RecordKind::Election(name) => ("election", name),
        };
        let remaining = remaining.filter(|_| holder.is_some());
        let state = match (holder, remaining) {
            (None, _) => State::Vacated,
            (Some(_), None) => State::Unknown,
            (Some(_), Some(Duration::ZERO)) => State::Over,
            (Some(_), Some(_)) => State::Held,
        };
        // Clients are sent to no leader that is known to be none.
        let may_lead = matches!(state, State::Held | State::Unknown);
        let holder_url = holder_url.as_ref().filter(|_| may_lead).map(HolderUrl::as_str);
        Self {
            kind,
            namespace: namespace.map(ToString::to_string),
            name: name.to_owned(),
            state,
            holder_identity: holder.as_ref().map(|holder| holder.identity.clone()),
            holder_url: holder_url.map(str::to_owned),
            incarnation: holder.as_ref().map(|holder| holder.incarnation.clone()),
            term: *term,
            remaining_ms: remaining.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
            lease_duration_seconds: lease_duration.as_secs_f64(),
            acquire_time: acquire_time.to_string(),
            renew_time: renew_time.to_string(),
            origin: origin.as_ref().map(Origin::as_str).map(str::to_owned),
            pause: pause.as_ref().map(Paused::of),
            work: None,
            since: if may_lead { *acquire_time } else { *renew_time },
        }
    }

    /// Whether it needs no attention.
    pub(super) fn is_well(&self) -> bool {
        self.work.as_ref().and_then(Work::is_well).unwrap_or(self.state == State::Held)
    }

    /// For a work the state of its newest key, which says more than its lease.
    fn shown_state(&self, now: WallTime) -> String {
        let newest = self.work.as_ref().and_then(Work::newest);
        let pause = self.pause.as_ref().filter(|pause| !pause.is_over(now));
        let is_paused = pause.is_some() && self.state == State::Vacated;
        let state = if is_paused { "paused" } else { self.state.as_str() };
        newest.unwrap_or_else(|| state.to_owned())
    }

    fn left(&self) -> String {
        match (self.state, self.remaining_ms) {
            (State::Held, Some(1..1000)) => "<1s".to_owned(),
            (State::Held, Some(left)) => short(Duration::from_millis(left)),
            _ => NONE.to_owned(),
        }
    }
}

/// What to show of the records.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// None shows everything, however wide.
    pub(super) width: Option<usize>,
    /// Whether the records are those of all namespaces.
    pub(super) namespaces: bool,
}

/// The table of elections and of the leases of works.
pub(super) fn table<'a>(
    rows: impl Iterator<Item = &'a Row> + Clone,
    shape: Shape,
    now: WallTime,
) -> Vec<String> {
    let each = |of: fn(&Row) -> String| rows.clone().map(of);
    let name = |of: fn(&Row) -> Option<&str>| rows.clone().map(move |row| of(row).unwrap_or(NONE));
    let mut columns = vec![
        Column::whole("KIND", each(|row| row.kind.to_owned())).leaves(1),
        Column::names("NAME", Distinct::Begin, name(|row| Some(&row.name))),
        Column::whole("STATE", rows.clone().map(|row| row.shown_state(now))),
        Column::names("HOLDER", Distinct::End, name(|row| row.holder_identity.as_deref())),
        Column::whole("TERM", each(|row| row.term.to_string())).leaves(3),
    ];
    if shape.namespaces {
        columns.insert(
            0,
            Column::names("NAMESPACE", Distinct::Begin, name(|row| row.namespace.as_deref())),
        );
    }
    if shape.width.is_some() {
        let ages = rows.clone().map(|row| age(row.since, now));
        columns.push(Column::whole("AGE", ages).leaves(4));
    } else {
        columns.push(Column::whole("SINCE", each(|row| row.since.to_string())));
    }
    columns.push(Column::whole("LEFT", each(Row::left)).leaves(2));
    if shape.width.is_none() && rows.clone().any(|row| row.holder_url.is_some()) {
        columns.push(Column::names("URL", Distinct::Begin, name(|row| row.holder_url.as_deref())));
    }
    lines(columns, shape.width)
}

/// Which elections an operator has paused, and until when, by whom and why.
pub(super) fn pauses<'a>(
    rows: impl Iterator<Item = &'a Row>,
    shape: Shape,
    now: WallTime,
) -> Vec<String> {
    let note = |row: &Row| {
        let pause = row.pause.as_ref()?;
        let namespace = row.namespace.as_ref().filter(|_| shape.namespaces);
        let namespace = namespace.map_or_else(String::new, |name| format!("{name}/"));
        let text = format!("{namespace}{} {}", row.name, pause.in_words(now));
        Some(folded(&text, "", shape.width))
    };
    rows.filter_map(note).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::election::lease::{Candidate, Version};
    use crate::election::pause::Pause;
    use crate::election::text;

    fn observed(held: bool, remaining: Option<u64>) -> Observed {
        let holder = Candidate { identity: "web-0".to_owned(), incarnation: "i".to_owned() };
        let record = LeaseRecord {
            holder: held.then_some(holder),
            term: Term::new(7),
            lease_duration: Duration::from_secs(15),
            acquire_time: WallTime::from_unix(Duration::from_secs(1_000)),
            renew_time: WallTime::from_unix(Duration::from_secs(1_001)),
            payload: None,
            origin: None,
            holder_url: None,
            pause: None,
            handover: None,
        };
        let remaining = remaining.map(Duration::from_millis);
        Observed { record, version: Version::new("1"), remaining, outlived: false }
    }

    #[test]
    fn states_come_from_holder_and_remaining_time() {
        let name: ElectionName = "default".parse().unwrap();
        let state = |held, left| Row::of(None, &name, &observed(held, left)).state;
        assert_eq!(state(true, Some(1)), State::Held);
        assert_eq!(state(true, Some(0)), State::Over);
        assert_eq!(state(true, None), State::Unknown);
        assert_eq!(state(false, Some(0)), State::Vacated);
    }

    #[test]
    fn a_pause_is_shown_below_the_table_on_lines_that_fit() {
        let mut paused = observed(false, None);
        let stored = r#"{"since":"2026-11-23T07:39:46Z","by":"ops@b","reason":"a\u001b[2J\nb"}"#;
        paused.record.pause = Some(Pause::from_store(stored));
        let row = Row::of(None, &"default".parse().unwrap(), &paused);
        let shape = Shape { width: Some(40), namespaces: false };
        let lines = pauses([&row].into_iter(), shape, WallTime::EPOCH);
        assert!(lines.len() > 1 && lines.iter().all(|line| text::is_line(line)), "{lines:?}");
        let whole = lines.join(" ");
        assert!(whole.starts_with("default is paused until it is resumed, by ops@b: "), "{whole}");
        let table = table([&row].into_iter(), shape, WallTime::EPOCH);
        assert!(table[1].contains("  paused  "), "{table:?}");
        let json = serde_json::to_value(&row).unwrap();
        assert_eq!((&json["state"], &json["pause"]["by"]), (&"vacated".into(), &"ops@b".into()));
    }

    #[test]
    fn the_table_shows_who_holds_what_and_since_when() {
        let election: ElectionName = "default".parse().unwrap();
        let work = ElectionName::of_work(&"web".parse().unwrap());
        let rows = [
            Row::of(None, &election, &observed(true, Some(12_345))),
            Row::of(None, &work, &observed(false, None)),
        ];
        let now = WallTime::from_unix(Duration::from_secs(1_301));
        let shape = |width| Shape { width, namespaces: false };
        assert_eq!(
            table(rows.iter(), shape(Some(80)), now),
            [
                "KIND      NAME     STATE    HOLDER  TERM  AGE  LEFT",
                "election  default  held     web-0   7     5m   12s",
                "work      web      vacated  -       7     5m   -",
            ]
        );
        let wide = table(rows.iter(), shape(None), now);
        assert!(wide[1].ends_with("7     1970-01-01T00:16:40.000Z  12s"), "{wide:?}");
    }
}
