//! `bellwether status`: what the store has, for people, without standing.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::Duration;

use comfy_table::{Table, presets};
use serde::Serialize;

use self::state::{State, one_line};
use self::works::{Histories, Work};
use super::exit::CommandError;
use super::logging::print_problem;
use super::output::{Reader, print, print_more};
use super::store_call::{PATIENCE, within};
use crate::config::{StoreArgs, StoreConfig};
use crate::election::holder_url::HolderUrl;
use crate::election::lease::{ElectionName, LeaseRecord, Namespace, Observed, Origin, RecordKind};
use crate::election::term::Term;
use crate::store::{Listing, Store};
use crate::time::clock::HostClock;

mod state;
mod works;

/// How often `--watch` looks: as often as a person can read.
const WATCH_PERIOD: Duration = Duration::from_secs(1);

/// Moves to the top left, and clears what is below.
const CLEAR: &str = "\x1b[H\x1b[J";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print one JSON array, for programs.
    #[arg(long)]
    json: bool,

    /// Look again every second, until stopped. With --json, one array a line.
    #[arg(long)]
    watch: bool,

    /// Show the records of all namespaces, not only those of --namespace.
    #[arg(long, conflicts_with = "namespace")]
    all_namespaces: bool,

    #[command(flatten)]
    store: StoreArgs,
}

pub(super) async fn run(args: Args) -> Result<u8, CommandError> {
    let config = args.store.check()?;
    let url = config.url.clone();
    if url.is_missing() && !args.watch {
        return Err(CommandError::Unavailable(format!(
            "{url} does not exist yet: `bellwether init` creates it, or the first instance that stands"
        )));
    }
    let clock = Arc::new(HostClock);
    let store = match args.all_namespaces {
        true => config.open_all(PATIENCE, clock),
        false => config.open(PATIENCE, clock),
    };
    let view = View { json: args.json, all: args.all_namespaces, config, store };
    if !args.watch {
        let (page, unreadable) = view.look().await?;
        print(&page)?;
        unreadable.iter().for_each(|why| print_problem(why));
        return Ok(0);
    }
    let clear = if io::stdout().is_terminal() && !args.json { CLEAR } else { "" };
    loop {
        match view.look().await {
            Ok((page, unreadable)) => {
                if print_more(&format!("{clear}{page}"))? == Reader::HasLeft {
                    return Ok(0);
                }
                unreadable.iter().for_each(|why| print_problem(why));
            }
            Err(failure) => print_problem(&failure.to_string()),
        }
        tokio::time::sleep(WATCH_PERIOD).await;
    }
}

/// What to read, and how to show it.
struct View {
    json: bool,
    /// Whether the records are those of all namespaces.
    all: bool,
    config: StoreConfig,
    store: Arc<dyn Store>,
}

impl View {
    /// The records as shown, and a line for each that cannot be read.
    async fn look(&self) -> Result<(String, Vec<String>), CommandError> {
        let url = &self.config.url;
        // A command that only reads creates nothing.
        let Listing { records, unreadable } = if url.is_missing() {
            Listing::default()
        } else {
            within(url, PATIENCE, self.store.list()).await?
        };
        let split = |(name, observed): (ElectionName, Observed)| {
            let (namespace, name) = if self.all { name.split() } else { (None, name) };
            (namespace.or_else(|| self.config.namespace.clone()), name, observed)
        };
        let records: Vec<_> = records.into_iter().map(split).collect();
        let mut unreadable: Vec<_> = unreadable.iter().map(|(_, why)| why.to_string()).collect();
        let mut histories = Histories::of(&records, &mut unreadable);
        let leases =
            records.iter().filter(|(_, name, _)| !matches!(name.kind(), RecordKind::History(_)));
        let rows: Vec<_> = leases
            .map(|(namespace, name, observed)| {
                let row = Row::of(namespace.as_ref(), name, observed);
                let work = histories.take(namespace.as_ref(), name);
                let work = work.map(|history| Work::of(&history, row.state, row.term));
                Row { work, ..row }
            })
            .collect();
        let page = if self.json {
            let json = serde_json::to_string(&rows);
            json.map(|json| json + "\n")
                .map_err(|error| CommandError::Unavailable(error.to_string()))?
        } else if rows.is_empty() && unreadable.is_empty() {
            let namespace = self.config.namespace.as_ref();
            let place = namespace.map_or_else(String::new, |name| format!("namespace {name} of "));
            format!("no instance has taken part in an election in {place}{url} yet\n")
        } else {
            let works = rows.iter().filter_map(|row| Some((row.name, row.work.as_ref()?)));
            table(&rows, self.all) + &works::table(works)
        };
        Ok((page, unreadable))
    }
}

