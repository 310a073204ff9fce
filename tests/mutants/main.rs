//! Planted bugs: they show that the simulation can fail.
//!
//! Each mutant is the real source of the election core, or of the code around it, with one mistake
//! in it, so the source itself needs no switches for tests. The simulated code and the simulation
//! are copied into a crate of their own. The simulation has to fail there and name an invariant. Most of them share
//! a build of it: see [`mod@together`].
//!
//! ```text
//! BELLWETHER_MUTANT="gate" cargo test --test mutants -- --nocapture    those with this in their name
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may panic, and what is printed is its report; the lints' exemption for tests \
              does not reach helpers outside of test functions"
)]

mod core;
mod model;
mod seams;
mod seeds;
mod together;

use std::fs;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use seeds::Seeds;

struct Mutant {
    name: &'static str,
    edits: &'static [Edit],
    /// The invariant that the mistake is about. Another one may show it first.
    breaks: &'static str,
}

struct Edit {
    /// In `src/`.
    file: &'static str,
    /// Has to be there exactly once.
    original: &'static str,
    replacement: &'static str,
}

const fn edit(file: &'static str, original: &'static str, replacement: &'static str) -> Edit {
    Edit { file, original, replacement }
}

/// What is copied beside the folders.
const PARTS: [&str; 9] = [
    "election.rs",
    "driver.rs",
    "time/alarm.rs",
    "time/clock.rs",
    "gate.rs",
    "api/hold.rs",
    "metrics.rs",
    "once.rs",
    "store/contract.rs",
];

/// The crate, without what the simulation plays: commands, checks, HTTP, the stores.
const LIB: &str = "pub mod driver;\npub mod election;\npub mod gate;\npub mod metrics;\npub mod once;\npub mod store;\n\
                   pub mod api { pub mod hold; }\npub mod time { pub mod alarm; pub mod clock; }\n\
                   pub mod platform { pub mod identity {\n\
                   pub fn incarnation() -> String { String::new() } } }\n";

const STORE: &str =
    "mod contract;\npub use contract::{Notifier, Hint, Hints, Listing, Store, StoreError};\n";

/// Takes longer to build, and pays off after a few seeds.
const OPTIMIZED: (&str, &str) = ("CARGO_PROFILE_DEV_OPT_LEVEL", "1");

/// Which tests of the simulation.
const ALL: &str = "simulation::";
const INVARIANTS: &str = "every_invariant";

