//! A table that fits a terminal: columns of names become narrow, and what says least goes first.

use unicode_width::UnicodeWidthStr;

use crate::cli::short::{Distinct, keep_begin, shortened};
use crate::election::text;

/// Stands where there is nothing to show.
pub(super) const NONE: &str = "-";

/// Between two columns.
const GAP: usize = 2;

/// No column of names becomes narrower than this: enough for a host, a key, the end of a task's id.
const NARROWEST: usize = 7;

/// A column of a table.
#[derive(Debug)]
pub(super) struct Column {
    title: &'static str,
    cells: Vec<String>,
    kind: Kind,
    /// Columns with a number are left out where there is no room, the lowest first.
    leaves: Option<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Texts that are never divided.
    Whole,
    /// Names of many, of which what tells them apart is enough.
    Names(Distinct),
}

impl Column {
    /// Short texts.
    pub(super) fn whole(title: &'static str, cells: impl Iterator<Item = String>) -> Self {
        Self { title, cells: cells.collect(), kind: Kind::Whole, leaves: None }
    }

    /// Names, and [`NONE`] where there is none. They come from a store, and others write to it.
    pub(super) fn names<'a>(
        title: &'static str,
        distinct: Distinct,
        cells: impl Iterator<Item = &'a str>,
    ) -> Self {
        let cells = cells.map(text::line).collect();
        Self { title, cells, kind: Kind::Names(distinct), leaves: None }
    }

    /// The place of this column in the order in which columns are left out.
    pub(super) fn leaves(self, place: u8) -> Self {
        Self { leaves: Some(place), ..self }
    }

    fn width(&self) -> usize {
        self.cells.iter().map(|cell| cell.width()).max().unwrap_or(0).max(self.title.width())
    }

    fn narrowest(&self) -> usize {
        match self.kind {
            Kind::Whole => self.width(),
            Kind::Names(_) => self.width().min(NARROWEST.max(self.title.width())),
        }
    }

    fn cut(&mut self, width: usize) {
        if let Kind::Names(distinct) = self.kind {
            let names: Vec<_> =
                self.cells.iter().map(String::as_str).filter(|c| *c != NONE).collect();
            let mut short = shortened(&names, distinct, width).into_iter();
            for cell in self.cells.iter_mut().filter(|cell| *cell != NONE) {
                *cell = short.next().unwrap_or_default();
            }
        }
    }
}

/// The lines of a table, the header first. Without a width nothing is cut.
pub(super) fn lines(mut columns: Vec<Column>, width: Option<usize>) -> Vec<String> {
    let limit = width.unwrap_or(usize::MAX);
    let widths = loop {
        let leaving = columns.iter().filter_map(|column| column.leaves).min();
        match (widths(&columns, limit), leaving) {
            (Some(widths), _) => break widths,
            (None, Some(place)) => columns.retain(|column| column.leaves != Some(place)),
            (None, None) => break columns.iter().map(Column::narrowest).collect(),
        }
    };
    for (column, width) in columns.iter_mut().zip(&widths) {
        column.cut(*width);
    }
    let rows = columns.iter().map(|column| column.cells.len()).max().unwrap_or(0);
    let header = line(columns.iter().map(|column| column.title), &widths, limit);
    let rows = (0..rows).map(|row| {
        let cells = columns.iter().map(|column| column.cells.get(row).map_or("", String::as_str));
        line(cells, &widths, limit)
    });
    std::iter::once(header).chain(rows).collect()
}

/// How wide each column becomes; none if they do not fit together. The widest gives way first.
fn widths(columns: &[Column], limit: usize) -> Option<Vec<usize>> {
    let gaps = GAP * columns.len().saturating_sub(1);
    let narrowest: Vec<_> = columns.iter().map(Column::narrowest).collect();
    let mut widths: Vec<_> = columns.iter().map(Column::width).collect();
    if narrowest.iter().sum::<usize>() + gaps > limit {
        return None;
    }
    while widths.iter().sum::<usize>() + gaps > limit {
        let can_give = widths.iter_mut().zip(&narrowest).filter(|(width, least)| **width > **least);
        let (widest, _) = can_give.max_by_key(|(width, _)| **width)?;
        *widest -= 1;
    }
    Some(widths)
}

