//! Names of instances on a terminal: the part that tells them apart, as `status` and the page show
//! them. A pipe and a log of JSON have whole names.

use std::fmt::{self, Debug, Error, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing_subscriber::field::{MakeVisitor, VisitFmt, VisitOutput};
use tracing_subscriber::fmt::format::{DefaultVisitor, Writer};

use crate::cli::short::{Distinct, shortened};

/// The fields that name an instance. `name` of the line that says which identity was found is whole.
const FIELDS: [&str; 3] = ["holder", "identity", "successor"];

/// Room for the name of a pod. Two of them fit a line of 80 columns.
const WIDTH: usize = 24;

/// A log names a few instances, and in a year the pods of some hundred releases.
const MOST: usize = 64;

/// Formats the fields of a line.
#[derive(Default)]
pub(super) struct ShortNames(Arc<Mutex<Vec<String>>>);

impl<'a> MakeVisitor<Writer<'a>> for ShortNames {
    type Visitor = Shortening<'a>;

    fn make_visitor(&self, writer: Writer<'a>) -> Self::Visitor {
        Shortening { seen: Arc::clone(&self.0), fields: DefaultVisitor::new(writer, true) }
    }
}

pub(super) struct Shortening<'a> {
    seen: Arc<Mutex<Vec<String>>>,
    fields: DefaultVisitor<'a>,
}

impl Visit for Shortening<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if FIELDS.contains(&field.name()) {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            self.fields.record_str(field, &short(&mut seen, value));
        } else {
            self.fields.record_str(field, value);
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.fields.record_error(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.fields.record_debug(field, value);
    }
}

impl VisitOutput<fmt::Result> for Shortening<'_> {
    fn finish(self) -> Result<(), Error> {
        self.fields.finish()
    }
}

impl VisitFmt for Shortening<'_> {
    fn writer(&mut self) -> &mut dyn Write {
        self.fields.writer()
    }
}

/// The short form of a name among those that the log has named last.
fn short(seen: &mut Vec<String>, name: &str) -> String {
    if let Some(place) = seen.iter().position(|known| known == name) {
        seen.remove(place);
    }
    seen.truncate(MOST - 1);
    seen.insert(0, name.to_owned());
    let names: Vec<_> = seen.iter().map(String::as_str).collect();
    shortened(&names, Distinct::End, WIDTH).into_iter().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_distinct_from_those_that_the_log_has_named() {
        let task = |end| format!("arn:aws:ecs:eu-central-1:123456789012:task/shop/{end}");
        let mut seen = Vec::new();
        assert_eq!(short(&mut seen, "web-0"), "web-0");
        let one = task("0123456789abcdef0123456789abcd01");
        assert_eq!(short(&mut seen, &one), "…9abcdef0123456789abcd01");
        let host = |number| format!("ip-10-0-0-{number}.eu-central-1.compute.internal");
        short(&mut seen, &host(1));
        assert_eq!(short(&mut seen, &host(2)), "ip-10-0-0-2.eu-central-…");
        for number in 0..1_000 {
            short(&mut seen, &host(number));
        }
        assert_eq!(seen.len(), MOST);
    }
}
