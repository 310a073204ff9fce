//! Counters and gauges, by Prometheus's conventions.
//!
//! Gauges that depend on the time (who leads, for how long) are computed when they are read: see
//! [`Metrics::show`].

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use crate::election::elector::{News, Renewal};
use crate::election::leadership::{Leadership, LossReason};
use crate::election::lease::{ElectionName, Namespace};
use crate::election::time::BootTime;
use crate::election::timing::Timing;
use crate::store::StoreError;

/// Store calls take from a fraction of a millisecond (SQLite) to their timeout: 2.7 s by default,
/// more where the renew deadline is longer.
const CALL_SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The label of what is told of each election. All else is told once for the whole process, so that
/// hundreds of elections stay within a few thousand series: docs/metrics.md says how many.
const ELECTION: &str = "election";

/// How a call to a store can end.
const OUTCOMES: [&str; 3] = ["answered", "unavailable", "misconfigured"];

/// A kind of call to a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// A look at the record.
    Observe,
    /// A conditional write.
    Swap,
}

impl Verb {
    const ALL: [Self; 2] = [Self::Observe, Self::Swap];

    /// The form in labels and the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Swap => "swap",
        }
    }
}

/// Everything that this process counts. Clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    started: BootTime,
    now: Leading,
    around: Around,
    counted: Counted,
    calls: HistogramVec,
}

/// What is true of the leadership now.
#[derive(Clone, Debug)]
struct Leading {
    master: IntGaugeVec,
    leading: IntGaugeVec,
    term: IntGaugeVec,
    validity: GaugeVec,
    decided: IntGaugeVec,
    standing: IntGaugeVec,
    paused: IntGaugeVec,
    paused_until_resumed: IntGaugeVec,
}

impl Leading {
    fn new(to: &Registrar<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            master: to.gauges(
                "leader_election_master_status",
                "Whether this instance is master (1) or backup (0) of the lease called 'name', as \
                 client-go reports it.",
                "name",
            )?,
            leading: to.gauges(
                "bellwether_leading",
                "Whether this instance may do leader-only work now (1) or not (0).",
                ELECTION,
            )?,
            term: to.gauges(
                "bellwether_term",
                "The highest term (fencing token) that this instance has seen; 0 before it has \
                 seen the record.",
                ELECTION,
            )?,
            validity: to.seconds(
                "bellwether_validity_seconds",
                "For how long this instance leads if no renewal succeeds from now on; 0 if it does \
                 not lead.",
            )?,
            decided: to.gauges(
                "bellwether_decided",
                "Whether the election is decided as seen from here (1) or not (0): the store \
                 answered within the last lease duration, and this instance leads, a live holder is \
                 known, or the election is paused.",
                ELECTION,
            )?,
            standing: to.gauges(
                "bellwether_standing",
                "Whether this instance stands for election (1), or not (0) because it is shutting \
                 down, its gate is closed, the election is paused, or it resigned.",
                ELECTION,
            )?,
            paused: to.gauges(
                "bellwether_paused",
                "Whether an operator has paused the election (1) or not (0), as seen from here: no \
                 instance stands.",
                ELECTION,
            )?,
            paused_until_resumed: to.gauges(
                "bellwether_paused_until_resumed",
                "Whether the election is paused and the pause has no end of its own (1) or not (0): it \
                 lasts until `bellwether resume`.",
                ELECTION,
            )?,
        })
    }
}

/// What is around the leadership now.
#[derive(Clone, Debug)]
struct Around {
    response_age: GaugeVec,
    holds: IntGaugeVec,
    connections: IntGaugeVec,
}

impl Around {
    fn new(to: &Registrar<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            response_age: to.seconds(
                "bellwether_store_answer_age_seconds",
                "How long ago the last call that the store answered was sent; the time since the \
                 start if it has not answered yet.",
            )?,
            holds: to.gauges(
                "bellwether_holds",
                "Leader-only commands of other processes (bellwether only) that keep the lease \
                 from being freed now.",
                ELECTION,
            )?,
            connections: to.gauges(
                "bellwether_http_connections",
                "Connections that are open now: with an event stream on them ('stream'), and all \
                 others ('other').",
                "kind",
            )?,
        })
    }
}

