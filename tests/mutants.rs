//! Planted bugs: what shows that the simulation could fail.
//!
//! Each mutant is the real source of the election core with one mistake in it, so the core itself
//! needs no switches for tests. The core and the simulation are copied into a crate of their own,
//! and the simulation has to fail there and name the invariant that the mistake breaks.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may panic, and what is printed is its report; the lints' exemption for tests \
              does not reach helpers outside of test functions"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

struct Mutant {
    name: &'static str,
    edits: &'static [Edit],
    /// The invariant that the simulation has to name.
    breaks: &'static str,
}

struct Edit {
    /// In `src/election/`.
    file: &'static str,
    /// Has to stand there exactly once.
    original: &'static str,
    replacement: &'static str,
}

const fn edit(file: &'static str, original: &'static str, replacement: &'static str) -> Edit {
    Edit { file, original, replacement }
}

const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "belief is counted from the reply",
        edits: &[
            edit(
                "elector.rs",
                "Some(held) => held.sent_at = sent_at,",
                "Some(held) => held.sent_at = now,",
            ),
            edit(
                "elector.rs",
                "self.held = Some(Held { term, sent_at, draining });",
                "self.held = Some(Held { term, sent_at: now, draining });",
            ),
        ],
        breaks: "I1 one believer",
    },
    Mutant {
        name: "readers see a flag instead of a deadline",
        edits: &[edit(
            "leadership.rs",
            "self.own.as_ref().filter(|own| now < own.until)",
            "self.own.as_ref().filter(|_| now == now)",
        )],
        breaks: "I1 one believer",
    },
    Mutant {
        name: "an unknown outcome is taken for a success",
        edits: &[edit(
            "elector.rs",
            "let Ok(swapped) = answer else {
            self.unsure = true;
            return self.call_failed(now);
        };",
            "let swapped = answer.unwrap_or_else(|_| Swapped::Won(Version::new(\"assumed\")));",
        )],
        breaks: "I1 one believer",
    },
    Mutant {
        name: "a rival waits for its own lease duration",
        edits: &[edit(
            "elector.rs",
            "self.learn(now, sent_at, observed);
        self.claim_if_over",
            "let mut observed = observed;
        if let Some(observed) = &mut observed {
            observed.record.lease_duration = self.timing.lease_duration();
        }
        self.learn(now, sent_at, observed);
        self.claim_if_over",
        )],
        breaks: "I1 one believer",
    },
    Mutant {
        name: "a rival counts from when it sent its look",
        edits: &[edit("watch.rs", "first_received: received,", "first_received: sent,")],
        breaks: "I1 one believer",
    },
    Mutant {
        name: "a stepped store clock overrules what was seen",
        edits: &[edit(
            "watch.rs",
            ".max(seen.not_before).min(seen.watched())",
            ".min(seen.watched())",
        )],
        breaks: "I1 one believer",
    },
    Mutant {
        name: "a stepped store clock overrules what was seen seldom",
        edits: &[edit(
            "watch.rs",
            "received + longest_belief(next.lease_duration())",
            "received + longest_belief(Duration::ZERO)",
        )],
        breaks: "I1 one believer",
    },
    Mutant {
        name: "a record that vanished is ignored",
        edits: &[edit("watch.rs", "if vanished || went_backwards", "if went_backwards")],
        breaks: "I1 one believer",
    },
    Mutant {
        name: "a term that went backwards is ignored",
        edits: &[edit(
            "watch.rs",
            "let went_backwards = !vanished && term < self.highest_term;",
            "let went_backwards = false;",
        )],
        breaks: "I1 one believer",
    },
    Mutant {
        name: "after lost writes a rival waits for the restored lease only",
        edits: &[edit(
            "watch.rs",
            "let lease = next.lease_duration().max(last.lease_duration());",
            "let lease = next.lease_duration();",
        )],
        breaks: "I1 one believer",
    },
    Mutant {
        name: "after lost writes a rival counts from the last look before",
        edits: &[edit(
            "watch.rs",
            "self.distrusted_until.max(received + lease)",
            "self.distrusted_until.max(last.last_sent + lease)",
        )],
        breaks: "I1 one believer",
    },
    Mutant {
        name: "no margin for clock rates",
        edits: &[edit(
            "timing.rs",
            "const LONGEST_RENEW_DEADLINE: f64 = 0.8;",
            "const LONGEST_RENEW_DEADLINE: f64 = 1.0;",
        )],
        breaks: "I1 one believer",
    },
    Mutant {
        name: "a look at the own record grants belief",
        edits: &[edit(
            "elector.rs",
            "let term = observed.as_ref().map_or(0, |o| o.record.term);
        if let Some(seen)",
            "if let Some(own) = observed.as_ref().filter(|o| o.record.is_held_by(&self.me))
            && self.held.is_none()
        {
            self.held = Some(Held { term: own.record.term, sent_at, draining: false });
        }
        let term = observed.as_ref().map_or(0, |o| o.record.term);
        if let Some(seen)",
        )],
        breaks: "I2 terms grow",
    },
    Mutant {
        name: "the own record is claimed again under its old term",
        edits: &[edit(
            "elector.rs",
            "term: self.watch.next_term(),",
            "term: self.watch.next_term() - u64::from(self.owns_record()),",
        )],
        breaks: "I2 terms grow",
    },
    Mutant {
        name: "a late renewal revives a lapsed term",
        edits: &[edit(
            "elector.rs",
            "now >= timing.leads_until(held.sent_at)",
            "now > now.max(timing.leads_until(held.sent_at))",
        )],
        breaks: "I2 terms grow",
    },
    Mutant {
        name: "a candidate never looks again after a failed swap",
        edits: &[edit(
            "elector.rs",
            "self.unsure = true;
            return self.call_failed(now);",
            "self.not_before = now + Duration::MAX;
            return;",
        )],
        breaks: "I3 a leader exists",
    },
    Mutant {
        name: "a standby names a dead holder",
        edits: &[edit(
            "leadership.rs",
            "self.rival.as_ref().filter(|rival| now < rival.until)",
            "self.rival.as_ref()",
        )],
        breaks: "I4 no dead holder is named",
    },
    Mutant {
        name: "work is killed only at the end of the lease",
        edits: &[edit(
            "timing.rs",
            "(self.lease_duration - self.renew_deadline) / 2",
            "(self.lease_duration - self.renew_deadline)",
        )],
        breaks: "I5 no old work",
    },
    Mutant {
        name: "a restarted process takes itself for the holder it was",
        edits: &[edit(
            "lease.rs",
            "self.holder.as_ref() == Some(candidate)",
            "self.holder.as_ref().is_some_and(|holder| holder.identity == candidate.identity)",
        )],
        breaks: "I5 no old work",
    },
    Mutant {
        name: "a new term begins beside work of the old one",
        edits: &[edit("elector.rs", "!is_done && !self.work_under_way &&", "!is_done &&")],
        breaks: "I5 no old work",
    },
    Mutant {
        name: "the lease is kept for ever for work that hangs",
        edits: &[edit(
            "elector.rs",
            "Event::Overdue => self.let_run_out(now),",
            "Event::Overdue => {}",
        )],
        breaks: "I3 a leader exists",
    },
    Mutant {
        name: "a lease that ran out under work that nobody saw end is vacated",
        edits: &[edit(
            "elector.rs",
            "self.finish.is_some() || !runs_out(term)",
            "true || !runs_out(term)",
        )],
        breaks: "I6 vacated last",
    },
    Mutant {
        name: "the record is vacated under work",
        edits: &[edit(
            "elector.rs",
            "stepping_down && !self.work_under_way && (",
            "stepping_down && (",
        )],
        breaks: "I6 vacated last",
    },
    Mutant {
        name: "the record is vacated before belief ends",
        edits: &[edit(
            "elector.rs",
            "if draining { (None, self.own_tenure()) }",
            "if draining { (self.own_tenure(), None) }",
        )],
        breaks: "I6 vacated last",
    },
    Mutant {
        name: "failed calls are repeated without a pause",
        edits: &[edit(
            "elector.rs",
            "self.not_before = now + self.jittered(backoff);",
            "self.not_before = now + self.jittered(backoff) / 1_000;",
        )],
        breaks: "I7 bounded calls",
    },
    Mutant {
        name: "every hint causes a look",
        edits: &[edit(
            "elector.rs",
            "(self.hinted && now >= self.last_call + HINT_GAP)",
            "self.hinted",
        )],
        breaks: "I7 bounded calls",
    },
    Mutant {
        name: "a leader renews too often",
        edits: &[edit(
            "elector.rs",
            "self.due_at = sent_at + self.timing.retry_period();",
            "self.due_at = sent_at + self.timing.retry_period() / 2;",
        )],
        breaks: "I7 bounded calls",
    },
    Mutant {
        name: "a call may take as long as a lease",
        edits: &[edit(
            "elector.rs",
            "let timeout = sent_at + self.timing.call_timeout();",
            "let timeout = sent_at + self.timing.lease_duration();",
        )],
        breaks: "I8 bounded waits",
    },
    Mutant {
        name: "a candidate stands while its gate is closed",
        edits: &[edit(
            "elector.rs",
            "!is_done && !self.work_under_way && self.standing_down_at(now).is_none()",
            "!is_done && !self.work_under_way",
        )],
        breaks: "I9 the gate is kept",
    },
    Mutant {
        name: "a leader ignores its gate",
        edits: &[edit(
            "elector.rs",
            "StandingDown::GateClosed => LossReason::GateClosed,",
            "StandingDown::GateClosed => return,",
        )],
        breaks: "I9 the gate is kept",
    },
];

