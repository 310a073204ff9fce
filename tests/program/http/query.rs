//! A parameter that is not known is refused: `?min_valid=` would be a "yes" for too short a time.

use support::raw::post;
use support::{Pasture, Sidecar, eventually};

#[test]
fn unknown_parameters_are_refused_with_the_known_ones() {
    let pasture = Pasture::new();
    let sidecar = Sidecar::start("a", &pasture.store());
    eventually("it leads", || sidecar.leader().leads().then_some(()));
    for (path, words) in [
        ("/leader?min_valid=1s", "no parameter 'min_valid' is known here, but: wait, min-valid"),
        ("/elections/default/leader?minvalid=1s", "but: wait, min-valid"),
        ("/leader?min-valid=1s&waits=1s", "'waits'"),
        ("/events?from=1", "but: since, elections"),
        ("/ready?x", "nor any other"),
        ("/livez?wait=1s", "nor any other"),
        ("/started?wait=1s", "nor any other"),
        ("/metrics?name=x", "nor any other"),
        ("/elections?election=default", "nor any other"),
        ("/?wait=1s", "nor any other"),
        ("/openapi.json?version=3", "nor any other"),
    ] {
        let answer = sidecar.get(path).unwrap();
        assert_eq!(answer.status, 400, "{path}: {answer:?}");
        assert!(answer.body["error"].as_str().unwrap().contains(words), "{path}: {answer:?}");
    }
    for path in ["/resign?cooldown=1s", "/hold?term=1"] {
        let (status, body) = post(&sidecar, path, "", "");
        assert_eq!(status, 400, "{path}: {body}");
    }
    assert!(sidecar.leader().leads(), "it has not resigned");
    assert_eq!(sidecar.status("/leader?min-valid=1ms&wait=1s"), 200);
    assert_eq!(sidecar.status("/nothing?x=y"), 404);
}
