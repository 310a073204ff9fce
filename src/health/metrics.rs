//! What Prometheus reads of the gate, in the processes that have one.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, IntGauge, Opts};

use crate::gate::Gate;
use crate::metrics::Metrics;
use crate::time::clock::HostClock;

/// The counters of failed checks.
#[derive(Clone, Debug)]
pub(super) struct Failures(IntCounterVec);

impl Failures {
    /// Counters at zero for these kinds of checks, exported together with whether `gate` is open.
    pub(super) fn new(
        metrics: &Metrics,
        gate: Gate,
        checks: impl Iterator<Item = &'static str>,
    ) -> prometheus::Result<Self> {
        let failures = IntCounterVec::new(
            Opts::new(
                "bellwether_gate_probe_failures_total",
                "Checks of the application's health that failed, by kind of check.",
            ),
            &["probe"],
        )?;
        checks.for_each(|check| failures.with_label_values(&[check]).inc_by(0));
        metrics.register(failures.clone())?;
        let shown = IntGauge::new(
            "bellwether_gate_open",
            "Whether the application's health allows this instance to stand (1) or not (0).",
        )?;
        metrics.register(Open { gate, shown })?;
        Ok(Self(failures))
    }

    pub(super) fn count(&self, check: &str) {
        self.0.with_label_values(&[check]).inc();
    }
}

/// Whether the gate is open at the moment of the question.
struct Open {
    gate: Gate,
    shown: IntGauge,
}

impl Collector for Open {
    fn desc(&self) -> Vec<&Desc> {
        self.shown.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.shown.set(i64::from(self.gate.is_open(HostClock::boot())));
        self.shown.collect()
    }
}