fn line<'a>(cells: impl Iterator<Item = &'a str>, widths: &[usize], limit: usize) -> String {
    let mut line = String::new();
    for (cell, width) in cells.zip(widths) {
        line.push_str(cell);
        line.extend(std::iter::repeat_n(' ', (width + GAP).saturating_sub(cell.width())));
    }
    keep_begin(line.trim_end(), limit)
}

/// Text in lines of this width.
pub(super) fn folded(text: &str, indent: &str, width: Option<usize>) -> Vec<String> {
    let limit = width.map_or(usize::MAX, |width| width.saturating_sub(indent.width()).max(1));
    let mut lines = Vec::new();
    for whole in text.lines() {
        // A tab has no width of its own.
        let whole = text::unbroken(&whole.replace('\t', "    "));
        let mut line = String::new();
        for c in whole.chars() {
            let mut next = line.clone();
            next.push(c);
            if next.width() > limit && !line.is_empty() {
                let (ends, begins) = last_word(&line, c);
                lines.push(format!("{indent}{ends}"));
                next = begins;
            }
            line = next;
        }
        lines.push(format!("{indent}{line}"));
    }
    lines
}

/// A line that is full when this character follows, and what begins the next one: the word that is not whole, if it is
/// not alone there.
fn last_word(line: &str, follows: char) -> (&str, String) {
    if follows == ' ' {
        return (line, String::new());
    }
    let split = line.rsplit_once(' ').filter(|(before, _)| !before.trim_end().is_empty());
    let (ends, word) = split.unwrap_or((line, ""));
    (ends, format!("{word}{follows}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Vec<Column> {
        let strings = |texts: [&str; 2]| texts.map(str::to_owned).into_iter();
        vec![
            Column::whole("KIND", strings(["election", "work"])).leaves(1),
            Column::names(
                "NAME",
                Distinct::Begin,
                ["default", "nightly-reports-of-all-shops"].into_iter(),
            ),
            Column::whole("STATE", strings(["held", "vacated"])),
            Column::names(
                "HOLDER",
                Distinct::End,
                ["arn:aws:ecs:eu-1:1:task/shop/0123", NONE].into_iter(),
            ),
            Column::whole("AGE", strings(["5m", "12d"])).leaves(2),
        ]
    }

    #[test]
    fn without_a_width_nothing_is_left_out() {
        let lines = lines(columns(), None);
        assert_eq!(lines.len(), 3);
        assert!(lines[1].contains("arn:aws:ecs:eu-1:1:task/shop/0123"), "{lines:?}");
        assert!(lines[2].starts_with("work      nightly-reports-of-all-shops  vacated  -  "));
    }

    #[test]
    fn in_a_narrow_terminal_names_give_way_and_then_columns() {
        let shown = |width| lines(columns(), Some(width));
        assert_eq!(
            shown(60),
            [
                "KIND      NAME               STATE    HOLDER             AGE",
                "election  default            held     …1:task/shop/0123  5m",
                "work      nightly-reports-…  vacated  -                  12d",
            ]
        );
        assert_eq!(
            shown(40)[1..],
            ["election  default  held     …p/0123  5m", "work      nightl…  vacated  -        12d"]
        );
        let header = |width| shown(width)[0].split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(header(30), "NAME STATE HOLDER AGE");
        assert_eq!(header(28), "NAME STATE HOLDER");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in 1..120 {
            for line in lines(columns(), Some(width)) {
                assert!(line.width() <= width, "{width}: {line}");
            }
            for line in folded("psql: 羊羊羊羊 \tno such table\n\nDETAIL", "  ", Some(width)) {
                assert!(line.width() <= width.max(4), "{width}: {line}");
            }
        }
    }

    #[test]
    fn text_is_folded_and_not_cut() {
        assert_eq!(folded("abcdef\n\ng", "  ", Some(5)), ["  abc", "  def", "  ", "  g"]);
        let pause = "paused until noon, by ops";
        assert_eq!(folded(pause, "", Some(10)), ["paused", "until", "noon, by", "ops"]);
        assert_eq!(folded("a\tb\u{1b}[2J", "", None), ["a    b\u{fffd}[2J"]);
    }
}
