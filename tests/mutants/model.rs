//! Mistakes in the election that the model checker finds too: that it can fail, and that it sees in one
//! search what the simulation has to draw.

use std::fs;
use std::path::Path;

use super::{Copy, Mutant, copy, core, dependencies, together};

struct Found {
    /// The name of a mistake of [`core::MUTANTS`].
    bug: &'static str,
    /// The search that finds it.
    search: &'static str,
    faults: &'static str,
    /// The property that it names.
    breaks: &'static str,
}

const ONE_BELIEVER: &str = "I1 one believer";
const TERMS_GROW: &str = "I2 terms grow";
const A_LEADER_EXISTS: &str = "I3 a leader exists";

const FOUND: &[Found] = &[
    found("belief is counted from the reply", "slow clock", "2", ONE_BELIEVER),
    found("readers see a flag instead of a deadline", "slow clock", "1", ONE_BELIEVER),
    found("an unknown outcome is taken for a success", "slow clock", "2", ONE_BELIEVER),
    found("a rival counts from when it sent its look", "slow clock", "2", ONE_BELIEVER),
    found("a stepped store clock overrules what was seen", "steps", "2", ONE_BELIEVER),
    found("a look at the own record grants belief", "slow clock", "1", TERMS_GROW),
    found("the own record is claimed again under its old term", "slow clock", "1", TERMS_GROW),
    found("a late renewal revives a lapsed term", "slow clock", "1", TERMS_GROW),
    found("a candidate never looks again after a failed swap", "slow clock", "2", A_LEADER_EXISTS),
];

const fn found(
    bug: &'static str,
    search: &'static str,
    faults: &'static str,
    breaks: &'static str,
) -> Found {
    Found { bug, search, faults, breaks }
}

/// The election, and the model of it, in a crate of their own.
fn modelled() -> Copy {
    let copied = Copy { root: Path::new(env!("CARGO_TARGET_TMPDIR")).join("modelled") };
    let (root, home) = (&copied.root, Path::new(env!("CARGO_MANIFEST_DIR")));
    for folder in ["src/election", "tests/model"] {
        let _ = fs::remove_dir_all(root.join(folder));
        copy(&home.join(folder), &root.join(folder));
    }
    fs::copy(home.join("src/election.rs"), root.join("src/election.rs")).unwrap();
    fs::write(root.join("src/lib.rs"), "pub mod election;\n".to_owned() + &together::choice())
        .unwrap();
    fs::copy(home.join("Cargo.lock"), root.join("Cargo.lock")).unwrap();
    let needed = ["fastrand", "humantime", "serde", "serde_json", "stateright", "thiserror", "url"];
    fs::write(root.join("Cargo.toml"), dependencies(&needed, 1)).unwrap();
    copied
}

/// The bug has this number.
fn finds(copied: &Copy, found: &Found, number: usize) -> Result<(), String> {
    let Found { bug, search, faults, breaks } = found;
    let number = number.to_string();
    let environment = [
        ("BELLWETHER_FAULTS", *faults),
        ("BELLWETHER_SEARCH", *search),
        (together::VARIABLE, number.as_str()),
    ];
    let arguments = ["test", "--test", "model", "every_property"];
    let (passed, printed) = copied.cargo(&arguments, &environment);
    let verdict = printed.lines().find(|line| line.starts_with(breaks));
    println!("{bug}: {}", verdict.unwrap_or("not found"));
    if passed || verdict.is_none() {
        return Err(format!("{bug}: it does not break {breaks}, the model says:\n{printed}"));
    }
    Ok(())
}

#[test]
fn the_model_finds_planted_bugs() {
    let copied = modelled();
    let environment = [("BELLWETHER_SEARCH", "default timing")];
    let (passed, printed) =
        copied.cargo(&["test", "--test", "model", "every_property"], &environment);
    assert!(passed, "the model fails without a planted bug:\n{printed}");
    let of = |found: &Found| core::MUTANTS.iter().find(|mutant| mutant.name == found.bug).unwrap();
    together::plant(&copied.root.join("src"), &FOUND.iter().map(of).collect::<Vec<&Mutant>>());
    let finds = |(at, found)| finds(&copied, found, at + 1).err();
    let missed: Vec<_> = FOUND.iter().enumerate().filter_map(finds).collect();
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
