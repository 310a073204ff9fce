//! The seeds that showed each planted bug last. They are tried first: a search from seed 0 takes seconds, and
//! for some bugs a minute.
//!
//! A seed draws another run once the simulation draws more or less, and then the search begins again. So an old
//! list costs time and proves nothing wrong:
//!
//! ```text
//! BELLWETHER_SEEDS=write cargo test --test mutants the_simulation_catches    writes it again
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use super::read;

pub struct Seeds(BTreeMap<String, String>);

impl Seeds {
    pub fn known() -> Self {
        let lines = read(&file());
        let pairs = lines.lines().filter_map(|line| line.split_once(' '));
        Self(pairs.map(|(seed, bug)| (bug.to_owned(), seed.to_owned())).collect())
    }

    pub fn of(&self, bug: &str) -> Option<&str> {
        self.0.get(bug).map(String::as_str)
    }

    pub fn found(&mut self, bug: &str, seed: &str) {
        self.0.insert(bug.to_owned(), seed.to_owned());
    }

    pub fn write_if_wanted(&self) {
        if std::env::var("BELLWETHER_SEEDS").is_ok_and(|value| value == "write") {
            let lines = self.0.iter().map(|(bug, seed)| format!("{seed} {bug}\n"));
            fs::write(file(), lines.collect::<String>()).unwrap();
        }
    }
}

fn file() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mutants/seeds.txt"))
}