/// The copy of the core and the simulation.
struct Copy {
    root: PathBuf,
}

impl Copy {
    fn new() -> Self {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mutants");
        let home = Path::new(env!("CARGO_MANIFEST_DIR"));
        for part in ["src", "tests"] {
            let _ = fs::remove_dir_all(root.join(part));
        }
        copy(&home.join("src/election"), &root.join("src/election"));
        copy(&home.join("tests/simulation"), &root.join("tests/simulation"));
        fs::copy(home.join("src/election.rs"), root.join("src/election.rs")).unwrap();
        fs::write(root.join("src/lib.rs"), "pub mod election;\n").unwrap();
        fs::copy(home.join("Cargo.lock"), root.join("Cargo.lock")).unwrap();
        let manifest = fs::read_to_string(home.join("Cargo.toml")).unwrap();
        fs::write(root.join("Cargo.toml"), reduced(&manifest)).unwrap();
        Self { root }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.root.join("src/election").join(file)
    }

    /// Runs the simulation, and gives back whether it passed and what it said.
    fn simulate(&self, what: &str, runs: &str, hunted: &str) -> (bool, String) {
        let environment = [("BELLWETHER_RUNS", runs), ("BELLWETHER_HUNT", hunted)];
        let built = self.cargo("--no-run", environment);
        assert!(built.0, "{what}: it does not even compile:\n{}", built.1);
        self.cargo("every_invariant", environment)
    }

