//! `--gate-command`.

use std::fs;

use crate::sidecar::app::App;
use crate::sidecar::gate_url::{THRESHOLDS, failures, gated, leads, leads_not, shown};
use support::{Pasture, Sidecar, bellwether, eventually};

/// Processes whose command line has this in it.
pub fn running(mark: &str) -> usize {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).contains(mark)).count()
}

#[test]
fn the_exit_code_decides_and_its_words_are_in_the_log() {
    let pasture = Pasture::new();
    let up = pasture.folder().join("up");
    fs::write(&up, "").unwrap();
    let line = format!("echo noise; test -f {} || {{ echo disk full >&2; exit 3; }}", up.display());
    let sidecar = gated("a", &pasture, &["--gate-command", &line]);
    leads(&sidecar);
    fs::remove_file(&up).unwrap();
    leads_not(&sidecar);
    shown(&sidecar, "closed");
    let log = sidecar.log();
    log.await_lines(r#"it exited with 3","wrote":"noise\ndisk full""#, 1);
    assert_eq!(log.count("disk full"), 1, "once, when the gate closed: {}", log.text());
    let reason = sidecar.leader().body["reason"].to_string();
    assert!(reason.contains("exited with 3") && !reason.contains("disk"), "{reason}");
    assert!(failures(&sidecar, "command") >= 2);
    fs::write(&up, "").unwrap();
    leads(&sidecar);
}

#[test]
fn a_command_that_hangs_is_killed_with_everything_it_started() {
    let pasture = Pasture::new();
    let well = pasture.folder().join("well");
    fs::write(&well, "").unwrap();
    let line = format!(
        "test -f {} && exit 0; trap '' TERM; (setsid sleep $LONG) & sleep $LONG & sleep $LONG",
        well.display()
    );
    // A duration that no other process sleeps for.
    let mark = format!("61{}.5", std::process::id());
    let mut command = bellwether();
    command.env("LONG", &mark);
    let flags = [&THRESHOLDS[..], &["--gate-timeout", "1s", "--gate-command", &line]].concat();
    let mut sidecar = Sidecar::start_as("a", &pasture.store(), &flags, command);
    leads(&sidecar);
    fs::remove_file(&well).unwrap();
    leads_not(&sidecar);
    eventually("checks continue", || (failures(&sidecar, "command") > 3).then_some(()));
    assert!(running(&mark) <= 3, "one check at a time");
    fs::write(&well, "").unwrap();
    leads(&sidecar);
    assert_eq!(running(&mark), 0, "nothing is left of the checks that hung");

    fs::remove_file(&well).unwrap();
    eventually("a check hangs", || (running(&mark) > 0).then_some(()));
    sidecar.kill();
    eventually("nothing outlives the sidecar for long", || (running(&mark) == 0).then_some(()));
}

#[test]
fn words_need_no_shell_and_a_program_that_is_not_there_keeps_the_gate_closed() {
    let pasture = Pasture::new();
    let words = format!(r#"["test","-d","{}"]"#, pasture.folder().display());
    let well = gated("well", &pasture, &["--gate-command", &words]);
    leads(&well);
    let missing = ["--gate-command", r#"["/no/such/program"]"#, "--gate-grace", "0s"];
    let missing = gated("missing", &pasture, &missing);
    let warning = "it cannot be started: No such file or directory";
    missing.log().await_lines(warning, 1);
    leads_not(&missing);
}

#[test]
fn the_output_of_a_check_is_not_that_of_the_sidecar() {
    let pasture = Pasture::new();
    let mut command = bellwether();
    command.stdout(fs::File::create(pasture.folder().join("out")).unwrap());
    let gate = ["--gate-command", "echo hello; echo there >&2"];
    let sidecar = Sidecar::start_as("a", &pasture.store(), &gate, command);
    leads(&sidecar);
    assert_eq!(fs::read_to_string(pasture.folder().join("out")).unwrap(), "");
    assert_eq!(sidecar.log().count("hello"), 0);
}

#[test]
fn all_of_several_checks_have_to_succeed() {
    let pasture = Pasture::new();
    let app = App::start();
    let up = pasture.folder().join("up");
    let line = format!("test -f {}", up.display());
    let flags = ["--gate-url", &app.url(), "--gate-command", &line, "--gate-grace", "0s"];
    let sidecar = gated("a", &pasture, &flags);
    eventually("the command fails", || (failures(&sidecar, "command") > 3).then_some(()));
    assert_eq!(failures(&sidecar, "url"), 0);
    leads_not(&sidecar);
    fs::write(&up, "").unwrap();
    leads(&sidecar);
    app.answers("500");
    leads_not(&sidecar);
}
