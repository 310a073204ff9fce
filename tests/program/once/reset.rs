//! `once --reset`. Where the store does not show who is alive: `tests/store/dynamodb/once.rs`.

use crate::once::scene::{lines, once, runner};
use support::{Pasture, bellwether, eventually};

/// The exit code and the output.
fn reset(pasture: &Pasture) -> (Option<i32>, String) {
    let args = ["once", "--store", &pasture.store(), "--reset", "--key", "k"];
    let output = bellwether().args(args).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_reset_allows_it_again_and_the_term_continues() {
    let pasture = Pasture::new();
    let script = "echo $BELLWETHER_TERM >> runs; exit 1";
    let args = ["--key", "k", "--max-attempts", "1"];
    for _ in 0..2 {
        assert_eq!(once(&pasture, "a", &args, script).exit_code(), Some(1));
    }
    assert_eq!(reset(&pasture).0, Some(0));
    assert_eq!(once(&pasture, "a", &args, script).exit_code(), Some(1));
    assert_eq!(lines(&pasture, "runs"), ["1", "2"], "each attempt has a term of its own");
}

#[test]
fn a_reset_is_refused_while_an_instance_is_at_it() {
    let pasture = Pasture::new();
    let mut runner = runner(&pasture, &["--key", "k"]);
    let (code, printed) = reset(&pasture);
    assert_eq!(code, Some(75));
    assert!(
        printed.contains("a runs an attempt now") && printed.contains("if a crashed"),
        "{printed}"
    );
    runner.kill();
    eventually("its lease is over", || (reset(&pasture).0 == Some(0)).then_some(()));
}

#[test]
fn a_work_that_never_ran_has_nothing_to_reset() {
    let pasture = Pasture::new();
    let (code, printed) = reset(&pasture);
    assert_eq!(code, Some(69), "a mistyped store is not created: {printed}");
    assert!(printed.contains("does not exist yet") && !pasture.path().exists(), "{printed}");
    assert_eq!(once(&pasture, "a", &["--key", "other"], "true").exit_code(), Some(0));
    let (code, printed) = reset(&pasture);
    assert_eq!(code, Some(0));
    assert!(printed.contains("there is nothing to reset"), "{printed}");
    for place in [r#""work":"default""#, r#""key":"k""#, pasture.path().to_str().unwrap()] {
        assert!(printed.contains(place), "{printed}");
    }
}
