//! The text format of Prometheus, read.

use std::collections::{BTreeMap, BTreeSet};

/// What one scrape of one process brought.
#[derive(Clone, Debug)]
pub struct Exposition {
    pub families: Vec<Family>,
}

/// All series of one metric.
#[derive(Clone, Debug)]
pub struct Family {
    pub name: String,
    pub kind: String,
    pub help: String,
    pub samples: Vec<Sample>,
}

#[derive(Clone, Debug)]
pub struct Sample {
    /// The family's name; of a histogram with what it counts behind it.
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

impl Exposition {
    pub fn parse(text: &str) -> Self {
        let mut families: Vec<Family> = Vec::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("a help text");
                families.push(Family {
                    name: name.to_owned(),
                    kind: String::new(),
                    help: help.to_owned(),
                    samples: Vec::new(),
                });
                continue;
            }
            let family = families.last_mut().expect("HELP comes first");
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a type");
                assert_eq!(name, family.name, "TYPE follows HELP");
                family.kind = kind.to_owned();
            } else {
                let sample = Sample::parse(line);
                assert!(sample.name.starts_with(&family.name), "{line} in {}", family.name);
                family.samples.push(sample);
            }
        }
        Self { families }
    }

    pub fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.families.iter().flat_map(|family| &family.samples)
    }

    /// The value of the only series with this name and these labels, among others.
    #[track_caller]
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let found: Vec<_> = self
            .samples()
            .filter(|sample| sample.name == name && sample.has(labels))
            .map(|sample| sample.value)
            .collect();
        assert_eq!(found.len(), 1, "{name} {labels:?}");
        found[0]
    }

    /// The values that each label of the series called `name` has; none if there is no such series.
    pub fn labels(&self, name: &str) -> Option<BTreeMap<&str, BTreeSet<&str>>> {
        let mut labels: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let mut samples = self.samples().filter(|sample| sample.name == name).peekable();
        samples.peek()?;
        for (label, value) in samples.flat_map(|sample| &sample.labels) {
            labels.entry(label).or_default().insert(value);
        }
        Some(labels)
    }
}

impl Sample {
    /// No label of this program needs an escape: election names are checked, the rest is fixed.
    fn parse(line: &str) -> Self {
        assert!(!line.contains('\\'), "an escape in {line}");
        let (series, value) = line.rsplit_once(' ').expect("a value");
        let value = value.parse().unwrap_or_else(|_| panic!("a number: {line}"));
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let labels = labels.strip_suffix('}').expect("closed labels");
        let labels = labels.split_inclusive("\",").filter(|label| !label.is_empty());
        let labels = labels.map(|label| {
            let (label, value) = label.split_once("=\"").expect("a label");
            (label.to_owned(), value.trim_end_matches(',').trim_end_matches('"').to_owned())
        });
        Self { name: name.to_owned(), labels: labels.collect(), value }
    }

    pub fn has(&self, labels: &[(&str, &str)]) -> bool {
        labels.iter().all(|(label, value)| self.labels.get(*label).is_some_and(|v| v == value))
    }
}
