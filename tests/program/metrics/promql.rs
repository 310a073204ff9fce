//! What an expression names: metrics, labels and their values; and whether the program has them.

use std::collections::BTreeSet;

use crate::metrics::exposition::Exposition;

/// Labels that Prometheus itself gives to what it scrapes, and Kubernetes adds.
const TARGET_LABELS: [&str; 4] = ["cluster", "job", "instance", "namespace"];

/// Metrics that Prometheus itself makes.
const OWN_METRICS: [&str; 1] = ["up"];

/// Checks that every metric, label and label value in an expression exists in what was exposed.
#[track_caller]
pub fn check(expression: &str, exposed: &Exposition) {
    let metrics = metrics(expression);
    assert!(!metrics.is_empty(), "no metric in {expression}");
    let mut known: BTreeSet<&str> = TARGET_LABELS.into();
    for metric in &metrics {
        let labels = exposed.labels(metric);
        let labels = labels.unwrap_or_else(|| panic!("no {metric} is exposed: {expression}"));
        known.extend(labels.keys());
    }
    for label in grouped_by(expression) {
        assert!(known.contains(label), "nothing has a label {label}: {expression}");
    }
    for (metric, matchers) in selectors(expression) {
        for (label, value) in matchers {
            check_matcher(metric, label, value, exposed, expression);
        }
    }
}

#[track_caller]
fn check_matcher(metric: &str, label: &str, value: &str, exposed: &Exposition, expression: &str) {
    if TARGET_LABELS.contains(&label) {
        return;
    }
    let labels = exposed.labels(metric).expect("checked before");
    let values = labels.get(label);
    let values = values.unwrap_or_else(|| panic!("{metric} has no label {label}: {expression}"));
    for value in value.split('|').filter(|value| !value.contains('$')) {
        assert!(values.contains(value), "{label} of {metric} is never {value}: {expression}");
    }
}

/// The metrics of this program in it.
pub fn metrics(expression: &str) -> BTreeSet<&str> {
    let words = words(expression).filter(|(word, _)| is_metric(word));
    words.map(|(word, _)| word).collect()
}

fn is_metric(word: &str) -> bool {
    let ours = ["bellwether_", "leader_election_", "process_"];
    ours.iter().any(|prefix| word.starts_with(prefix)) && !OWN_METRICS.contains(&word)
}

/// The words outside of quotes, with what follows each.
fn words(expression: &str) -> impl Iterator<Item = (&str, &str)> {
    let parts = expression.split('"').enumerate();
    let unquoted = parts.filter(|(place, _)| place % 2 == 0).map(|(_, part)| part);
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = unquoted.flat_map(move |part| part.split(move |c| !is_word(c)));
    words.filter(|word| !word.is_empty()).map(move |word| {
        // Both are slices of the same text.
        let end = word.as_ptr() as usize - expression.as_ptr() as usize + word.len();
        (word, &expression[end..])
    })
}

/// The labels in `by (…)` and `on (…)`.
fn grouped_by(expression: &str) -> BTreeSet<&str> {
    let groups = words(expression).filter(|(word, _)| ["by", "on"].contains(word));
    let inside = groups.filter_map(|(_, rest)| rest.trim_start().strip_prefix('('));
    let lists = inside.filter_map(|rest| rest.split_once(')').map(|(list, _)| list));
    lists.flat_map(|list| list.split(',').map(str::trim)).collect()
}

/// Every metric that is followed by matchers, with those.
fn selectors(expression: &str) -> Vec<(&str, Vec<(&str, &str)>)> {
    let selected = words(expression).filter(|(word, _)| is_metric(word));
    let selected = selected.filter_map(|(metric, rest)| {
        let (inside, _) = rest.strip_prefix('{')?.split_once('}')?;
        Some((metric, matchers(inside)))
    });
    selected.collect()
}

fn matchers(inside: &str) -> Vec<(&str, &str)> {
    let parts: Vec<_> = inside.split('"').collect();
    let pairs = parts.chunks_exact(2).map(|pair| {
        let label = pair[0].trim_start_matches([',', ' ']).trim_end_matches(['=', '!', '~']);
        (label, pair[1])
    });
    pairs.collect()
}

#[test]
fn expressions_are_taken_apart() {
    let text =
        r#"sum by (job, outcome) (rate(bellwether_a{job=~"$job", outcome!="x|y"}[5m])) / up"#;
    assert_eq!(metrics(text), ["bellwether_a"].into());
    assert_eq!(grouped_by(text), ["job", "outcome"].into());
    let matchers = vec![("job", "$job"), ("outcome", "x|y")];
    assert_eq!(selectors(text), [("bellwether_a", matchers)]);
}
