//! `examples/django-once` on a real Postgres: what eight instances that migrate at once do to a
//! database, and what they do with `bellwether once` in front.

mod instance;
mod readme;
mod shop;

use instance::Instance;
use serde_json::Value;
use shop::{MIGRATE, Shop};
use support::{QUICK, bellwether, eventually};

const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

/// What Django says when it has something to do, and before it does it.
const RUNS: &str = "Running migrations:";
const APPLIES: &str = "Applying accounts.0002_halve_the_credit...";

fn migrate_without(shop: &Shop, name: &'static str) -> Instance {
    Instance::start(name, shop.python(&MIGRATE))
}

fn migrate_once(shop: &Shop, name: &'static str, timing: &[&str]) -> Instance {
    let mut command = bellwether();
    command.args(["once", "--identity", name, "--key", "release-2"]).args(timing);
    command.env("BELLWETHER_STORE", shop.url());
    Instance::start(name, shop.python_under(command, &MIGRATE))
}

fn elected(instance: &Instance) -> bool {
    instance.log.events("elected") > 0
}

/// Lines of all instances' output that contain `part`.
fn count(all: &[Instance], part: &str) -> usize {
    all.iter().map(|instance| instance.output.count(part)).sum()
}

#[test]
fn without_bellwether_eight_that_migrate_at_once_do_it_eight_times() {
    let shop = Shop::at_release_1();
    let held = shop.hold_the_last_account();
    let mut all = NAMES.map(|name| migrate_without(&shop, name));
    eventually("all are in the middle of it", || (shop.waiting() == 8).then_some(()));
    drop(held);
    assert_eq!(all.each_mut().map(Instance::exit_code), [Some(0); 8], "and none fails");
    let twice = |credits: u64| credits << 8;
    assert_eq!(shop.balances(), [100, 40, 5].map(twice), "each balance is doubled eight times");
    assert_eq!(shop.times_recorded(), 8);
}

#[test]
fn without_bellwether_all_but_one_crash_on_an_empty_database() {
    let shop = Shop::empty();
    let held = shop.hold_the_catalog();
    let mut all = NAMES.map(|name| migrate_without(&shop, name));
    eventually("all are about to create a table", || (shop.waiting() == 8).then_some(()));
    drop(held);
    let codes = all.each_mut().map(Instance::exit_code);
    assert_eq!(codes.iter().filter(|code| **code == Some(0)).count(), 1, "{codes:?}");
    assert_eq!(codes.iter().filter(|code| **code == Some(1)).count(), 7, "{codes:?}");
    let crashed = all.iter().filter(|instance| {
        instance.log.count("MigrationSchemaMissing: Unable to create the django_migrations") > 0
    });
    assert_eq!(crashed.count(), 7);
}

#[test]
fn with_bellwether_eight_that_migrate_at_once_do_it_once_and_all_succeed() {
    let shop = Shop::at_release_1();
    let held = shop.hold_the_last_account();
    let mut all = NAMES.map(|name| migrate_once(&shop, name, &[]));
    eventually("one is in the middle of it, and the others wait for it", || {
        let follows = |one: &&Instance| one.log.events("following") > 0;
        let waiting = all.iter().filter(follows).count();
        (waiting == 7 && shop.waiting() == 1).then_some(())
    });
    drop(held);
    assert_eq!(all.each_mut().map(Instance::exit_code), [Some(0); 8]);
    assert_eq!((count(&all, RUNS), count(&all, APPLIES)), (1, 1), "one run");
    assert_eq!(shop.balances(), [200, 80, 10]);
    assert_eq!(shop.times_recorded(), 1);
}

#[test]
fn with_bellwether_eight_on_an_empty_database_create_the_tables_once_and_all_succeed() {
    let shop = Shop::empty();
    let mut all = NAMES.map(|name| migrate_once(&shop, name, &[]));
    assert_eq!(all.each_mut().map(Instance::exit_code), [Some(0); 8]);
    assert_eq!((count(&all, RUNS), count(&all, APPLIES)), (1, 1), "one run");
    assert_eq!(shop.times_recorded(), 1);
}

#[test]
fn with_bellwether_a_first_runner_that_is_killed_in_the_middle_changes_nothing() {
    let shop = Shop::at_release_1();
    let held = shop.hold_the_last_account();
    let mut all = NAMES.map(|name| migrate_once(&shop, name, &QUICK));
    eventually("one is in the middle of it", || {
        (shop.waiting() == 1 && all.iter().any(elected)).then_some(())
    });
    let first = all.iter().position(elected).unwrap();
    all[first].kill();
    eventually("another one takes over", || {
        (all.iter().filter(|one| elected(one)).count() > 1).then_some(())
    });
    drop(held);
    // As a supervisor does with an instance that died.
    let restarted = migrate_once(&shop, NAMES[first], &QUICK);
    let killed = std::mem::replace(&mut all[first], restarted);
    assert_eq!(all.each_mut().map(Instance::exit_code), [Some(0); 8]);
    assert_eq!(killed.output.count("OK"), 0, "the first one was cut off");
    assert_eq!(shop.balances(), [200, 80, 10], "doubled once");
    assert_eq!(shop.times_recorded(), 1);
    assert_eq!(all[first].output.count(RUNS), 0, "the work was done when it came back");

    let status = bellwether().args(["status", "--json", "--store", shop.url()]).output().unwrap();
    let records: Vec<Value> = serde_json::from_slice(&status.stdout).unwrap();
    let work = records.iter().find(|record| record["name"] == "default").unwrap();
    let key = work["work"]["keys"].as_array().unwrap().iter().find(|key| key["key"] == "release-2");
    let key = key.unwrap_or_else(|| panic!("{work}"));
    assert_eq!(key["state"], "done", "{work}");
    assert_ne!(key["holderIdentity"], NAMES[first], "{work}");
}