/// One record, as `--json` shows it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    kind: &'static str,
    namespace: Option<String>,
    name: &'a str,
    state: State,
    holder_identity: Option<&'a str>,
    holder_url: Option<&'a str>,
    incarnation: Option<&'a str>,
    term: Term,
    remaining_ms: Option<u64>,
    lease_duration_seconds: f64,
    acquire_time: String,
    renew_time: String,
    origin: Option<&'a str>,
    /// What is done of a work.
    #[serde(skip_serializing_if = "Option::is_none")]
    work: Option<Work>,
}

impl<'a> Row<'a> {
    fn of(namespace: Option<&Namespace>, name: &'a ElectionName, observed: &'a Observed) -> Self {
        let Observed { record, remaining, .. } = observed;
        let LeaseRecord { holder, term, lease_duration, acquire_time, renew_time, .. } = record;
        let LeaseRecord { origin, holder_url, .. } = record;
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
        Self {
            kind,
            namespace: namespace.map(ToString::to_string),
            name,
            state,
            holder_identity: holder.as_ref().map(|holder| holder.identity.as_str()),
            holder_url: holder_url.as_ref().filter(|_| may_lead).map(HolderUrl::as_str),
            incarnation: holder.as_ref().map(|holder| holder.incarnation.as_str()),
            term: *term,
            remaining_ms: remaining.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
            lease_duration_seconds: lease_duration.as_secs_f64(),
            acquire_time: acquire_time.to_string(),
            renew_time: renew_time.to_string(),
            origin: origin.as_ref().map(Origin::as_str),
            work: None,
        }
    }

    /// Since when it is what it is.
    fn since(&self) -> &str {
        match self.state {
            State::Held | State::Unknown => &self.acquire_time,
            State::Over | State::Vacated => &self.renew_time,
        }
    }

    fn left(&self) -> String {
        let (State::Held, Some(left)) = (self.state, self.remaining_ms) else {
            return "-".to_owned();
        };
        humantime::format_duration(Duration::from_millis(left / 100 * 100)).to_string()
    }
}

fn table(rows: &[Row<'_>], with_namespaces: bool) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let mut header = vec!["KIND", "NAME", "STATE", "HOLDER", "TERM", "SINCE", "LEFT"];
    let with_urls = rows.iter().any(|row| row.holder_url.is_some());
    if with_urls {
        header.push("URL");
    }
    if with_namespaces {
        header.insert(0, "NAMESPACE");
    }
    table.set_header(header);
    for row in rows {
        let state = match row.state {
            State::Held => "held",
            State::Over => "over",
            State::Vacated => "vacated",
            State::Unknown => "unknown",
        };
        let mut cells = vec![
            row.kind.to_owned(),
            one_line(row.name),
            state.to_owned(),
            one_line(row.holder_identity.unwrap_or("-")),
            row.term.to_string(),
            row.since().to_owned(),
            row.left(),
        ];
        if with_urls {
            cells.push(row.holder_url.unwrap_or("-").to_owned());
        }
        if with_namespaces {
            cells.insert(0, row.namespace.clone().unwrap_or_else(|| "-".to_owned()));
        }
        table.add_row(cells);
    }
    let lines = table.lines().map(|line| format!("{}\n", line.trim()));
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::election::lease::{Candidate, Version};
    use crate::election::time::WallTime;

    fn observed(held: bool, remaining: Option<u64>) -> Observed {
        let holder = Candidate { identity: "web-0".to_owned(), incarnation: "i".to_owned() };
        let record = LeaseRecord {
            holder: held.then_some(holder),
            term: Term::new(7),
            lease_duration: Duration::from_secs(15),
            acquire_time: WallTime::EPOCH,
            renew_time: WallTime::from_unix(Duration::from_secs(1)),
            payload: None,
            origin: None,
            holder_url: None,
            pause: None,
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
    fn the_table_shows_who_holds_what() {
        let election: ElectionName = "default".parse().unwrap();
        let work = ElectionName::of_work(&"web".parse().unwrap());
        let (held, over) = (observed(true, Some(12_345)), observed(false, None));
        let text = table(&[Row::of(None, &election, &held), Row::of(None, &work, &over)], false);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        for word in ["election", "default", "held", "web-0", "7", "12s 300ms"] {
            assert!(lines[1].contains(word), "{word}: {text}");
        }
        for word in ["work", "web", "vacated"] {
            assert!(lines[2].contains(word), "{word}: {text}");
        }
    }
}
