//! The change-over of docs/migration.md: who stands in the new election leads in the old one.

use std::fs;
use std::process::Command;

use crate::docs::pages::{arguments_of_serve, example};
use support::{Pasture, Sidecar, bellwether, eventually};

#[test]
fn only_the_leader_of_the_old_election_stands_in_the_new_one() {
    let pasture = Pasture::new();
    let example = example("docs/migration.md", "gate").replace("127.0.0.1:4041", "127.0.0.1:0");
    let arguments = arguments_of_serve(&example.replace("\\\n", " "));
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    // `curl` as the example calls it, and an old sidecar that it asks.
    let tools = pasture.folder().join("tools");
    fs::create_dir(&tools).unwrap();
    let old = pasture.folder().join("old");
    let elects = |name: &str| fs::write(&old, format!("{{\"name\":\"{name}\"}}\n")).unwrap();
    let curl = format!("#!/bin/sh\ncat '{}'\n", old.display());
    fs::write(tools.join("curl"), curl).unwrap();
    Command::new("chmod").arg("+x").arg(tools.join("curl")).status().unwrap();
    let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap());
    let start = |name: &str| {
        let mut command = bellwether();
        command.env("PATH", &path).env("HOSTNAME", name);
        let more =
            [&arguments[..], &["--gate-period", "200ms", "--gate-timeout", "200ms"]].concat();
        Sidecar::start_as(name, &pasture.store(), &more, command)
    };
    elects("b");
    let (a, b) = (start("a"), start("b"));
    eventually("b leads in both", || b.leader().leads().then_some(()));
    assert!(!a.leader().leads());
    elects("a");
    eventually("a leads in both", || a.leader().leads().then_some(()));
    assert!(!b.leader().leads());
}
