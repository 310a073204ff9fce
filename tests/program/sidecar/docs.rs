//! The examples of `docs/sidecar.md`, run as they stand, but for the port.

use std::fs;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::sidecar::app::App;
use crate::sidecar::gate_url::{leads, leads_not};
use crate::sidecar::service::{Reply, Service};
use support::{Pasture, Sidecar, bellwether, eventually};

/// The code after the comment that says that this file runs it.
fn example(name: &str) -> String {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/sidecar.md");
    let page = fs::read_to_string(page).unwrap();
    let mark = format!("<!-- run by tests/program/sidecar/docs.rs: {name} -->\n```");
    let (_, after) = page.split_once(&mark).unwrap_or_else(|| panic!("no example '{name}'"));
    let (_, code) = after.split_once('\n').unwrap();
    code.split_once("\n```").unwrap().0.to_owned()
}

/// The arguments of `bellwether serve` in an example, as a shell reads them.
fn arguments(example: &str) -> Vec<String> {
    let script = format!("bellwether() {{ printf '%s\\0' \"$@\"; }}; {example}");
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut words = text.split_terminator('\0').map(str::to_owned);
    assert_eq!(words.next().as_deref(), Some("serve"));
    words.collect()
}

fn serve(pasture: &Pasture, arguments: &[String], environment: &[(&str, &str)]) -> Sidecar {
    let mut command = bellwether();
    command.current_dir(pasture.folder()).envs(environment.iter().copied());
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    Sidecar::start_as("a", &pasture.store(), &arguments, command)
}

#[test]
fn the_gate_with_a_url() {
    let (pasture, mut app) = (Pasture::new(), App::start());
    let example = example("url").replace("127.0.0.1:8080", &format!("127.0.0.1:{}", app.port()));
    let sidecar = serve(&pasture, &arguments(&example), &[]);
    leads(&sidecar);
    app.die();
    leads_not(&sidecar);
}

#[test]
fn the_gate_with_a_command() {
    let pasture = Pasture::new();
    let sidecar = serve(&pasture, &arguments(&example("command")), &[]);
    leads(&sidecar);
    fs::write(pasture.folder().join("maintenance"), "").unwrap();
    leads_not(&sidecar);
}

#[test]
fn the_gate_on_ecs() {
    let pasture = Pasture::new();
    let task = |status: &str| {
        Reply::Body(format!(r#"{{"Containers":[{{"Name":"app","KnownStatus":"{status}"}}]}}"#))
    };
    let service = Service::start(&[("GET /v4/abc/task", task("RUNNING"))]);
    let container: Value = serde_json::from_str(&example("ecs")).unwrap();
    let words: Vec<String> = serde_json::from_value(container["command"].clone()).unwrap();
    let metadata = ("ECS_CONTAINER_METADATA_URI_V4", &*service.ecs());
    let sidecar = serve(&pasture, &words[1..], &[metadata]);
    leads(&sidecar);
    service.answers("GET /v4/abc/task", task("STOPPED"));
    leads_not(&sidecar);
}

/// The application of the page, at a port, beside this sidecar.
fn redirecting(port: u16, sidecar: &Sidecar) -> Child {
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", &example("redirect")]).env("BELLWETHER_SIDECAR", &sidecar.url);
    command.env("PORT", port.to_string()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn a_standby_sends_clients_to_the_leader() {
    let pasture = Pasture::new();
    let [first, second] = [App::start(), App::start()];
    let ports = [first.port(), second.port()];
    drop((first, second));
    let beside = |name: &str, port: u16| {
        let words = arguments(&example("advertise").replace(":8080", &format!(":{port}")));
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        Sidecar::start_with(name, &pasture.store(), &words)
    };
    let mut leader = beside("a", ports[0]);
    leads(&leader);
    let standby = beside("b", ports[1]);
    eventually("it knows", || standby.leader().holder().map(drop));
    let mut apps = [redirecting(ports[0], &leader), redirecting(ports[1], &standby)];
    let fetch = |port: u16| {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--location", "--max-time", "10"]);
        let output = command.arg(format!("http://127.0.0.1:{port}/orders")).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for port in ports {
        eventually("the leader answers", || (fetch(port) == "written by a").then_some(()));
    }
    leader.signal("TERM");
    leader.wait();
    eventually("the next one does", || (fetch(ports[1]) == "written by b").then_some(()));
    for app in &mut apps {
        app.kill().unwrap();
        app.wait().unwrap();
    }
}

#[test]
fn the_hooks() {
    let pasture = Pasture::new();
    let mut sidecar = serve(&pasture, &arguments(&example("hooks")), &[]);
    let written = || fs::read_to_string(pasture.folder().join("leader.txt")).unwrap_or_default();
    eventually("the hook has run", || (written() == "a leads in term 1\n").then_some(()));
    sidecar.signal("TERM");
    assert!(sidecar.wait().success());
    assert_eq!(written(), "lost: shutting_down\n");
}
