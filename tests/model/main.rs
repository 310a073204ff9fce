//! The model checker on the program's own elector: every order of events, and every fault at every moment.
//!
//! The simulation (`tests/core`) draws from what may happen; this searches all of it, in a smaller world.
//! The states that follow from each other are finitely many, because they are distinguished by what the
//! candidates do from then on (`key.rs`): so a search ends, and covers runs of any length with so many faults.
//!
//! ```text
//! make model                                                     with more faults, and three candidates
//! BELLWETHER_FAULTS=2 cargo test --test model -- --nocapture     with so many faults in each search
//! BELLWETHER_SEARCH=hints cargo test --test model                those with this in their name only
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests fail by panicking, and print what they searched"
)]

mod key;
mod node;
mod properties;
mod setup;
mod store;
mod world;

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::thread;

use stateright::{Checker, Expectation, HasDiscoveries, Model, Path};

use key::Key;
use properties::Election;
use setup::{SEARCHES, Setup};
use world::{Act, World};

/// Every search, with one fault, or as many as `make model` wants.
#[test]
fn every_property_holds_in_every_state() {
    let variable = |name| std::env::var(name).unwrap_or_default();
    let (faults, chosen) = (variable("BELLWETHER_FAULTS"), variable("BELLWETHER_SEARCH"));
    let is_chosen = |setup: &Setup| setup.name.contains(&chosen);
    assert!(
        SEARCHES.iter().any(|(setup, _)| is_chosen(setup)),
        "BELLWETHER_SEARCH={chosen}: no search has this in its name"
    );
    for (setup, most) in SEARCHES.iter().filter(|(setup, _)| is_chosen(setup)) {
        let faults = match faults.as_str() {
            "" => setup.faults,
            "most" => *most,
            number => number.parse().unwrap(),
        };
        search(Setup { faults, ..*setup });
    }
}

fn search(setup: Setup) {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let failures = HasDiscoveries::AnyFailures;
    let search = Election(setup).checker().threads(cores).finish_when(failures).spawn_bfs().join();
    let (states, depth) = (search.unique_state_count(), search.max_depth());
    let Setup { name, faults, .. } = setup;
    println!("{name}, {faults} faults: {states} states, depth {depth}");
    let found = search.discoveries();
    let properties = search.model().properties();
    // All of them: which of two is found first depends on the threads.
    let broken =
        properties.iter().filter(|property| property.expectation != Expectation::Sometimes);
    let broken: Vec<_> = broken.filter_map(|property| found.get_key_value(property.name)).collect();
    let traces = broken.iter().map(|(property, path)| format!("\n{property}\n{}", trace(path)));
    assert!(broken.is_empty(), "{name}:{}", traces.collect::<String>());
    for property in properties {
        assert!(
            found.contains_key(property.name) || property.expectation != Expectation::Sometimes,
            "{name}: never {}",
            property.name
        );
    }
}

/// What happened until a property did not hold, for people.
fn trace(path: &Path<World, Act>) -> String {
    let steps = path.clone().into_vec();
    let begin = steps[0].0.now;
    let mut text = String::new();
    for (world, act) in steps {
        let milliseconds = (world.now - begin) / 1_000_000;
        let leaders: Vec<_> =
            world.nodes.iter().map(|node| node.leads(world.now).map(|term| term.get())).collect();
        let act = act.map_or_else(String::new, |act| format!("{act:?}"));
        writeln!(text, "{milliseconds:>7} ms  leading {leaders:?}, then {act}").unwrap();
    }
    text
}

/// Two states that count as one have equal successors. Otherwise the search would leave out what follows from the
/// second of them.
#[test]
fn equal_keys_lead_to_equal_successors() {
    // Where candidates are alike, those that are due at one instant come in another order.
    for (setup, _) in SEARCHES.iter().filter(|(setup, _)| setup.clocks[0] != setup.clocks[1]) {
        let first = World::new(setup);
        let mut known: HashMap<Key, World> = HashMap::new();
        known.insert(first.key().clone(), first.clone());
        let (mut next, mut compared) = (VecDeque::from([first]), 0);
        while let Some(world) = next.pop_front().filter(|_| known.len() < 20_000) {
            for after in successors(setup, &world) {
                match known.get(after.key()) {
                    None => {
                        known.insert(after.key().clone(), after.clone());
                        next.push_back(after);
                    }
                    Some(same) => {
                        let keys = |world| {
                            let all = successors(setup, world);
                            all.iter().map(|world| world.key().clone()).collect::<Vec<_>>()
                        };
                        assert_eq!(
                            keys(same),
                            keys(&after),
                            "{}: {same:#?}\n{after:#?}",
                            setup.name
                        );
                        compared += 1;
                    }
                }
            }
        }
        println!("{}: {compared} pairs", setup.name);
        assert!(compared > 1_000, "{}: only {compared} pairs", setup.name);
    }
}

fn successors(setup: &Setup, world: &World) -> Vec<World> {
    let mut acts = Vec::new();
    world.acts(setup, &mut acts);
    acts.into_iter().map(|act| world.after(setup, act)).collect()
}