    fn cargo(&self, argument: &str, environment: [(&str, &str); 2]) -> (bool, String) {
        let output = Command::new(env!("CARGO"))
            .args(["test", "--offline", "--quiet", "--test", "simulation", argument])
            .current_dir(&self.root)
            .env("CARGO_TARGET_DIR", self.root.join("target"))
            .envs(environment)
            .env_remove("BELLWETHER_SEED")
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), text(&output.stdout) + &text(&output.stderr))
    }

    fn catches(&self, mutant: &Mutant) -> Result<(), String> {
        let Mutant { name, edits, breaks } = mutant;
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
        let (passed, said) = self.simulate(name, "100000", breaks);
        // Backwards: the first of two edits in a file was read before both.
        for (edit, original) in edits.iter().zip(originals).rev() {
            fs::write(self.path(edit.file), original).unwrap();
        }
        let verdict = said.lines().find(|line| line.starts_with(breaks));
        let seed = said.lines().find(|line| line.starts_with("replay: ")).unwrap_or_default();
        println!("{name}: {} ({seed})", verdict.unwrap_or("not caught"));
        if passed || verdict.is_none() {
            return Err(format!(
                "{name}: it does not break {breaks}, the simulation says:\n{said}"
            ));
        }
        Ok(())
    }
}

/// The manifest for a crate of the same name with the core alone in it.
fn reduced(manifest: &str) -> String {
    let needed = ["fastrand", "humantime", "rustix", "serde", "serde_json", "thiserror"];
    let dependencies = needed.map(|name| {
        let line = manifest.lines().find(|line| line.starts_with(&format!("{name} = ")));
        line.unwrap_or_else(|| panic!("no line for {name} in Cargo.toml"))
    });
    format!(
        "[package]\nname = \"bellwether\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
         [dependencies]\n{}\n[profile.dev]\nopt-level = 1\ndebug = 0\n[workspace]\n",
        dependencies.join("\n")
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

#[test]
fn the_simulation_catches_every_planted_bug() {
    let copy = Copy::new();
    let (passed, said) = copy.simulate("the real source", "1000", "");
    assert!(passed, "the simulation fails without a planted bug:\n{said}");
    let missed: Vec<_> = MUTANTS.iter().filter_map(|mutant| copy.catches(mutant).err()).collect();
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
