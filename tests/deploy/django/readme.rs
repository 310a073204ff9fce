//! The commands of `examples/django-once/README.md`, run as they stand, but for the database and the
//! Python, which are there already.

use std::process::{Command, Output};

use crate::django::shop::{Shop, python, repository};
use support::without_settings;

const MARK: &str = "<!-- run by tests/deploy/django/readme.rs -->\n```sh\n";
const MAKE_PYTHON: &str =
    "python3 -m venv venv && venv/bin/pip install --quiet -r requirements.txt\n";
const DATABASE: &str = "postgres://USER:PASSWORD@HOST:PORT/DATABASE";

#[test]
fn the_commands_of_the_readme_show_one_run() {
    let page = repository().join("examples/django-once/README.md");
    let page = std::fs::read_to_string(page).unwrap();
    let blocks = page.split(MARK).skip(1).map(|after| after.split_once("```").unwrap().0);
    let script = blocks.collect::<Vec<_>>().concat();
    assert_eq!(page.matches("```").count(), 6, "a command that nothing runs");
    assert!(script.contains(MAKE_PYTHON) && script.contains(DATABASE));

    let shop = Shop::empty();
    let script = script.replace(MAKE_PYTHON, "").replace(DATABASE, shop.url());
    let script = script.replace("venv/bin/python", python().to_str().unwrap());
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_bellwether")).parent().unwrap();
    let mut sh = Command::new("sh");
    without_settings(&mut sh);
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    sh.args(["-euc", &script]).current_dir(repository().join("examples/django-once"));
    sh.env("PATH", path).env("PYTHONDONTWRITEBYTECODE", "1");
    let Output { status, stdout, stderr } = sh.output().unwrap();
    let (printed, log) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{printed}\n{log}");
    assert_eq!(
        printed.matches("Applying accounts.0002_halve_the_credit...").count(),
        1,
        "{printed}"
    );
    let shows = |state: &str| {
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let state = format!("default release-2 - {state} ");
        printed.lines().filter(|line| words(line).starts_with(&state)).count()
    };
    assert_eq!(shows("done"), 1, "{printed}");
    assert_eq!(
        printed.matches("Unapplying accounts.0002_halve_the_credit...").count(),
        1,
        "{printed}"
    );
    assert_eq!(shows("taken back"), 1, "{printed}");
    let (up, down) = printed.split_once("Unapplying").unwrap();
    for (doubled, credits) in [(200, 100), (80, 40), (10, 5)] {
        assert!(up.contains(&format!("\"credits\": {doubled}")), "{printed}");
        assert!(down.contains(&format!("\"credits\": {credits}")), "{printed}");
    }
}