/// For each bug: the seed that shows it, or why there is none.
type Outcomes = Vec<(&'static str, Result<String, String>)>;

/// The copy of what is simulated, and of the simulation.
struct Copy {
    root: PathBuf,
}

impl Copy {
    fn new(name: &str) -> Self {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let home = Path::new(env!("CARGO_MANIFEST_DIR"));
        for part in ["src", "tests"] {
            let _ = fs::remove_dir_all(root.join(part));
        }
        for folder in ["src/election", "src/driver", "src/once", "tests/core/simulation"] {
            copy(&home.join(folder), &root.join(folder));
        }
        let simulation = "tests/core/simulation.rs";
        fs::copy(home.join(simulation), root.join(simulation)).unwrap();
        fs::write(root.join("tests/core/main.rs"), "mod simulation;\n").unwrap();
        fs::create_dir_all(root.join("src/store")).unwrap();
        for file in PARTS {
            let part = root.join("src").join(file);
            fs::create_dir_all(part.parent().unwrap()).unwrap();
            fs::copy(home.join("src").join(file), part).unwrap();
        }
        fs::write(root.join("src/lib.rs"), LIB.to_owned() + &together::choice()).unwrap();
        fs::write(root.join("src/store.rs"), STORE).unwrap();
        fs::copy(home.join("Cargo.lock"), root.join("Cargo.lock")).unwrap();
        fs::write(root.join("Cargo.toml"), dependencies(&NEEDED, 0)).unwrap();
        Self { root }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.root.join("src").join(file)
    }

    /// Runs those tests of the simulation, and returns whether they passed and their output.
    fn simulate(&self, what: &str, tests: &str, environment: &[(&str, &str)]) -> (bool, String) {
        let built = self.cargo(&["test", "--test", "core", "--no-run"], environment);
        assert!(built.0, "{what}: it does not even compile:\n{}", built.1);
        self.cargo(&["test", "--test", "core", tests], environment)
    }

    fn cargo(&self, arguments: &[&str], environment: &[(&str, &str)]) -> (bool, String) {
        let output = Command::new(env!("CARGO"))
            .args(arguments)
            .args(["--offline", "--quiet"])
            .current_dir(&self.root)
            // One for all copies: most of what they need is the same.
            .env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("target"))
            .env_remove("BELLWETHER_SEED")
            .env_remove("BELLWETHER_RUNS")
            .env_remove("BELLWETHER_HUNT")
            .env_remove(together::VARIABLE)
            .envs(environment.iter().copied())
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), text(&output.stdout) + &text(&output.stderr))
    }

    /// What `with` returns while the bug is planted.
    fn planted<T>(&self, mutant: &Mutant, with: impl FnOnce() -> T) -> T {
        let Mutant { name, edits, .. } = mutant;
        let originals: Vec<_> = edits.iter().map(|edit| read(&self.path(edit.file))).collect();
        for Edit { file, original, replacement } in *edits {
            let source = read(&self.path(file));
            assert_eq!(
                source.matches(original).count(),
                1,
                "{name}: {file} has to contain this once:\n{original}"
            );
            fs::write(self.path(file), source.replace(original, replacement)).unwrap();
        }
        let outcome = with();
        // Backwards: the first of two edits in a file was read before both.
        for (edit, original) in edits.iter().zip(originals).rev() {
            fs::write(self.path(edit.file), original).unwrap();
        }
        outcome
    }

    /// Returns the seed that shows the bug, which is there. Any invariant that fails is a catch: which one fails
    /// first depends on what the simulation plays. `replay` and `search` say how it is built, and which bug is there.
    fn catches(
        &self,
        Mutant { name, breaks, .. }: &Mutant,
        known: Option<&str>,
        [replay, search]: [&[(&str, &str)]; 2],
    ) -> Result<String, String> {
        let again = known.filter(|seed| {
            let replayed =
                self.simulate(name, INVARIANTS, &[replay, &[("BELLWETHER_SEED", seed)]].concat());
            shows(name, &replayed).is_some()
        });
        if let Some(seed) = again {
            return Ok(seed.to_owned());
        }
        let many = [search, &[("BELLWETHER_RUNS", "100000")]].concat();
        let searched = self.simulate(name, INVARIANTS, &many);
        shows(name, &searched).ok_or_else(|| {
            let printed = searched.1;
            format!("{name}: it breaks nothing, not even {breaks}, the simulation says:\n{printed}")
        })
    }

    /// The outcome of each, one planted after the other.
    fn catches_alone(&self, mutants: &[&'static Mutant], seeds: &Seeds) -> Outcomes {
        let outcome = |mutant: &&'static Mutant| {
            let catches = || self.catches(mutant, seeds.of(mutant.name), [&[], &[OPTIMIZED]]);
            (mutant.name, self.planted(mutant, catches))
        };
        mutants.iter().map(outcome).collect()
    }

    /// The outcome of each, all of them in one build; before that, of the real source.
    fn catches_together(&self, mutants: &[&'static Mutant], seeds: &Seeds) -> Outcomes {
        let (passed, printed) = self.simulate("the real source", ALL, &[OPTIMIZED]);
        assert!(passed, "the simulation fails without a planted bug:\n{printed}");
        together::plant(&self.root.join("src"), mutants);
        let outcome = |(at, mutant): (usize, &&'static Mutant)| {
            let number = (at + 1).to_string();
            let planted = [OPTIMIZED, (together::VARIABLE, number.as_str())];
            (mutant.name, self.catches(mutant, seeds.of(mutant.name), [&planted; 2]))
        };
        mutants.iter().enumerate().map(outcome).collect()
    }

    /// Those that have to be planted alone, and those that share a build.
    fn parted<'a>(
        &self,
        mutants: impl Iterator<Item = &'a Mutant>,
    ) -> (Vec<&'a Mutant>, Vec<&'a Mutant>) {
        mutants.partition(|mutant| !together::can_share(&self.root.join("src"), mutant))
    }
}

