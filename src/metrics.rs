//! Counters and gauges, by Prometheus's conventions.
//!
//! Gauges that depend on the time (who leads, for how long) are computed when they are read: see
//! [`Metrics::show`].

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::election::clock::BootTime;
use crate::election::elector::News;
use crate::election::leadership::Leadership;
use crate::election::lease::ElectionName;
use crate::store::StoreError;

/// Store calls take from a fraction of a millisecond (SQLite) to their deadline of seconds.
const CALL_SECONDS: [f64; 12] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];

/// A kind of call to a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// A look at the record.
    Observe,
    /// A conditional write.
    Swap,
}

/// Everything that this process counts. Clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    master: IntGaugeVec,
    leading: IntGaugeVec,
    term: IntGaugeVec,
    validity: GaugeVec,
    holds: IntGaugeVec,
    connections: IntGaugeVec,
    transitions: IntCounterVec,
    calls: HistogramVec,
}

impl Metrics {
    /// New counters at zero.
    ///
    /// # Errors
    ///
    /// When two metrics have the same name: a mistake in this file.
    pub fn new() -> prometheus::Result<Self> {
        let gauge =
            |name: &str, help: &str, label: &str| IntGaugeVec::new(Opts::new(name, help), &[label]);
        let metrics = Self {
            registry: Registry::new(),
            master: gauge(
                "leader_election_master_status",
                "Gauge of if the reporting system is master of the relevant lease, \
                 0 indicates backup, 1 indicates master. 'name' is the election.",
                "name",
            )?,
            leading: gauge(
                "bellwether_leading",
                "Whether this instance may do leader-only work now.",
                "election",
            )?,
            term: gauge("bellwether_term", "The highest term seen (fencing token).", "election")?,
            validity: GaugeVec::new(
                Opts::new(
                    "bellwether_validity_seconds",
                    "For how long this instance leads if no renewal succeeds; 0 if it does not.",
                ),
                &["election"],
            )?,
            holds: gauge(
                "bellwether_holds",
                "Leader-only commands of other processes that hold now.",
                "election",
            )?,
            connections: gauge(
                "bellwether_http_connections",
                "Connections that are open now, by whether an event stream is on them.",
                "kind",
            )?,
            transitions: IntCounterVec::new(
                Opts::new(
                    "bellwether_transitions_total",
                    "Changes of this instance's leadership, by what it became and why.",
                ),
                &["election", "to", "reason"],
            )?,
            calls: HistogramVec::new(
                HistogramOpts::new(
                    "bellwether_store_request_duration_seconds",
                    "Calls to the store, by verb and outcome.",
                )
                .buckets(CALL_SECONDS.to_vec()),
                &["election", "verb", "outcome"],
            )?,
        };
        let build = gauge("bellwether_build_info", "The version that runs.", "version")?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let registry = &metrics.registry;
        registry.register(Box::new(metrics.master.clone()))?;
        registry.register(Box::new(metrics.leading.clone()))?;
        registry.register(Box::new(metrics.term.clone()))?;
        registry.register(Box::new(metrics.validity.clone()))?;
        registry.register(Box::new(metrics.holds.clone()))?;
        registry.register(Box::new(metrics.connections.clone()))?;
        registry.register(Box::new(metrics.transitions.clone()))?;
        registry.register(Box::new(metrics.calls.clone()))?;
        registry.register(Box::new(build))?;
        Ok(metrics)
    }

    /// Counts what an elector reported.
    pub fn count_news(&self, election: &ElectionName, news: &News) {
        let (to, reason) = match news {
            News::Elected { .. } => ("leading", "elected"),
            News::Lost { reason, .. } => ("standby", reason.as_str()),
            News::Vacated { .. } | News::Following { .. } | News::TermWentBackwards { .. } => {
                return;
            }
        };
        self.transitions.with_label_values(&[election.as_str(), to, reason]).inc();
    }

    /// Tells also what `collector` gathers.
    ///
    /// # Errors
    ///
    /// When another metric has the same name.
    pub fn tell_also(&self, collector: impl Collector + 'static) -> prometheus::Result<()> {
        self.registry.register(Box::new(collector))
    }

    /// Counts a call to the store.
    pub fn count_call(
        &self,
        election: &ElectionName,
        verb: Verb,
        took: Duration,
        error: Option<&StoreError>,
    ) {
        let verb = match verb {
            Verb::Observe => "observe",
            Verb::Swap => "swap",
        };
        let outcome = match error {
            None => "answered",
            Some(StoreError::Unavailable(_)) => "unavailable",
            Some(StoreError::Misconfigured(_)) => "misconfigured",
        };
        let labels = [election.as_str(), verb, outcome];
        self.calls.with_label_values(&labels).observe(took.as_secs_f64());
    }

    /// Sets what depends on the time to what is true of an election at `now`, before
    /// [`Metrics::render`].
    pub fn show(&self, election: &ElectionName, view: &Leadership, holds: usize, now: BootTime) {
        let name = [election.as_str()];
        let leading = i64::from(view.is_leading(now));
        self.master.with_label_values(&name).set(leading);
        self.leading.with_label_values(&name).set(leading);
        let term = i64::try_from(view.term().unwrap_or(0)).unwrap_or(i64::MAX);
        self.term.with_label_values(&name).set(term);
        self.validity.with_label_values(&name).set(view.valid_for(now).as_secs_f64());
        let holds = i64::try_from(holds).unwrap_or(i64::MAX);
        self.holds.with_label_values(&name).set(holds);
    }

    /// Sets how many connections are open, and how many of them are event streams, before
    /// [`Metrics::render`].
    pub fn show_connections(&self, open: usize, streams: usize) {
        for (kind, count) in [("stream", streams), ("other", open.saturating_sub(streams))] {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.connections.with_label_values(&[kind]).set(count);
        }
    }

    /// The text that Prometheus reads.
    ///
    /// # Errors
    ///
    /// When the text cannot be built.
    pub fn render(&self) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}
