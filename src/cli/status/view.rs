//! What the store has, and how it is shown.

use std::sync::Arc;

use super::super::exit::CommandError;
use super::super::store_call::{PATIENCE, within};
use super::page::Page;
use super::row::{Row, Shape};
use super::screen;
use super::works::{Histories, Work};
use crate::cli::short::keep_begin;
use crate::config::StoreConfig;
use crate::election::lease::{ElectionName, Observed, RecordKind};
use crate::election::time::WallTime;
use crate::store::{Listing, Store};

/// What to read, and how to show it.
pub(super) struct View {
    pub(super) json: bool,
    pub(super) wide: bool,
    /// Whether the records are those of all namespaces.
    pub(super) all: bool,
    pub(super) config: StoreConfig,
    pub(super) store: Arc<dyn Store>,
}

/// What the store has.
pub(super) struct Look {
    pub(super) rows: Vec<Row>,
    /// A line for each record that cannot be read.
    pub(super) unreadable: Vec<String>,
}

impl View {
    pub(super) async fn look(&self) -> Result<Look, CommandError> {
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
        let rows = leases.map(|(namespace, name, observed)| {
            let mut row = Row::of(namespace.as_ref(), name, observed);
            let history = histories.take(namespace.as_ref(), name);
            row.work = history.map(|history| Work::of(&history, row.state, row.term));
            row
        });
        Ok(Look { rows: rows.collect(), unreadable })
    }

    /// All that was found, as it is printed.
    pub(super) fn printed(&self, look: &Look, now: WallTime) -> Result<String, CommandError> {
        let Look { rows, unreadable } = look;
        if self.json {
            let json = serde_json::to_string(rows);
            return json
                .map(|json| json + "\n")
                .map_err(|error| CommandError::Unavailable(error.to_string()));
        }
        if rows.is_empty() {
            let none = self.none() + "\n";
            return Ok(if unreadable.is_empty() { none } else { String::new() });
        }
        let shape = self.shape(screen::size().width);
        let page = Page::of(&rows.iter().collect::<Vec<_>>(), "", shape, now);
        Ok(page.whole().into_iter().map(|line| line + "\n").collect())
    }

    /// As much as fits into so many lines. If it is too much, what needs attention comes first.
    pub(super) fn page_within(
        &self,
        look: &Look,
        now: WallTime,
        width: usize,
        height: usize,
    ) -> Vec<String> {
        let none = if look.unreadable.is_empty() { self.none() } else { String::new() };
        let shape = self.shape(width);
        let mut rows: Vec<_> = look.rows.iter().collect();
        let mut page = Page::of(&rows, &none, shape, now);
        if page.exceeds(height) {
            rows.sort_by_key(|row| row.is_well());
            page = Page::of(&rows, &none, shape, now);
        }
        page.within(height).iter().map(|line| keep_begin(line, width)).collect()
    }

    fn shape(&self, width: usize) -> Shape {
        Shape { width: (!self.wide).then_some(width), namespaces: self.all }
    }

    fn none(&self) -> String {
        let namespace = self.config.namespace.as_ref();
        let place = namespace.map_or_else(String::new, |name| format!("namespace {name} of "));
        format!("no instance has stood in an election in {place}{} yet", self.config.url)
    }
}
