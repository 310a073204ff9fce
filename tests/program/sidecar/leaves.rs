//! How a sidecar leaves when the application beside it may still be ending.

use std::time::Duration;

use support::{Answer, Pasture, Sidecar, eventually, now};

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
