//! `status`, `init`, `install`, `completions`, `man`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::only::scene::leader;
use support::tmpfs::Tmpfs;
use support::{Killed, Log, Pasture, bellwether, eventually};

#[track_caller]
fn run(args: &[&str]) -> Output {
    bellwether().args(args).output().unwrap()
}

fn printed(output: &Output) -> String {
    let both = [output.stdout.as_slice(), &output.stderr];
    both.map(String::from_utf8_lossy).concat()
}

fn status(pasture: &Pasture) -> Vec<Value> {
    let output = run(&["status", "--json", "--store", &pasture.store()]);
    assert!(output.status.success(), "{}", printed(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn status_shows_elections_and_work_done_once() {
    let pasture = Pasture::new();
    let mut sidecar = leader(&pasture, &["--election", "cron"]);
    let once = ["once", "--store", &pasture.store(), "--identity", "b", "--max-attempts", "1"];
    let failing = [&once[..], &["--key", "v2", "--", "sh", "-c", "exit 3"]].concat();
    assert_eq!(run(&failing).status.code(), Some(3));
    let working = [&once[..], &["--key", "v1", "--", "true"]].concat();
    assert!(run(&working).status.success());

    let records = status(&pasture);
    let named = |name: &str| records.iter().find(|record| record["name"] == name).unwrap();
    let (cron, work) = (named("cron"), named("default"));
    assert_eq!((&cron["kind"], &cron["state"]), (&"election".into(), &"held".into()));
    assert_eq!((&cron["holderIdentity"], &cron["term"]), (&"a".into(), &1.into()));
    assert!(cron["remainingMs"].as_u64().unwrap() <= 3_000, "{cron}");
    assert_eq!((&work["kind"], &work["state"]), (&"work".into(), &"vacated".into()));
    let keys = work["work"]["keys"].as_array().unwrap();
    let shown = |key: &Value| (key["key"].clone(), key["state"].clone(), key["exitCode"].clone());
    let all: Vec<_> = keys.iter().map(shown).collect();
    let done = ("v1".into(), "done".into(), 0.into());
    assert_eq!(all, [done, ("v2".into(), "failed".into(), 3.into())], "the newest first");
    assert_eq!(keys[1]["failures"], 1, "{work}");

    let table = printed(&run(&["status", "--store", &pasture.store()]));
    assert_eq!(table.lines().count(), 9, "{table}");
    for words in ["KIND", "held", "done  ", "failed (1 of 1), final  b", "failed with code 3 on b"]
    {
        assert!(table.contains(words), "{words}: {table}");
    }

    sidecar.kill();
    eventually("the lease is over", || {
        let records = status(&pasture);
        records.iter().any(|record| record["state"] == "over").then_some(())
    });
}

#[test]
fn status_creates_nothing_and_init_does() {
    let pasture = Pasture::new();
    let output = run(&["status", "--store", &pasture.store()]);
    assert_eq!(output.status.code(), Some(69));
    assert!(printed(&output).contains("run `bellwether init`"), "{}", printed(&output));
    assert!(!pasture.path().exists());
    for _ in 0..2 {
        let output = run(&["init", "--store", &pasture.store()]);
        assert!(output.status.success(), "{}", printed(&output));
        assert_eq!(printed(&output), format!("ready: {}\n", pasture.store()));
    }
    assert_eq!(status(&pasture), Vec::<Value>::new());
    let output = run(&["status", "--store", &pasture.store()]);
    assert!(printed(&output).starts_with("no instance has stood"), "{}", printed(&output));
}

#[test]
fn install_puts_a_whole_program_in_place() {
    let pasture = Pasture::new();
    let target = pasture.folder().join("bellwether");
    fs::write(&target, "an older one").unwrap();
    let folder = pasture.folder().to_str().unwrap();
    for _ in 0..2 {
        let output = run(&["install", folder]);
        assert!(output.status.success(), "{}", printed(&output));
    }
    assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o7777, 0o755);
    assert!(Command::new(&target).arg("--version").output().unwrap().status.success());
    let files = fs::read_dir(pasture.folder()).unwrap().count();
    assert_eq!(files, 1, "nothing else is left");
}

#[test]
fn install_says_what_is_wrong_with_the_folder() {
    let pasture = Pasture::new();
    let folder = pasture.folder().to_str().unwrap();
    let (missing, file) = (format!("{folder}/missing"), format!("{folder}/file"));
    fs::write(&file, "").unwrap();
    for (folder, words) in [
        (missing.as_str(), "does not exist; create it"),
        (&file, "is not a folder"),
        ("/proc", "/proc"),
    ] {
        let output = run(&["install", folder]);
        let printed = printed(&output);
        assert_eq!(output.status.code(), Some(69), "{printed}");
        assert!(printed.contains(words), "{printed}");
        assert_eq!(printed.lines().count(), 1, "{printed}");
    }
}

#[test]
fn install_into_a_folder_that_takes_nothing_says_so_and_leaves_nothing_behind() {
    let pasture = Pasture::new();
    let folder = pasture.folder().to_str().unwrap();
    let disk = Tmpfs::over(pasture.folder(), "64k");
    let output = run(&["install", folder]);
    assert_eq!(output.status.code(), Some(69), "{}", printed(&output));
    assert!(printed(&output).contains("No space left on device"), "{}", printed(&output));
    assert_eq!(fs::read_dir(folder).unwrap().count(), 0, "no half of a program");
    disk.mount("ro");
    let output = run(&["install", folder]);
    assert_eq!(output.status.code(), Some(69), "{}", printed(&output));
    assert!(
        printed(&output).contains(&format!("this user cannot write to {folder}")),
        "{}",
        printed(&output)
    );
    disk.unmount();
}

#[test]
fn status_that_watches_shows_what_comes_until_it_is_stopped() {
    let pasture = Pasture::new();
    let mut watch = bellwether();
    watch.args(["status", "--watch", "--json", "--store", &pasture.store()]);
    let mut watch = Killed(watch.stdout(Stdio::piped()).spawn().unwrap());
    let pages = Log::of(watch.0.stdout.take().unwrap());
    eventually("nothing is there yet", || (pages.count("[]") > 0).then_some(()));
    assert!(!pasture.path().exists(), "a command that only reads creates nothing");
    let once =
        ["once", "--store", &pasture.store(), "--identity", "b", "--key", "v1", "--", "true"];
    assert!(run(&once).status.success());
    let page = eventually("it is seen that it was done", || {
        pages.lines().into_iter().find(|page| page.contains("\"state\":\"done\""))
    });
    let records: Vec<Value> = serde_json::from_str(&page).unwrap();
    assert_eq!((&records[0]["name"], &records[0]["kind"]), (&"default".into(), &"work".into()));
    assert_eq!(watch.0.try_wait().unwrap(), None, "it continues");
}

/// What bash offers after these words, of which the last is the beginning of one.
fn offered(script: &str, words: &[&str]) -> String {
    let complete = r#"eval "$0"
        words=$(complete -p bellwether); words=${words#*-F }; complete=${words%% *}
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        "$complete" "$1" "${!#}" "${COMP_WORDS[COMP_CWORD - 1]}"
        echo "${COMPREPLY[*]}""#;
    let output = Command::new("bash").args(["-c", complete, script]).args(words).output().unwrap();
    assert!(output.status.success(), "{}", printed(&output));
    printed(&output).trim().to_owned()
}

#[test]
fn bash_completes_commands_and_flags() {
    let script = printed(&run(&["completions", "bash"]));
    assert_eq!(offered(&script, &["bellwether", "hea"]), "healthcheck");
    assert_eq!(offered(&script, &["bellwether", "once", "--max-a"]), "--max-attempts");
    assert_eq!(offered(&script, &["bellwether", "no such"]), "");
}

#[test]
fn completions_and_manual_pages_name_every_command() {
    let pasture = Pasture::new();
    let folder = pasture.folder().to_str().unwrap();
    assert!(run(&["man", folder]).status.success());
    for shell in ["bash", "zsh", "fish"] {
        let script = printed(&run(&["completions", shell]));
        for command in ["serve", "run", "once", "only", "is-leader", "wait", "status", "resign"] {
            assert!(script.contains(command), "{shell}: {command}");
            let page = pasture.folder().join(format!("bellwether-{command}.1"));
            assert!(page.exists(), "{}", page.display());
        }
    }
    let output = run(&["man", "/nowhere"]);
    assert_eq!(output.status.code(), Some(69));
    assert_eq!(printed(&output).lines().count(), 1, "{}", printed(&output));
}
