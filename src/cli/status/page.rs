//! What the store has, as lines for people.

use super::row::{self, Row, Shape};
use super::table::folded;
use super::works;
use crate::election::time::WallTime;

/// A table that is cut keeps its header and a row, and says how many rows are missing.
const LEAST: usize = 3;

/// The lines of a page. Each table begins with its header.
pub(super) struct Page {
    records: Vec<String>,
    keys: Vec<String>,
    /// Pauses, and what failed commands wrote.
    notes: Vec<String>,
}

impl Page {
    /// `none` is the text to show if there are no records.
    pub(super) fn of(rows: &[&Row], none: &str, shape: Shape, now: WallTime) -> Self {
        if rows.is_empty() {
            let records = folded(none, "", shape.width);
            return Self { records, keys: Vec::new(), notes: Vec::new() };
        }
        let rows = rows.iter().copied();
        let works = rows.clone().filter_map(|row| Some((place(row, shape), row.work.as_ref()?)));
        Self {
            keys: works::table(works.clone(), shape.width, now),
            notes: [
                row::pauses(rows.clone(), shape, now),
                works::ahead(works.clone(), shape.width, now),
                works::failures(works, shape.width),
            ]
            .concat(),
            records: row::table(rows, shape, now),
        }
    }

    /// All of it.
    pub(super) fn whole(self) -> Vec<String> {
        let parts = [self.records, self.keys, self.notes].into_iter();
        let parts: Vec<_> = parts.filter(|part| !part.is_empty()).collect();
        parts.join(&String::new())
    }

    /// Whether it has more lines than that.
    pub(super) fn exceeds(&self, height: usize) -> bool {
        let parts = [&self.records, &self.keys, &self.notes];
        let parts = parts.iter().filter(|part| !part.is_empty());
        parts.map(|part| part.len() + 1).sum::<usize>() > height + 1
    }

    /// As much as fits into so many lines. The notes go first; both tables keep
    /// their headers as long as there is room for two.
    pub(super) fn within(self, height: usize) -> Vec<String> {
        let Self { records, keys, notes } = self;
        let between = usize::from(!keys.is_empty());
        let room = height.saturating_sub(between);
        let (for_records, for_keys) = if records.len() + keys.len() <= room {
            (records.len(), keys.len())
        } else if keys.is_empty() || room < 2 * LEAST {
            (height, 0)
        } else {
            let for_keys = keys.len().min((room / 2).max(room.saturating_sub(records.len())));
            (room - for_keys, for_keys)
        };
        let mut lines = cut(records, for_records);
        for (part, room) in [(keys, for_keys), (notes, usize::MAX)] {
            let left = height.saturating_sub(lines.len() + 1).min(room);
            if left > 0 && !part.is_empty() {
                lines.push(String::new());
                lines.extend(cut(part, left));
            }
        }
        lines
    }
}

fn place(row: &Row, shape: Shape) -> works::Place<'_> {
    let namespace = row.namespace.as_deref().filter(|_| shape.namespaces);
    works::Place { namespace, name: &row.name }
}

fn cut(mut lines: Vec<String>, height: usize) -> Vec<String> {
    let missing = (lines.len() + 1).saturating_sub(height);
    if lines.len() > height {
        lines.truncate(height);
        if let Some(last) = lines.get_mut(1..).and_then(<[String]>::last_mut) {
            *last = format!("… {missing} more");
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(records: usize, keys: usize, failures: usize) -> Page {
        let part = |name: &str, lines| (0..lines).map(|line| format!("{name}{line}")).collect();
        Page { records: part("r", records), keys: part("k", keys), notes: part("f", failures) }
    }

    #[test]
    fn a_page_that_fits_is_shown_whole() {
        assert!(!page(3, 2, 1).exceeds(8) && page(3, 2, 1).exceeds(7));
        assert_eq!(page(3, 2, 1).within(8), page(3, 2, 1).whole());
        assert_eq!(page(1, 0, 0).whole(), ["r0"]);
        assert_eq!(page(2, 2, 0).whole(), ["r0", "r1", "", "k0", "k1"]);
    }

    #[test]
    fn a_page_that_does_not_fit_is_cut_below_its_header() {
        assert_eq!(page(9, 0, 0).within(4), ["r0", "r1", "r2", "… 6 more"]);
        let both = ["r0", "r1", "… 39 more", "", "k0", "k1", "… 7 more"];
        assert_eq!(page(41, 9, 3).within(7), both);
        let few = ["r0", "r1", "r2", "… 38 more", "", "k0", "k1"];
        assert_eq!(page(41, 2, 3).within(7), few);
        assert_eq!(page(3, 2, 9).within(8), ["r0", "r1", "r2", "", "k0", "k1", "", "f0"]);
        assert_eq!(page(41, 9, 0).within(6), ["r0", "r1", "r2", "r3", "r4", "… 36 more"]);
        for height in 0..60 {
            for (records, keys, failures) in [(41, 9, 3), (3, 40, 0), (40, 40, 40), (2, 0, 40)] {
                let lines = page(records, keys, failures).within(height);
                assert!(lines.len() <= height, "{height}: {lines:?}");
                assert!(height == 0 || lines[0] == "r0", "{height}: {lines:?}");
            }
        }
    }
}
