//! A thousand idle event streams and a thousand slow clients at once.
//!
//! How long an answer takes among them is measured by `make figures`.

use support::crowd::{Crowd, room_for};
use support::{Pasture, QUICK_RENEW_DEADLINE, Sidecar, eventually, now};

#[test]
fn a_crowd_delays_no_answer_and_no_renewal() {
    room_for(3000);
    let pasture = Pasture::new();
    let sidecar = Sidecar::start("a", &pasture.store());
    eventually("it leads", || sidecar.leader().leads().then_some(()));
    let mut crowd = Crowd::around(&sidecar, 1000, 1000);
    let start = now();
    while now().since(start) < QUICK_RENEW_DEADLINE * 3 {
        crowd.shuffle();
        let answer = sidecar.leader();
        assert!(answer.leads() && answer.term() == 1, "{answer:?}");
        assert_eq!(sidecar.status("/livez"), 200);
    }
    assert_eq!(sidecar.log().events("lost"), 0);
    assert_eq!(sidecar.log().events("accept_failed"), 0);
    crowd.receives_the_end(&sidecar);
}
