//! A store with everything that `status` can show.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bellwether::election::elector::Swapped;
use bellwether::election::holder_url::HolderUrl;
use bellwether::election::lease::{Candidate, ElectionName, LeaseRecord};
use bellwether::election::term::Term;
use bellwether::election::time::{Clock as _, WallTime};
use bellwether::store::{self, Store, StoreOptions, StoreUrl};
use bellwether::time::clock::HostClock;
use serde_json::{Value, json};
use support::bellwether;

/// As ECS names a task.
pub(crate) fn arn(number: usize) -> String {
    format!("arn:aws:ecs:eu-central-1:123456789012:task/shop-production/{number:032x}")
}

pub(crate) fn status(url: &str, args: &[&str]) -> Command {
    let mut command = bellwether();
    command.env("NO_COLOR", "1").env("BELLWETHER_LOG_FORMAT", "text");
    command.args(["status", "--store", url]).args(args);
    command
}

/// The store of a URL, for what others write into it.
pub(crate) struct Planted(Arc<dyn Store>);

impl Planted {
    pub(crate) async fn at(url: &str) -> Self {
        let options = StoreOptions { patience: Duration::from_secs(20), max_clock_skew: None };
        let target = StoreUrl::parse(url, &|_| None).unwrap();
        let store = store::open(&target, options, Arc::new(HostClock));
        store.init().await.unwrap();
        Self(store)
    }

    async fn put(&self, name: &str, holder: Option<String>, term: u64, payload: Option<Value>) {
        let ago =
            |time| WallTime::from_unix(HostClock.now().wall.since_epoch().saturating_sub(time));
        let holder = holder.map(|identity| Candidate { identity, incarnation: "i".to_owned() });
        let url = holder.as_ref().map(|_| "http://10.0.0.1:8080".parse::<HolderUrl>().unwrap());
        let record = LeaseRecord {
            holder,
            term: Term::new(term),
            lease_duration: Duration::from_secs(3600),
            acquire_time: ago(Duration::from_secs(330)),
            renew_time: ago(Duration::from_secs(3)),
            payload: payload.map(|payload| payload.to_string().into()),
            origin: None,
            holder_url: url,
            pause: None,
            handover: None,
        };
        let name = ElectionName::from_store(name).unwrap();
        let planted = self.0.swap(&name, None, &record).await.unwrap();
        assert!(matches!(planted, Swapped::Won(_)), "{planted:?}");
    }

    /// An election, with or without a leader.
    pub(crate) async fn election(&self, name: &str, holder: Option<String>) {
        self.put(name, holder, 7, None).await;
    }

    /// A work with one key in this state.
    pub(crate) async fn work(&self, name: &str, holder: Option<String>, state: &Value) {
        let began = HostClock.now().wall.since_epoch().as_millis() as u64 - 400_000;
        let attempt =
            |of: Option<u32>| json!({ "holder": arn(4), "term": 7, "began": began, "of": of });
        let mut key = json!({
            "key": format!("ecs:shop-production/{name}@sha256:{:064x}", 17),
            "order": 42, "ended": began + 100_000, "attempt": attempt(Some(3)),
        });
        for (field, value) in state.as_object().unwrap() {
            key[field] = if field == "takingBack" { attempt(None) } else { value.clone() };
        }
        let history = json!({ "format": 1, "order": 42, "keys": [key] });
        self.put(&format!("once/{name}"), holder, 7, None).await;
        self.put(&format!("history/{name}"), None, 1, Some(history)).await;
    }

    /// Forty elections, and a work in every state.
    pub(crate) async fn everything(&self) {
        for number in 0..40 {
            let name = format!("nightly-reports-of-every-shop-in-the-country-{number:02}");
            let leads = number != 21;
            self.election(&name, leads.then(|| arn(number))).await;
        }
        for (name, holder, state) in works() {
            self.work(name, holder, &state).await;
        }
    }
}

/// What a failed command wrote: wide, long, and with tabs.
const WROTE: &str = "羊の群れのリーダーがいません 羊の群れのリーダーがいません 羊の群れのリーダーがいません\n\
    \tpsycopg2.errors.UndefinedTable: relation \"accounts_balance\" does not exist at character 15\n";

fn works() -> Vec<(&'static str, Option<String>, Value)> {
    let failed =
        |failures| json!({ "state": "failed", "failures": failures, "code": 3, "stderr": WROTE });
    vec![
        ("running", Some(arn(4)), json!({ "state": "begun" })),
        ("interrupted", None, json!({ "state": "begun" })),
        ("done", None, json!({ "state": "done" })),
        ("failing", None, failed(2)),
        ("failed", None, failed(3)),
        ("taken-back", None, json!({ "state": "takenBack" })),
        ("taking-back", Some(arn(4)), json!({ "state": "done", "takingBack": true })),
    ]
}

/// Each work of [`Planted::everything`], and what is to be shown of its key.
pub(crate) const SHOWN: [(&str, &str); 7] = [
    ("running", "running"),
    ("interrupted", "interrupted"),
    ("done", "done"),
    ("failing", "failed (2 of 3)"),
    ("failed", "failed (3 of 3), final"),
    ("taken-back", "taken back"),
    ("taking-back", "taking back"),
];
