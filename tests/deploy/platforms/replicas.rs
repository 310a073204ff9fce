//! deploy/compose/replicas.yaml, by the real Compose on a real engine: four replicas, a new image.

use std::fs;
use std::process::Command;

use crate::platforms::engine::{Engine, Project};
use crate::platforms::tools::{must, root};
use support::eventually;

const FILE: &str = "deploy/compose/replicas.yaml";
const SHOP: &str = "deploy/compose/shop";

fn build(engine: &Engine, commit: &str, count: &str) {
    let (commit, count) = (format!("GIT_SHA={commit}"), format!("GIT_COUNT={count}"));
    engine.build("shop:latest", &root().join(SHOP), &[&commit, &count]);
}

/// The keys for which the migration has run, in order.
fn migrations(project: &Project<'_>) -> Vec<String> {
    let list = ["exec", "-T", "shop", "cat", "/var/lib/shop/migrations"];
    must(&mut project.compose(&list)).lines().map(str::to_owned).collect()
}

fn serve(project: &Project<'_>, commit: &str, replicas: usize) {
    let line = format!("serving {commit}");
    eventually("all replicas serve", || {
        (project.logs("shop").matches(&line).count() == replicas).then_some(())
    });
}

#[test]
fn each_image_is_migrated_once_by_four_replicas_and_each_stops_in_order() {
    let engine = Engine::new();
    build(&engine, "c0ffee", "1");
    let project = engine.project(&root().join(FILE), &[]);
    project.up(&[]);
    serve(&project, "c0ffee", 4);
    assert_eq!(migrations(&project), ["c0ffee"]);

    // The same name, another image, as a registry has it after a release.
    build(&engine, "d00d1e", "2");
    project.up(&["--scale", "shop=5"]);
    serve(&project, "d00d1e", 5);
    assert_eq!(migrations(&project), ["c0ffee", "d00d1e"]);

    must(&mut project.compose(&["stop"]));
    assert_eq!(project.logs("shop").matches("ended in order").count(), 5);
    let codes = project.exit_codes();
    assert!(codes.len() == 5 && codes.iter().all(|(_, code)| *code == 0), "{codes:?}");
    must(&mut project.compose(&["down", "--volumes"]));
}

/// A shell as the first process would not pass the signal on, and be killed.
#[test]
fn a_stop_reaches_a_migration_that_runs_and_those_that_wait_for_it() {
    let engine = Engine::new();
    let folder = tempfile::tempdir().unwrap();
    must(Command::new("cp").arg("-a").arg(root().join(SHOP).join(".")).arg(folder.path()));
    fs::write(folder.path().join("migrate"), "#!/bin/sh\nsleep 600\n").unwrap();
    engine.build("shop:latest", folder.path(), &["GIT_SHA=c0ffee", "GIT_COUNT=1"]);
    let project = engine.project(&root().join(FILE), &[]);
    project.up(&[]);
    let started = "starting the command";
    eventually("one migrates", || project.logs("shop").contains(started).then_some(()));
    must(&mut project.compose(&["stop"]));
    let codes = project.exit_codes();
    assert!(codes.len() == 4 && codes.iter().all(|(_, code)| *code == 143), "{codes:?}");
    // One that waited may have begun in between, or have claimed the lease as it was stopped: then it
    // vacates without being elected.
    let log = project.logs("shop");
    assert!(log.matches("lease vacated").count() >= log.matches("elected: ").count(), "{log}");
    must(&mut project.compose(&["down", "--volumes"]));
}

/// What the image says when it was built without a commit, and so has no key.
#[test]
fn an_image_without_a_commit_is_not_built() {
    let engine = Engine::new();
    let mut build = engine.podman.command();
    build.args(["build", "--isolation", "chroot", "--pull=never"]);
    let output = build.arg(root().join(SHOP)).output().unwrap();
    assert!(!output.status.success());
}
