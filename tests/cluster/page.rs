//! The ten minutes of docs/kubernetes.md, as a new user types them.

use std::fs;
use std::process::Command;

use crate::node::patiently;
use crate::place::Place;
use support::tools::{must, project, tool_path};

/// The commands of a part of the page.
fn commands(title: &str) -> Vec<String> {
    let page = fs::read_to_string(project().join("docs/kubernetes.md")).unwrap();
    let (_, part) = page.split_once(&format!("\n## {title}")).unwrap();
    let part = part.split("\n## ").next().unwrap();
    part.lines().filter_map(|line| line.strip_prefix("$ ")).map(str::to_owned).collect()
}

/// Runs the commands as a user does, in the namespace `default`, and returns what each printed.
fn typed(place: &Place, commands: &[String]) -> Vec<(String, String)> {
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", tool_path("helm4").display());
    let run = |line: &String| {
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).current_dir(project()).envs(place.node.user()).env("PATH", &path);
        let output = must(&mut shell);
        println!("$ {line}\n{output}");
        (line.clone(), output)
    };
    commands.iter().map(run).collect()
}

fn names(place: &Place, kind: &str) -> String {
    must(&mut place.kubectl(&["get", kind, "--output=name"]))
}

#[test]
fn ten_minutes_from_nothing_to_a_leader() {
    let place = Place::default_one();
    let all = commands("Ten minutes");
    // The first two build the image and bring it to another kind of cluster: here that is done.
    assert!(all[0].starts_with("make image") && all[1].starts_with("kind load"), "{all:?}");
    let printed = typed(&place, &all[2..]);
    let of = |part: &str| {
        let found = printed.iter().find(|(line, _)| line.contains(part));
        found.map(|(_, output)| output.as_str()).unwrap_or_else(|| panic!("no {part}"))
    };
    assert!(of("--prefix --selector").contains(" works"), "the application");
    assert!(of("--container bellwether").contains("\"event\":\"elected\""), "the sidecar");
    assert!(of("helm test").contains("Succeeded"));
    patiently("all of it has gone", || {
        let left = [names(&place, "pods"), names(&place, "leases")].concat();
        (!left.contains("demo")).then_some(())
    });
}

#[test]
fn an_application_without_helm() {
    let place = Place::default_one();
    typed(&place, &commands("Without Helm"));
    patiently("one works", || {
        let logs = must(&mut place.kubectl(&["logs", "--prefix", "--selector=app=shop"]));
        logs.contains(" works").then_some(())
    });
    must(place.kubectl(&["delete", "-f"]).arg(project().join("deploy/kubernetes/plain.yaml")));
}
