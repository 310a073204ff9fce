//! The metrics for Prometheus, and everything that relies on them: the documentation, the
//! dashboard and the alert rules, each checked against what real sidecars expose.

mod alertmanager;
mod alerts;
mod counts;
mod dashboard;
mod docs;
mod exposition;
mod many;
mod namespaces;
mod output;
mod promql;
mod scene;
mod scraped;
mod tools;
mod yaml;
