//! Drop-in answers: clients of the sidecars that came before, as they find them by the variables
//! of their platform, work unchanged.

use serde_json::Value;

use support::raw::{Events, post, raw};
use support::{Pasture, Sidecar, eventually, get};

fn leader(pasture: &Pasture) -> Sidecar {
    let sidecar = Sidecar::start("web-0", &pasture.store());
    eventually("it leads", || sidecar.leader().leads().then_some(()));
    sidecar
}

/// Exactly the two fields: some clients refuse more.
#[track_caller]
fn is_name(answer: &Value, name: &str) {
    let fields: Vec<_> = answer.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["last_update", "name"], "{answer}");
    assert_eq!(answer["name"], name);
    assert!(humantime::parse_rfc3339(answer["last_update"].as_str().unwrap()).is_ok(), "{answer}");
}

#[test]
fn a_client_of_elector_path_works() {
    let pasture = Pasture::new();
    let sidecar = leader(&pasture);
    // Host and port, without the protocol.
    let elector_path = sidecar.url.trim_start_matches("http://");
    is_name(&get(&format!("http://{elector_path}")).unwrap().body, "web-0");
}

#[test]
fn a_client_of_elector_get_url_works() {
    let pasture = Pasture::new();
    let sidecar = leader(&pasture);
    for accept in ["", "Accept: */*\r\n", "Accept: application/json\r\n"] {
        let request = format!("GET / HTTP/1.1\r\nHost: x\r\n{accept}Connection: close\r\n\r\n");
        let (status, body) = raw(&sidecar, &request);
        assert_eq!(status, 200, "{accept}");
        is_name(&serde_json::from_str(&body).unwrap(), "web-0");
    }
    let standby = Sidecar::start("web-1", &pasture.store());
    eventually("it knows", || standby.leader().holder().map(drop));
    is_name(&get(&format!("{}/", standby.url)).unwrap().body, "web-0");
    is_name(&get(&format!("{}/elections/default", standby.url)).unwrap().body, "web-0");
}

#[test]
fn a_client_of_elector_sse_url_works() {
    let pasture = Pasture::new();
    let sidecar = leader(&pasture);
    let standby = Sidecar::start("web-1", &pasture.store());
    eventually("it knows", || standby.leader().holder().map(drop));
    let mut names = Events::of(&sidecar, "/sse");
    assert!(names.head.contains("content-type: text/event-stream"), "{}", names.head);
    is_name(&names.receive().data, "web-0");
    let mut events = Events::of(&sidecar, "/events");
    assert_eq!(events.receive().name(), "web-0");
    assert_eq!(post(&sidecar, "/resign", "", r#"{"cooldown":"1h"}"#).0, 200);
    let last = names.until(|message| message.name() == "web-1").data;
    is_name(&last, "web-1");
    // The same two fields, among others.
    let last = events.until(|message| message.name() == "web-1").data;
    assert!(last["last_update"].is_string() && last["holderIdentity"] == "web-1", "{last}");
}
