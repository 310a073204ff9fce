//! One election of ours and client-go's: they respect each other, and terms grow through both.

use std::thread;
use std::time::Duration;

use bellwether::election::time::BootTime;
use serde_json::Value;

use crate::leases::rival::Rival;
use support::kubernetes::ApiServer;
use support::tools::must;
use support::{Answer, Sidecar, eventually, get, now};

/// Changes of leadership that are forced, in turn by resigning and by crashing on either side, if
/// `BELLWETHER_CHANGES` does not set the number.
const CHANGES: usize = 12;

/// When a candidate surely led: from before the request of the first "yes" to after the last one.
type Reign = (BootTime, BootTime);

/// Queries a sidecar until it is gone, and returns when each answer was a "yes".
fn witness(url: String) -> thread::JoinHandle<Vec<Answer>> {
    thread::spawn(move || {
        let mut yes = Vec::new();
        while let Some(answer) = get(&format!("{url}/leader")) {
            if answer.leads() {
                yes.push(answer);
            }
            thread::sleep(Duration::from_millis(5));
        }
        yes
    })
}

fn spec(server: &ApiServer, namespace: &str) -> Value {
    let mut command = server.kubectl();
    let text = must(command.args(["get", "lease", "default", "-o", "json", "-n", namespace]));
    serde_json::from_str::<Value>(&text).unwrap()
}

#[test]
fn a_sidecar_and_a_candidate_of_client_go_never_lead_together() {
    let server = ApiServer::shared();
    let namespace = server.namespace();
    let store = server.url(&namespace);
    let mut highest = 0;
    let mut reigns_of_rivals: Vec<Reign> = Vec::new();
    let mut answers: Vec<Answer> = Vec::new();
    let changes = std::env::var("BELLWETHER_CHANGES").ok().and_then(|text| text.parse().ok());
    let changes = changes.unwrap_or(CHANGES);
    for change in 0..changes {
        // Theirs leads first; ours stands by and takes over; then the other way round.
        let mut rival = Rival::start(&format!("rival-{change}"), &server.admin(), &namespace);
        eventually("the rival leads", || rival.leads().then_some(()));
        let mut ours = Sidecar::start(&format!("ours-{change}"), &store);
        let named = format!("rival-{change}");
        eventually("ours knows who leads", || {
            (ours.leader().holder() == Some(named.as_str())).then_some(())
        });
        let watched = witness(ours.url.clone());
        let crash = change % 2 == 1;
        let signaled = now();
        rival.signal(if crash { "KILL" } else { "TERM" });
        rival.wait();
        for (from, to) in rival.led() {
            reigns_of_rivals.push((from, to.unwrap_or(signaled)));
        }
        let led = eventually("ours leads", || Some(ours.leader()).filter(Answer::leads));
        assert!(led.term() > highest, "a term came again: {led:?}");
        highest = led.term();
        let transitions = spec(&server, &namespace)["spec"]["leaseTransitions"].as_u64().unwrap();
        assert!(led.term() >= transitions, "{} below {transitions}", led.term());
        // Ours ends, and the next rival takes over.
        if crash {
            ours.kill();
        } else {
            ours.signal("TERM");
            ours.wait();
        }
        answers.extend(watched.join().unwrap());
    }
    assert!(reigns_of_rivals.len() >= changes && !answers.is_empty());
    for answer in &answers {
        // The answer was true at some moment between these two.
        let overlaps = |(from, to): &&Reign| *from < answer.sent && answer.answered < *to;
        let found = reigns_of_rivals.iter().find(overlaps);
        assert!(found.is_none(), "two leaders: {answer:?} within {found:?}");
    }
}

/// client-go keeps unknown annotations, and we keep the data of other programs.
#[test]
fn fields_of_others_in_the_lease_stay_there() {
    let server = ApiServer::shared();
    let namespace = server.namespace();
    server.apply(&format!(
        "apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata:\n  name: default\n  \
         namespace: {namespace}\n  labels: {{team: shop}}\n  annotations: {{owner: alice}}\n"
    ));
    let mut ours = Sidecar::start("ours", &server.url(&namespace));
    eventually("it leads", || ours.leader().leads().then_some(()));
    ours.signal("TERM");
    ours.wait();
    let lease = spec(&server, &namespace);
    assert_eq!(lease["metadata"]["labels"]["team"], "shop");
    assert_eq!(lease["metadata"]["annotations"]["owner"], "alice");
    assert_eq!(lease["spec"]["holderIdentity"], "");
}
