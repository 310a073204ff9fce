//! `--advertise`: every candidate shows where the leader can be reached, while one is known.

use serde_json::Value;

use support::raw::{Events, post};
use support::{Pasture, QUICK_LEASE, Sidecar, bellwether, eventually};

const FIRST: &str = "http://10.0.0.1:8080";

fn url(sidecar: &Sidecar, path: &str) -> Value {
    sidecar.get(path).expect("it answers").body["holderUrl"].clone()
}

fn in_status(store: &str, words: &[&str]) -> String {
    let mut command = bellwether();
    let output = command.args(["status", "--store", store]).args(words).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn row(store: &str) -> Value {
    let rows: Value = serde_json::from_str(&in_status(store, &["--json"])).unwrap();
    rows[0].clone()
}

#[test]
fn a_standby_shows_the_url_of_the_leader_while_one_is_known() {
    let pasture = Pasture::new();
    let store = pasture.store();
    let first = ["--election", "a,b", "--advertise", "http://10.0.0.1:8080/"];
    let mut first = Sidecar::start_with("first", &store, &first);
    eventually("it leads", || first.leader().leads().then_some(()));
    assert_eq!(url(&first, "/leader"), FIRST);
    let standby = ["--election", "a,b", "--advertise", "https://second.example/app"];
    let standby = Sidecar::start_with("second", &store, &standby);
    let mut events = Events::of(&standby, "/elections/a/events");
    for election in ["a", "b"] {
        let path = format!("/elections/{election}/leader");
        eventually("it is known", || (url(&standby, &path) == FIRST).then_some(()));
    }
    let all = standby.get("/elections").unwrap().body;
    assert_eq!(
        (&all["elections"][0]["holderUrl"], &all["elections"][1]["holderUrl"]),
        (&FIRST.into(), &FIRST.into())
    );
    assert_eq!(events.until(|message| message.name() == "first").data["holderUrl"], FIRST);
    assert_eq!((&row(&store)["holderUrl"], &row(&store)["state"]), (&FIRST.into(), &"held".into()));
    let wide = in_status(&store, &["--wide"]);
    assert!(wide.contains(FIRST), "{wide}");

    // A leader that resigns is none; the next one has another URL.
    assert_eq!(post(&first, "/elections/a/resign", "", r#"{"cooldown":"1h"}"#).0, 200);
    eventually("the next leads", || standby.leader().leads().then_some(()));
    assert_eq!(url(&standby, "/leader"), "https://second.example/app");
    eventually("known", || (url(&first, "/leader") == "https://second.example/app").then_some(()));
    drop(standby);
    first.signal("STOP");
    std::thread::sleep(QUICK_LEASE * 2);
    let over = row(&store);
    assert_eq!((&over["state"], &over["holderUrl"]), (&"over".into(), &Value::Null), "{over}");
    first.signal("CONT");
    eventually("no instance is known to lead", || url(&first, "/leader").is_null().then_some(()));
    first.kill();
}

#[test]
fn a_leader_without_a_url_has_none() {
    let pasture = Pasture::new();
    let mut first = Sidecar::start_with("first", &pasture.store(), &["--advertise", FIRST]);
    eventually("it leads", || first.leader().leads().then_some(()));
    first.kill();
    let second = Sidecar::start("second", &pasture.store());
    eventually("it leads", || second.leader().leads().then_some(()));
    assert!(url(&second, "/leader").is_null());
    assert!(row(&pasture.store())["holderUrl"].is_null());
    assert!(!in_status(&pasture.store(), &["--wide"]).contains("URL"));
}

#[test]
fn the_address_of_this_host_is_filled_in() {
    let pasture = Pasture::new();
    let sidecar = Sidecar::start_with("a", &pasture.store(), &["--advertise", "http://{ip}:80/x"]);
    eventually("it leads", || sidecar.leader().leads().then_some(()));
    let shown = url(&sidecar, "/leader");
    let address = shown.as_str().unwrap().strip_prefix("http://").unwrap().strip_suffix("/x");
    let address: std::net::IpAddr = address.unwrap().trim_matches(['[', ']']).parse().unwrap();
    // An address of this host: no other can be bound.
    assert!(!address.is_loopback());
    std::net::TcpListener::bind((address, 0)).unwrap();
}

#[test]
fn a_bad_url_ends_the_start_and_is_not_repeated() {
    let pasture = Pasture::new();
    for bad in
        ["10.0.0.1:8080", "ftp://h", "http://u:hunter2@h", "http://h/?k=hunter2", "http://h/\u{7}"]
    {
        for command in [&["serve"][..], &["run", "--", "true"]] {
            let mut program = bellwether();
            program.arg(command[0]).args(["--store", &pasture.store(), "--advertise", bad]);
            let output = program.args(&command[1..]).output().unwrap();
            let printed = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(64), "{bad}: {printed}");
            assert!(printed.contains("--advertise: it "), "{bad}: {printed}");
            assert!(!printed.contains("hunter2") && !printed.contains('\u{7}'), "{bad}: {printed}");
        }
    }
    assert!(!pasture.path().exists(), "nothing was opened");
}
