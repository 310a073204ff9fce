//! How a sidecar leaves when the application beside it may still be ending.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use support::ports::free_port;
use support::{Answer, Pasture, Sidecar, bellwether, eventually, now};

/// A kubelet whose patience is over kills the application and asks the sidecar to end in one moment.
#[test]
fn the_lease_is_kept_for_the_delay_and_the_answer_is_no_at_once() {
    const DELAY: Duration = Duration::from_millis(1_500);
    let pasture = Pasture::new();
    let store = pasture.store();
    // A lease that is longer than the test: the next leader is one by a hand-over.
    let long = ["--lease-duration", "600s", "--renew-deadline", "400s"];
    let delayed = [&long[..], &["--vacate-delay", "1500ms"]].concat();
    let mut first = Sidecar::start_with("first", &store, &delayed);
    let term = eventually("it leads", || Some(first.leader()).filter(Answer::leads)).term();
    let second = Sidecar::start_with("second", &store, &long);
    let requested_at = now();
    first.signal("TERM");
    eventually("it says no", || first.get("/leader").is_none_or(|a| !a.leads()).then_some(()));
    let next = eventually("the other leads", || Some(second.leader()).filter(Answer::leads));
    assert!(next.answered.since(requested_at) >= DELAY, "{:?}", next.answered.since(requested_at));
    assert_eq!(next.term(), term + 1);
    assert!(first.wait().success());
}

/// A sidecar in a pod, which keeps a label by the API of Kubernetes at this port.
fn labelled(name: &str, pasture: &Pasture, api: u16) -> Sidecar {
    let kubeconfig = pasture.folder().join("kubeconfig");
    write_kubeconfig(&kubeconfig, api);
    let mut command = bellwether();
    command.env("POD_NAME", name).env("POD_NAMESPACE", "shop").env("KUBECONFIG", &kubeconfig);
    Sidecar::start_as(name, &pasture.store(), &["--leader-label", "shop/leads=true"], command)
}

fn write_kubeconfig(file: &Path, api: u16) {
    let text = format!(
        "{{apiVersion: v1, kind: Config, current-context: a, clusters: [{{name: a, cluster: {{server: \
         'https://127.0.0.1:{api}'}}}}], users: [{{name: a, user: {{}}}}], contexts: [{{name: a, \
         context: {{cluster: a, user: a}}}}]}}"
    );
    std::fs::write(file, text).unwrap();
}

/// Each try failed, and the end of the election was seen only after one that did not.
#[test]
fn a_label_that_the_api_never_takes_away_does_not_keep_the_process() {
    let refuses = free_port();
    let hangs = TcpListener::bind("127.0.0.1:0").unwrap();
    for api in [refuses, hangs.local_addr().unwrap().port()] {
        let pasture = Pasture::new();
        let mut leader = labelled("leader", &pasture, api);
        let term = eventually("it leads", || Some(leader.leader()).filter(Answer::leads)).term();
        let mut standby = labelled("standby", &pasture, api);
        eventually("it follows", || standby.leader().holder().map(drop));
        for sidecar in [&leader, &standby] {
            sidecar.log().await_events("label_wrong", 1);
        }
        leader.signal("TERM");
        assert!(leader.wait().success(), "{}", leader.log().text());
        leader.log().await_events("label_kept_too_long", 1);
        leader.log().await_events("vacated", 1);
        let next = eventually("the other leads", || Some(standby.leader()).filter(Answer::leads));
        assert_eq!(next.term(), term + 1);
        standby.signal("TERM");
        assert!(standby.wait().success(), "{}", standby.log().text());
    }
}