/// What has happened.
#[derive(Clone, Debug)]
struct Counted {
    slow_path: IntCounterVec,
    transitions: IntCounterVec,
    renewals: IntCounterVec,
    regressions: IntCounterVec,
}

impl Counted {
    fn new(to: &Registrar<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            slow_path: to.counters(
                "leader_election_slowpath_total",
                "Renewals of the lease called 'name' after which the record had to be read again, \
                 as client-go counts them: those refused or failed.",
                &["name"],
            )?,
            transitions: to.counters(
                "bellwether_transitions_total",
                "Changes of this instance's leadership: to 'leading', always with the reason \
                 'elected', and to 'standby', with why.",
                &[ELECTION, "to", "reason"],
            )?,
            renewals: to.counters(
                "bellwether_renewals_total",
                "Renewals of the own lease, by outcome: applied 'on_time'; applied 'late', having \
                 been sent more than a call's timeout after it was due; 'refused', because the \
                 record had changed; 'failed', and it is not known whether it was applied.",
                &[ELECTION, "outcome"],
            )?,
            regressions: to.counters(
                "bellwether_term_regressions_total",
                "How often the record was seen with a lower term than before: the store lost \
                 writes.",
                &[ELECTION],
            )?,
        })
    }
}

impl Metrics {
    /// New counters at zero, of a process that began at `started` and stands in elections of this
    /// `timing` on this kind of `store`.
    ///
    /// # Errors
    ///
    /// When two metrics have the same name: a mistake in this file.
    pub fn new(store: &str, timing: &Timing, started: BootTime) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let to = Registrar(&registry);
        to.build_info()?;
        to.timing(timing)?;
        to.add(ProcessCollector::for_self())?;
        Ok(Self {
            started,
            now: Leading::new(&to)?,
            around: Around::new(&to)?,
            counted: Counted::new(&to)?,
            calls: to.calls(store)?,
            registry,
        })
    }

    /// Says who this instance is, in a metric of its own, to be joined to the others: an identity in
    /// every label would make all series new at each deployment. Prometheus has a `namespace` of its
    /// own, that of the target, so the one of the records has a longer name.
    ///
    /// # Errors
    ///
    /// When it was called before.
    pub fn introduce(&self, identity: &str, records: Option<&Namespace>) -> prometheus::Result<()> {
        let options = Opts::new(
            "bellwether_instance_info",
            "Always 1; 'identity' is the name under which this instance stands, and \
             'store_namespace' what --namespace says.",
        );
        let options = options
            .const_label("identity", identity)
            .const_label("store_namespace", records.map(ToString::to_string).unwrap_or_default());
        let info = IntGauge::with_opts(options)?;
        info.set(1);
        self.register(info)
    }

    /// Begins to count in an election. What has not happened yet is shown as zero: otherwise the
    /// first time would go unseen by `rate` and `increase`.
    pub fn begin(&self, election: &ElectionName) {
        let name = election.as_str();
        self.counted.slow_path.with_label_values(&[name]);
        self.counted.regressions.with_label_values(&[name]);
        self.counted.transitions.with_label_values(&[name, "leading", "elected"]);
        for reason in LossReason::OF_A_SIDECAR {
            self.counted.transitions.with_label_values(&[name, "standby", reason.as_str()]);
        }
        for outcome in Renewal::ALL {
            self.counted.renewals.with_label_values(&[name, outcome.as_str()]);
        }
    }

    /// Counts what an elector reported.
    pub fn count_news(&self, election: &ElectionName, news: &News) {
        let name = election.as_str();
        match news {
            News::Elected { .. } => {
                self.counted.transitions.with_label_values(&[name, "leading", "elected"]).inc();
            }
            News::Lost { reason, .. } => {
                self.counted
                    .transitions
                    .with_label_values(&[name, "standby", reason.as_str()])
                    .inc();
            }
            News::Renewal(outcome) => {
                self.counted.renewals.with_label_values(&[name, outcome.as_str()]).inc();
                if matches!(outcome, Renewal::Refused | Renewal::Failed) {
                    self.counted.slow_path.with_label_values(&[name]).inc();
                }
            }
            News::TermWentBackwards { .. } => {
                self.counted.regressions.with_label_values(&[name]).inc()
            }
            News::Vacated { .. }
            | News::Following { .. }
            | News::Paused(_)
            | News::Resumed
            | News::Stranger { .. }
            | News::Copied(_) => {}
        }
    }

    /// Tells also what `collector` gathers.
    ///
    /// # Errors
    ///
    /// When another metric has the same name.
    pub fn register(&self, collector: impl Collector + 'static) -> prometheus::Result<()> {
        self.registry.register(Box::new(collector))
    }

    /// Counts a call to the store.
    pub fn count_call(&self, verb: Verb, took: Duration, error: Option<&StoreError>) {
        let [answered, unavailable, misconfigured] = OUTCOMES;
        let outcome = match error {
            None => answered,
            Some(StoreError::Unavailable(_)) => unavailable,
            Some(StoreError::Misconfigured(_)) => misconfigured,
        };
        self.calls.with_label_values(&[verb.as_str(), outcome]).observe(took.as_secs_f64());
    }

    /// Sets what depends on the time to what is true of an election at `now`, before
    /// [`Metrics::render`].
    pub fn show(&self, election: &ElectionName, view: &Leadership, holds: usize, now: BootTime) {
        let name = [election.as_str()];
        let set = |gauge: &IntGaugeVec, value: i64| gauge.with_label_values(&name).set(value);
        set(&self.now.master, i64::from(view.is_leading(now)));
        set(&self.now.leading, i64::from(view.is_leading(now)));
        set(
            &self.now.term,
            i64::try_from(view.term().unwrap_or_default().get()).unwrap_or(i64::MAX),
        );
        set(&self.now.decided, i64::from(view.decided(now).is_ok()));
        let pause = view.paused(now);
        set(&self.now.paused, i64::from(pause.is_some()));
        let is_endless = pause.is_some_and(|pause| pause.lasts().is_none());
        set(&self.now.paused_until_resumed, i64::from(is_endless));
        set(&self.now.standing, i64::from(view.standing_down(now).is_none()));
        set(&self.around.holds, i64::try_from(holds).unwrap_or(i64::MAX));
        let silence = view.store_silence(now).unwrap_or_else(|| now.since(self.started));
        self.around.response_age.with_label_values(&name).set(silence.as_secs_f64());
        self.now.validity.with_label_values(&name).set(view.valid_for(now).as_secs_f64());
    }

    /// Sets how many connections are open, and how many of them are event streams, before
    /// [`Metrics::render`].
    pub fn show_connections(&self, open: usize, streams: usize) {
        for (kind, count) in [("stream", streams), ("other", open.saturating_sub(streams))] {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.around.connections.with_label_values(&[kind]).set(count);
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

/// Makes metrics, and registers them.
struct Registrar<'a>(&'a Registry);

impl Registrar<'_> {
    fn add<T: Collector + 'static>(&self, collector: T) -> prometheus::Result<()> {
        self.0.register(Box::new(collector))
    }

    fn gauges(&self, name: &str, help: &str, label: &str) -> prometheus::Result<IntGaugeVec> {
        let gauges = IntGaugeVec::new(Opts::new(name, help), &[label])?;
        self.add(gauges.clone())?;
        Ok(gauges)
    }

    fn seconds(&self, name: &str, help: &str) -> prometheus::Result<GaugeVec> {
        let gauges = GaugeVec::new(Opts::new(name, help), &[ELECTION])?;
        self.add(gauges.clone())?;
        Ok(gauges)
    }

    fn counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> prometheus::Result<IntCounterVec> {
        let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
        self.add(counters.clone())?;
        Ok(counters)
    }

    fn calls(&self, store: &str) -> prometheus::Result<HistogramVec> {
        let options = HistogramOpts::new(
            "bellwether_store_request_duration_seconds",
            "Duration of calls to the store, of all elections, by outcome: 'answered', also with a \
             refusal because the record had changed; 'unavailable', which is tried again and \
             includes calls given up at their timeout; 'misconfigured', which needs a person.",
        );
        let options = options.const_label("store", store).buckets(CALL_SECONDS.to_vec());
        let calls = HistogramVec::new(options, &["verb", "outcome"])?;
        for verb in Verb::ALL {
            for outcome in OUTCOMES {
                calls.with_label_values(&[verb.as_str(), outcome]);
            }
        }
        self.add(calls.clone())?;
        Ok(calls)
    }

    fn build_info(&self) -> prometheus::Result<()> {
        let options = Opts::new("bellwether_build_info", "Always 1; 'version' is what runs.");
        let build = IntGauge::with_opts(options.const_label("version", env!("CARGO_PKG_VERSION")))?;
        build.set(1);
        self.add(build)
    }

    /// What alert rules and dashboards compare with.
    fn timing(&self, timing: &Timing) -> prometheus::Result<()> {
        for (name, help, value) in [
            (
                "bellwether_lease_duration_seconds",
                "How long the others wait for a leader that shows no sign of life \
                 (--lease-duration).",
                timing.lease_duration(),
            ),
            (
                "bellwether_renew_deadline_seconds",
                "How long a leader leads without a renewal (--renew-deadline).",
                timing.renew_deadline(),
            ),
            (
                "bellwether_retry_period_seconds",
                "How long a leader waits between renewals (--retry-period).",
                timing.retry_period(),
            ),
        ] {
            let gauge = Gauge::new(name, help)?;
            gauge.set(value.as_secs_f64());
            self.add(gauge)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::election::lease::Candidate;
    use crate::election::term::Term;

    fn metrics() -> (Metrics, ElectionName) {
        let started = BootTime::from_duration(Duration::from_secs(100));
        let metrics = Metrics::new("sqlite", &Timing::default(), started).unwrap();
        let election: ElectionName = "jobs".parse().unwrap();
        metrics.begin(&election);
        (metrics, election)
    }

    #[track_caller]
    fn shows(metrics: &Metrics, line: &str) {
        let text = metrics.render().unwrap();
        assert!(text.lines().any(|other| other == line), "{line}\nis not in\n{text}");
    }

    #[test]
    fn every_piece_of_news_is_counted_where_it_belongs_and_from_zero() {
        let (metrics, election) = metrics();
        let counted: [(News, &[&str]); 5] = [
            (
                News::Elected { term: Term::new(3) },
                &[r#"bellwether_transitions_total{election="jobs",reason="elected",to="leading"}"#],
            ),
            (
                News::Lost { term: Term::new(3), reason: LossReason::RenewDeadline },
                &[
                    r#"bellwether_transitions_total{election="jobs",reason="renew_deadline",to="standby"}"#,
                ],
            ),
            (
                News::Renewal(Renewal::Late),
                &[r#"bellwether_renewals_total{election="jobs",outcome="late"}"#],
            ),
            (
                News::Renewal(Renewal::Failed),
                &[
                    r#"bellwether_renewals_total{election="jobs",outcome="failed"}"#,
                    r#"leader_election_slowpath_total{name="jobs"}"#,
                ],
            ),
            (
                News::TermWentBackwards { seen: Term::new(3), record: Term::new(1) },
                &[r#"bellwether_term_regressions_total{election="jobs"}"#],
            ),
        ];
        for (news, series) in counted {
            series.iter().for_each(|series| shows(&metrics, &format!("{series} 0")));
            metrics.count_news(&election, &news);
            series.iter().for_each(|series| shows(&metrics, &format!("{series} 1")));
        }
    }

    #[test]
    fn an_instance_says_who_it_is_whatever_its_name_contains() {
        let (metrics, _) = metrics();
        metrics.introduce("a\\b\"c", Some(&"prod".parse().unwrap())).unwrap();
        shows(&metrics, r#"bellwether_instance_info{identity="a\\b\"c",store_namespace="prod"} 1"#);
    }

    #[test]
    fn a_store_that_never_answered_is_silent_since_the_start() {
        let (metrics, election) = metrics();
        let me = Candidate { identity: "me".to_owned(), incarnation: "1".to_owned() };
        let view = Leadership::unknown(me, Timing::default());
        let now = BootTime::from_duration(Duration::from_secs(142));
        metrics.show(&election, &view, 0, now);
        shows(&metrics, r#"bellwether_store_answer_age_seconds{election="jobs"} 42"#);
        shows(&metrics, r#"bellwether_decided{election="jobs"} 0"#);
        shows(&metrics, r#"bellwether_standing{election="jobs"} 1"#);
    }
}
