//! The push: a watch on one Lease. It only gives hints: a watch that is late or cut costs a read, or the wait
//! for the next one. What it shows of a new holder is the API server's own, as the answer to a read is.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::Method;
use hyper::body::{Bytes, Incoming};
use serde::Deserialize;

use super::api::{Api, is_of_the_server};
use super::lease::{Kept, Lease, object_name};
use crate::election::lease::{
    Candidate, ElectionName, LeaseRecord, Listeners, Observed, Renewed, Vacated,
};
use crate::election::pause::Pause;
use crate::election::term::Term;
use crate::store::contract::{Hint, Hints, Notifier};

/// How long one watch lasts. Within what API servers allow by default (at least 30 minutes), and
/// short enough that a connection which is silently dead is left in time.
const WATCH: Duration = Duration::from_secs(300);

/// A watch that is silent for this much longer is dead.
const SLACK: Duration = Duration::from_secs(10);

/// The longest event: a Lease.
const MAX_EVENT: usize = 2 * 1024 * 1024;

/// Pauses between watches that fail: doubled from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LAST_PAUSE: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    object: serde_json::Value,
}

/// The part of a Lease that causes a look when it changes: renewals are only announced.
#[derive(PartialEq)]
struct Seen {
    holder: Option<Candidate>,
    term: Term,
    /// A client-go candidate that restarts under its name may change it within a term.
    lease_duration: Duration,
    payload: Option<Box<str>>,
    pause: Option<Pause>,
}

impl Seen {
    fn of(record: &LeaseRecord) -> Self {
        let LeaseRecord { holder, term, lease_duration, payload, pause, .. } = record;
        let (holder, payload, pause) = (holder.clone(), payload.clone(), pause.clone());
        Self { holder, term: *term, lease_duration: *lease_duration, payload, pause }
    }
}

/// Watches the Lease of an election for as long as the hints have a receiver.
pub fn hints(api: Arc<Api>, election: ElectionName) -> Hints {
    let notifier = Notifier::default();
    let hints = notifier.hints();
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return Hints::never() };
    runtime.spawn(async move {
        let watching = watch_on(&api, &election, &notifier);
        tokio::select! {
            () = watching => {}
            () = notifier.no_receivers() => {}
        }
    });
    hints
}

async fn watch_on(api: &Arc<Api>, election: &ElectionName, notifier: &Notifier) {
    let (mut pause, mut seen) = (FIRST_PAUSE, None);
    loop {
        let began = api.now();
        let watching = watch(api, election, notifier, &mut seen);
        let _ = tokio::time::timeout(WATCH + SLACK, watching).await;
        // One that ends soon may do so each time.
        let lasted = api.now().since(began) >= LAST_PAUSE;
        pause = if lasted { FIRST_PAUSE } else { (pause * 2).min(LAST_PAUSE) };
        // Different for each process, so that not all reach a restarted API server at once.
        tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
    }
}

/// One watch, until it ends. None if it could not begin.
async fn watch(
    api: &Arc<Api>,
    election: &ElectionName,
    notifier: &Notifier,
    seen: &mut Option<Seen>,
) -> Option<()> {
    let session = api.session().await.ok()?;
    let path = format!(
        "{}?watch=true&fieldSelector=metadata.name%3D{}&timeoutSeconds={}",
        session.leases(),
        object_name(election),
        WATCH.as_secs()
    );
    // The head comes at once.
    let begun = tokio::time::timeout(SLACK, api.begin(&session, Method::GET, &path, Bytes::new()));
    let response = begun.await.ok()?.ok()?;
    if !response.status().is_success() || !is_of_the_server(response.headers()) {
        return None;
    }
    let (mut body, mut line) = (response.into_body(), Vec::new());
    while let Some(event) = next_event(&mut body, &mut line).await {
        if event.kind == "ERROR" {
            break;
        }
        let lease = serde_json::from_value::<Lease>(event.object).ok();
        let kept = lease.and_then(|lease| lease.decode(election).ok());
        let now = kept.as_ref().map(|kept| Seen::of(&kept.record));
        if event.kind == "DELETED" || now.is_none() || now != *seen {
            *seen = now;
            notifier.notify(match kept {
                Some(kept) if kept.record.is_free() => {
                    let LeaseRecord { term, handover, .. } = kept.record;
                    Hint::Vacated(Vacated { term, version: kept.version, handover })
                }
                Some(kept) if kept.record.holder.is_some() && event.kind != "DELETED" => {
                    // The server's time would judge a lease that is new anyway.
                    let Kept { record, version, .. } = kept;
                    let remaining = None;
                    Hint::Acquired(Box::new(Observed {
                        record,
                        version,
                        remaining,
                        outlived: false,
                    }))
                }
                _ => Hint::Changed,
            });
        } else if let Some(kept) = kept {
            let (term, version) = (kept.record.term, kept.version);
            notifier.notify(Hint::Renewed(Renewed {
                term,
                version,
                listeners: Listeners::Unknown,
            }));
        }
    }
    Some(())
}

/// The next line of the answer, as an event; none at its end.
async fn next_event(body: &mut Incoming, line: &mut Vec<u8>) -> Option<Event> {
    loop {
        if let Some(end) = line.iter().position(|byte| *byte == b'\n') {
            let rest = line.split_off(end + 1);
            let event = serde_json::from_slice(line).ok();
            *line = rest;
            return event;
        }
        let data = body.frame().await?.ok()?.into_data().unwrap_or_default();
        if line.len() + data.len() > MAX_EVENT {
            return None;
        }
        line.extend_from_slice(&data);
    }
}