/// The seed with which the simulation failed, by what it printed.
fn shows(bug: &str, (passed, printed): &(bool, String)) -> Option<String> {
    let names = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
    let verdict = printed.lines().find(|line| line.strip_prefix('I').is_some_and(names));
    let seed = printed.lines().find_map(|line| line.strip_prefix("replay: BELLWETHER_SEED="));
    let seed =
        seed.and_then(|seed| seed.split(' ').next()).filter(|_| !passed && verdict.is_some());
    println!("{bug}: {} (seed {})", verdict.unwrap_or("not shown"), seed.unwrap_or("none"));
    seed.map(str::to_owned)
}

/// What the simulated code needs.
const NEEDED: [&str; 11] = [
    "async-trait",
    "fastrand",
    "humantime",
    "prometheus",
    "rustix",
    "serde",
    "serde_json",
    "thiserror",
    "tokio",
    "tracing",
    "url",
];

/// The manifest for a crate of the same name with no dependencies but these.
fn dependencies(needed: &[&str], optimized: u8) -> String {
    let manifest = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"));
    let line = |name: &&str| {
        let line = manifest.lines().find(|line| line.starts_with(&format!("{name} = ")));
        line.unwrap_or_else(|| panic!("no line for {name} in Cargo.toml")).to_owned()
    };
    format!(
        "[package]\nname = \"bellwether\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
         [dependencies]\n{}\n[profile.dev]\nopt-level = {optimized}\ndebug = 0\n\
         [profile.dev.package.\"*\"]\nopt-level = 1\n[workspace]\n",
        needed.iter().map(line).collect::<Vec<_>>().join("\n")
    )
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

fn all() -> impl Iterator<Item = &'static Mutant> {
    core::MUTANTS.iter().chain(seams::MUTANTS)
}

/// Names all of the bugs that can no longer be planted, before minutes of simulation find the first.
#[test]
fn every_bug_can_be_planted() {
    let mut stale = Vec::new();
    for Mutant { name, edits, .. } in all() {
        for Edit { file, original, .. } in *edits {
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(file);
            let found = read(&source).matches(original).count();
            if found != 1 {
                stale.push(format!("{name}: {file} has this {found} times:\n{original}"));
            }
        }
    }
    assert!(stale.is_empty(), "{}", stale.join("\n\n"));
}

#[test]
fn every_planted_bug_compiles() {
    let copy = Copy::new("planted");
    let (alone, shared) = copy.parted(all());
    let check = || copy.cargo(&["check", "--lib"], &[]);
    let fails = |mutant: &&Mutant| {
        let (compiles, output) = copy.planted(mutant, check);
        (!compiles).then(|| format!("{}: it does not compile:\n{output}", mutant.name))
    };
    let stale: Vec<_> = alone.iter().filter_map(fails).collect();
    assert!(stale.is_empty(), "{}", stale.join("\n\n"));
    together::plant(&copy.root.join("src"), &shared);
    let (compiles, output) = check();
    assert!(compiles, "those that share a build do not compile:\n{output}");
}

#[test]
fn the_simulation_catches_every_planted_bug() {
    let chosen = std::env::var("BELLWETHER_MUTANT").unwrap_or_default();
    let is_chosen = |mutant: &&Mutant| mutant.name.contains(&chosen);
    assert!(
        all().any(|mutant| is_chosen(&mutant)),
        "BELLWETHER_MUTANT={chosen}: no bug has this in its name"
    );
    let copies = ["mutants", "mutants-together"].map(Copy::new);
    let [first, second] = &copies;
    let (alone, shared) = first.parted(all().filter(is_chosen));
    let mut seeds = Seeds::known();
    // To build a copy takes one core most of the time.
    let outcomes = thread::scope(|scope| {
        let in_one_build = scope.spawn(|| second.catches_together(&shared, &seeds));
        let mut outcomes = first.catches_alone(&alone, &seeds);
        outcomes.extend(in_one_build.join().unwrap_or_else(|panic| resume_unwind(panic)));
        outcomes
    });
    let mut missed = Vec::new();
    for (bug, outcome) in outcomes {
        match outcome {
            Ok(seed) => seeds.found(bug, &seed),
            Err(why) => missed.push(why),
        }
    }
    seeds.write_if_wanted();
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
