//! Two hundred elections in one process, at the default timing; and one that is slow for its own
//! reasons.
//!
//! What it costs is measured by `make figures`.

use std::sync::Arc;

use serde_json::Value;

use crate::http::elections::{leader, leads, two_leases_later};
use support::postgres::Server;
use support::{Pasture, Sidecar, eventually, now};

const DEFAULT: [&str; 6] =
    ["--lease-duration", "15s", "--renew-deadline", "10s", "--retry-period", "2s"];

/// Runs what is written as `async`, in a test that blocks.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(future)
}

/// What `/elections` says.
fn elections(sidecar: &Sidecar) -> Vec<Value> {
    sidecar.get("/elections").unwrap().body["elections"].as_array().unwrap().clone()
}

fn two_hundred_are_led(store: &str) {
    let names: Vec<_> = (0..200).map(|number| format!("election-{number}")).collect();
    let names = names.join(",");
    let more = [&DEFAULT[..], &["--election", &names]].concat();
    let first = Sidecar::start_with("first", store, &more);
    let all = |sidecar: &Sidecar, wanted: &dyn Fn(&Value) -> bool| {
        let elections = elections(sidecar);
        assert_eq!(elections.len(), 200);
        elections.iter().all(wanted).then_some(())
    };
    eventually("all are led", || all(&first, &|one| one["leader"] == true));
    let mut second = Sidecar::start_with("second", store, &more);
    eventually("all know", || all(&second, &|one| one["holderIdentity"] == "first"));
    second.signal("TERM");
    assert!(second.wait().success());
    let terms = || {
        let elections = elections(&first);
        elections.iter().map(|one| one["term"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    let before = terms();
    // Longer than the renew deadline: an instance that leads then has renewed.
    let start = now();
    eventually("a lease passes", || (now().since(start).as_secs() > 15).then_some(()));
    assert!(all(&first, &|one| one["leader"] == true).is_some());
    assert_eq!(terms(), before);
    assert_eq!(first.log().events("lost"), 0);
}

#[test]
fn two_hundred_on_sqlite() {
    two_hundred_are_led(&Pasture::new().store());
}

#[test]
fn two_hundred_on_postgres() {
    let server = Server::shared();
    let database = block_on(server.database());
    two_hundred_are_led(&server.url(&database));
}

/// An application's transaction under the fence of one election: no instance can take that one over
/// until it ends. The other election does not wait for it.
#[test]
fn take_overs_that_wait_for_fences_delay_no_other_election() {
    let server: Arc<Server> = Server::shared();
    let database = block_on(server.database());
    let store = server.url(&database);
    // More of them than there are connections.
    let fenced = ["a", "c", "d", "e", "f"];
    let elections = ["--election", "a,b,c,d,e,f"];
    let mut first = Sidecar::start_with("first", &store, &elections);
    let terms = fenced.map(|election| leads(&first, election).term());
    let before = leads(&first, "b").term();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut app = runtime.block_on(server.connect(&database));
    let mut run = |sql: String| {
        let sql = sqlx::AssertSqlSafe(sql);
        runtime.block_on(sqlx::raw_sql(sql).execute(&mut app)).unwrap();
    };
    run("BEGIN".to_owned());
    for (election, term) in fenced.iter().zip(terms) {
        run(format!("SELECT bellwether.fence('{election}', {term})"));
    }
    let second = Sidecar::start_with("second", &store, &elections);
    first.kill();
    let taken = leads(&second, "b").term();
    assert_eq!(taken, before + 1);
    two_leases_later();
    for election in fenced {
        assert!(!leader(&second, election).leads(), "the transaction has not ended");
    }
    let kept = leader(&second, "b");
    assert!(kept.leads() && kept.term() == taken, "{kept:?}");
    eventually("it says why", || (second.log().count("fence") > 0).then_some(()));
    run("COMMIT".to_owned());
    for (election, term) in fenced.iter().zip(terms) {
        assert_eq!(leads(&second, election).term(), term + 1);
    }
}
