//! What a person meets on the command line: wrong input is refused in one line that says what to
//! do, before anything is opened or written.

use std::fs;
use std::io::{BufRead as _, Read as _};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::ioctl_fionread;
use rustix::pipe::fcntl_setpipe_size;
use serde_json::Value;
use support::{Killed, Pasture, bellwether, without_settings};

/// Runs `bellwether ARGS`, which has to be refused; its exit code and its one line.
fn refused(args: &[&str], change: impl FnOnce(&mut Command)) -> (i32, String) {
    let mut command = bellwether();
    command.args(args);
    change(&mut command);
    let output = command.output().unwrap();
    let printed = String::from_utf8(output.stderr).unwrap();
    assert!(output.stdout.is_empty(), "complaints go to standard error");
    assert_eq!(printed.lines().count(), 1, "one line: {printed}");
    let line: Value = serde_json::from_str(&printed).expect("the log is JSON, whatever is in it");
    assert_eq!(line["level"], "ERROR", "{printed}");
    (output.status.code().expect("it exits"), line["message"].as_str().unwrap().to_owned())
}

#[test]
fn wrong_settings_exit_64_and_write_nothing() {
    let pasture = Pasture::new();
    let store = pasture.store();
    let cases: [(&[&str], &str); 16] = [
        (&["--lease-duration", "5s"], "at most four fifths of the lease duration"),
        (&["--renew-deadline", "3s"], "at least twice the retry period"),
        (&["--retry-period", "1ms"], "at least 10ms"),
        (&["--lease-duration", "2h"], "at most 1h"),
        (&["--lease-duration", "soon"], "--lease-duration"),
        (&["--lease-duration", "15"], "--lease-duration"),
        (&["--store", "mysql://u:hunter2@h/d"], "no known scheme; use sqlite:///"),
        (&["--store", "sqlite://"], "names no file"),
        (&["--election", "Not A Name"], "is not an election name; use 1 to 63 lower-case"),
        (&["--election", ""], "is not an election name"),
        (&["--identity", ""], "1 to 256 printable characters"),
        (&["--listen", "4040"], "--listen"),
        (&["--lease-durations", "5s"], "a similar argument exists: '--lease-duration'"),
        (&["--log-level", "loud"], "possible values: error, warn, info, debug, trace"),
        (&["--store", "sqlite:///a.db\n# shop"], "write the URL alone, on one line"),
        (&["--advertise", "http://{ipp}:8080"], "does not belong to {ip}, the only placeholder"),
    ];
    for (wrong, expected) in cases {
        for command in ["serve", "run"] {
            let mut args = vec![command, "--store", &store, "--listen", "127.0.0.1:0"];
            args.extend(wrong);
            if command == "run" {
                args.extend(["--", "true"]);
            }
            let (code, printed) = refused(&args, |_| {});
            assert_eq!(code, 64, "{wrong:?}: {printed}");
            assert!(printed.contains(expected), "{wrong:?}: {printed}");
            assert!(!printed.contains("hunter2"), "a secret is shown: {printed}");
        }
    }
    assert_eq!(fs::read_dir(pasture.folder()).unwrap().count(), 0, "nothing was written");
}

#[test]
fn a_gate_or_a_hook_that_makes_no_sense_exits_64() {
    let pasture = Pasture::new();
    let store = pasture.store();
    let cases: [(&str, &str, &str); 17] = [
        ("--gate-url", "https://localhost/healthz", "for https a --gate-command"),
        ("--gate-url", "localhost:8080/healthz", "use one like http://127.0.0.1:8080/healthz"),
        ("--gate-url", "http://u:hunter2@localhost/", "--gate-url: '…@localhost/'"),
        ("--gate-url", "", "--gate-url: ''"),
        ("--gate-command", "", "--gate-command: the text is not a command"),
        ("--gate-command", r#"["hunter2", 1]"#, "a line for sh, or a JSON array of words"),
        ("--gate-ecs-container", "app", "ECS_CONTAINER_METADATA_URI_V4 is not set"),
        ("--gate-ecs-container", "", "--gate-ecs-container: the name is empty"),
        ("--gate-period", "99ms", "--gate-period must be at least 100ms"),
        ("--gate-timeout", "0s", "--gate-timeout more than zero"),
        ("--gate-failures", "0", "0 is not in 1..=1000"),
        ("--gate-successes", "1001", "1001 is not in 1..=1000"),
        ("--gate-grace", "long", "--gate-grace"),
        ("--on-elected", " ", "--on-elected: the text is not a command"),
        ("--on-lost", r#"["hunter2""#, "--on-lost: the text is not a command"),
        ("--hook-timeout", "0s", "--hook-timeout must be more than zero"),
        ("--vacate-delay", "22001ms", "--vacate-delay: at most 22s"),
    ];
    for (flag, value, expected) in cases {
        let gate = if flag.contains("url") { "--gate-grace=1s" } else { "--gate-url=http://h/" };
        let args = ["serve", "--store", &store, "--listen", "127.0.0.1:0", gate, flag, value];
        let (code, printed) = refused(&args, |_| {});
        assert_eq!(code, 64, "{flag} {value}: {printed}");
        assert!(printed.contains(expected), "{flag} {value}: {printed}");
        assert!(!printed.contains("hunter2"), "a secret is shown: {printed}");
    }
    assert_eq!(fs::read_dir(pasture.folder()).unwrap().count(), 0, "nothing was written");
}

#[test]
fn serve_check_says_whether_serve_would_start_and_neither_stands_nor_listens() {
    let pasture = Pasture::new();
    let store = pasture.store();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let away = "postgres://u@127.0.0.1:1/db?sslmode=disable";
    let none = format!("sqlite://{}/not/there/leases.db", pasture.folder().display());
    for (store, more, expected) in [
        (store.as_str(), "--retry-period=1s", 0),
        (away, "--retry-period=1s", 0),
        (&none, "--retry-period=1s", 69),
        (&store, "--retry-period=1h", 64),
        (&store, "--gate-url=https://localhost", 64),
    ] {
        let mut command = bellwether();
        command.args(["serve", "--check", "--store", store, "--listen", &listen, more]);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(expected), "{store} {more}: {output:?}");
        let is_unchecked = String::from_utf8_lossy(&output.stderr).contains("store_unchecked");
        assert_eq!(is_unchecked, store == away, "{output:?}");
    }
    let status = bellwether().args(["status", "--store", &store]).output().unwrap();
    assert!(
        String::from_utf8_lossy(&status.stdout).contains("no instance has stood"),
        "{status:?}"
    );
}

/// The output of `bellwether ARGS`, with a command line as a user types it.
fn plain(args: &[&str], format: Option<&str>) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bellwether"));
    without_settings(&mut command);
    if let Some(format) = format {
        command.env("BELLWETHER_LOG_FORMAT", format);
    }
    String::from_utf8(command.args(args).output().unwrap().stderr).unwrap()
}

#[test]
fn errors_about_settings_are_json_where_the_log_is() {
    let wrong: [&[&str]; 3] =
        [&["serve", "--lease-duration", "1s"], &["serve", "--nonsense"], &["serv"]];
    for args in wrong {
        for format in ["json", "JSON", "Json"] {
            let with_flag = [&["--log-format", format], args].concat();
            let joined = format!("--log-format={format}");
            let with_joined = [args, &[joined.as_str()]].concat();
            let lines =
                [plain(&with_flag, None), plain(&with_joined, None), plain(args, Some(format))];
            for line in lines {
                let line: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
                assert_eq!(line["level"], "ERROR");
                assert!(line["message"].as_str().is_some_and(|text| !text.is_empty()), "{line}");
            }
        }
        let line = plain(&[&["--log-format", "TEXT"], args].concat(), Some("json"));
        assert!(line.starts_with("bellwether: "), "{line}");
    }
    let line = plain(&["serve", "--log-format", "xml"], None);
    assert!(line.contains("possible values: auto, text, json"), "{line}");
}

#[test]
fn a_program_that_cannot_be_started_is_named_once() {
    let pasture = Pasture::new();
    let output = bellwether()
        .args(["run", "--store", &pasture.store(), "--", "/nowhere/a \"program\""])
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stderr).unwrap();
    let line =
        printed.lines().find(|line| line.contains("\"event\":\"command_start_failed\"")).unwrap();
    let line: Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["program"], "/nowhere/a \"program\"");
}

#[test]
fn no_duration_is_so_long_that_a_sum_of_two_overflows() {
    const LONGEST: &str = "18446744073709551615s";
    let beside = |flag| [flag, LONGEST, "--sidecar", "http://127.0.0.1:1"];
    let stand = |flag| [flag, LONGEST, "--store", "sqlite:///nowhere/leases.db"];
    let mut cases = Vec::new();
    for flag in [
        "--lease-duration",
        "--renew-deadline",
        "--retry-period",
        "--shutdown-grace",
        "--max-clock-skew",
        "--hook-timeout",
        "--gate-period",
        "--gate-timeout",
        "--gate-grace",
    ] {
        cases.push([&["serve"][..], &stand(flag)].concat());
    }
    for flag in ["--timeout", "--shutdown-grace", "--lease-duration"] {
        cases.push([&["once", "--key", "k"][..], &stand(flag), &["--", "true"]].concat());
    }
    cases.push([&["run"][..], &stand("--shutdown-grace"), &["--", "true"]].concat());
    for flag in ["--timeout", "--request-timeout"] {
        cases.push([&["wait"][..], &beside(flag)].concat());
    }
    for flag in ["--wait", "--request-timeout", "--shutdown-grace"] {
        cases.push([&["only"][..], &beside(flag), &["--", "true"]].concat());
    }
    cases.push([&["resign"][..], &beside("--cooldown")].concat());
    cases.push([&["is-leader"][..], &beside("--request-timeout")].concat());
    for args in cases {
        let (code, printed) = refused(&args, |_| {});
        assert_eq!(code, 64, "{args:?}: {printed}");
        assert!(printed.contains("30days at most, for example 15s"), "{args:?}: {printed}");
    }
}

#[test]
fn the_environment_is_checked_like_the_flags() {
    let (code, printed) = refused(&["serve"], |command| {
        command.env("BELLWETHER_LEASE_DURATION", "1s");
    });
    assert_eq!(code, 64);
    assert!(printed.contains("four fifths"), "{printed}");
}

#[test]
fn a_command_line_without_a_command_to_run_exits_64() {
    let (code, printed) = refused(&["run"], |_| {});
    assert_eq!(code, 64);
    assert!(printed.contains("<CMD>"), "{printed}");
}

#[test]
fn a_list_of_elections_is_checked_whole() {
    let pasture = Pasture::new();
    let store = pasture.store();
    let many: Vec<_> = (0..257).map(|number| number.to_string()).collect();
    let many = many.join(",");
    let cases: [(&[&str], &str); 4] = [
        (&["--election", "a", "--election", "a"], "election 'a' is named twice"),
        (&["--election", "a,b,a"], "election 'a' is named twice"),
        (&["--election", "a,,b"], "'' is not an election name"),
        (&["--election", &many], "257 elections are too many for one sidecar; name at most 256"),
    ];
    for (wrong, expected) in cases {
        let args = [&["serve", "--store", &store, "--listen", "127.0.0.1:0"], wrong].concat();
        let (code, printed) = refused(&args, |_| {});
        assert_eq!(code, 64, "{printed}");
        assert!(printed.contains(expected), "{printed}");
        assert!(!pasture.path().exists(), "nothing is opened");
    }
}

#[test]
fn a_busy_port_exits_69_before_the_store_is_touched() {
    let pasture = Pasture::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let args = ["serve", "--store", &pasture.store(), "--listen", &address];
    let (code, printed) = refused(&args, |_| {});
    assert_eq!(code, 69);
    assert!(printed.contains(&format!("{address} is in use by another process")), "{printed}");
    assert!(printed.contains("--listen"), "{printed}");
    assert_eq!(fs::read_dir(pasture.folder()).unwrap().count(), 0, "nothing was written");
}

#[test]
fn a_store_that_cannot_be_used_exits_69_with_what_to_do() {
    let pasture = Pasture::new();
    let junk = pasture.folder().join("junk.db");
    fs::write(&junk, vec![b'x'; 8192]).unwrap();
    let junk = format!("sqlite://{}", junk.display());
    let folder = format!("sqlite://{}", pasture.folder().display());
    for (store, expected) in [
        (folder.as_str(), "this is a folder; name a file in it"),
        ("sqlite:///dev/null", "this is not a regular file"),
        ("sqlite:///nowhere/leases.db", "/nowhere does not exist; create it"),
        ("sqlite:///proc/leases.db", "cannot be opened; check its folder"),
        (junk.as_str(), "is not a SQLite database; stop every instance that uses it, move it away"),
    ] {
        let args = ["serve", "--listen", "127.0.0.1:0", "--store", store];
        let (code, printed) = refused(&args, |_| {});
        assert_eq!(code, 69, "{printed}");
        assert!(printed.contains(expected), "{printed}");
    }
}

#[test]
fn without_a_place_for_the_default_store_it_says_so() {
    let (code, printed) = refused(&["serve", "--listen", "127.0.0.1:0"], |command| {
        command.env_clear();
    });
    assert_eq!(code, 64);
    // In a container, where these tests may run, there is no default at all.
    assert!(printed.contains("sqlite:///PATH/leases.db"), "{printed}");
}

/// `bellwether ARGS` with these variables; its exit code and its output.
fn with_variables(args: &[&str], variables: &[(&str, &str)]) -> (i32, String) {
    let output = bellwether().args(args).envs(variables.iter().copied()).output().unwrap();
    let printed = [output.stdout.as_slice(), &output.stderr].map(String::from_utf8_lossy).concat();
    (output.status.code().expect("it exits"), printed)
}

#[test]
fn a_platform_without_a_shared_file_demands_a_store() {
    let pasture = Pasture::new();
    let home = pasture.folder().to_str().unwrap();
    let commands: [&[&str]; 6] = [
        &["serve", "--listen", "127.0.0.1:0"],
        &["run", "--", "true"],
        &["once", "--key", "k", "--", "true"],
        &["once", "--key", "k", "--reset"],
        &["status"],
        &["init"],
    ];
    for (variable, value, place) in [
        ("KUBERNETES_SERVICE_HOST", "10.0.0.1", "Kubernetes"),
        ("ECS_CONTAINER_METADATA_URI_V4", "http://127.0.0.1:1/v4", "ECS"),
    ] {
        let here = [(variable, value), ("HOME", home), ("BELLWETHER_STORE", "")];
        for args in commands {
            let (code, printed) = with_variables(args, &here);
            assert_eq!(code, 64, "{args:?}: {printed}");
            for words in [&format!("this is {place} ({variable} is set)"), "BELLWETHER_STORE"] {
                assert!(printed.contains(words), "{args:?}: {printed}");
            }
        }
    }
    assert_eq!(fs::read_dir(pasture.folder()).unwrap().count(), 0, "nothing was written");
    let store = pasture.store();
    let here = [("KUBERNETES_SERVICE_HOST", "10.0.0.1"), ("BELLWETHER_STORE", store.as_str())];
    let (code, printed) = with_variables(&["run", "--", "true"], &here);
    assert_eq!(code, 0, "a file that was chosen is fine: {printed}");
}

#[test]
fn a_variable_whose_name_is_nearly_a_setting_exits_64() {
    let pasture = Pasture::new();
    let store = pasture.store();
    let run = ["run", "--store", &store, "--", "true"];
    for (name, meant) in [
        ("BELLWETHER_LEASE_DURATON", "BELLWETHER_LEASE_DURATION"),
        ("BELLWETHER_ELECTIONS", "BELLWETHER_ELECTION"),
        ("BELLWEATHER_IDENTITY", "BELLWETHER_IDENTITY"),
    ] {
        let (code, printed) = with_variables(&run, &[(name, "6s")]);
        assert_eq!(code, 64, "{printed}");
        assert!(
            printed.contains(name) && printed.contains(&format!("correct it to {meant}")),
            "{printed}"
        );
        let (code, printed) = with_variables(&run, &[(name, "")]);
        assert_eq!(code, 0, "an empty one is not set: {printed}");
    }
    assert!(with_variables(&["--help"], &[("BELLWETHER_STROE", "x")]).1.contains("Usage"));
}

#[test]
fn other_unknown_variables_are_warned_of_and_links_of_kubernetes_are_not() {
    let pasture = Pasture::new();
    let store = pasture.store();
    let (code, printed) = with_variables(
        &["run", "--store", &store, "--", "true"],
        &[
            ("BELLWETHER_WOOL_COLOUR", "black"),
            ("BELLWETHER_SERVICE_HOST", "10.0.0.7"),
            ("BELLWETHER_SERVICE_PORT", "4040"),
            ("BELLWETHER_SERVICE_PORT_HTTP", "4040"),
            ("BELLWETHER_PORT", "tcp://10.0.0.7:4040"),
            ("BELLWETHER_PORT_4040_TCP", "tcp://10.0.0.7:4040"),
            ("BELLWETHER_PORT_4040_TCP_ADDR", "10.0.0.7"),
        ],
    );
    assert_eq!(code, 0, "{printed}");
    let warnings: Vec<_> =
        printed.lines().filter(|line| line.contains("\"event\":\"unknown_variable\"")).collect();
    let [warning] = warnings[..] else { panic!("one warning: {printed}") };
    assert!(warning.contains("\"variable\":\"BELLWETHER_WOOL_COLOUR\""), "{warning}");
}

#[test]
fn an_empty_variable_is_not_set() {
    let pasture = Pasture::new();
    let store = pasture.store();
    let empty = [
        "BELLWETHER_ELECTION",
        "BELLWETHER_IDENTITY",
        "BELLWETHER_LEASE_DURATION",
        "BELLWETHER_LISTEN",
        "BELLWETHER_LOG_LEVEL",
        "BELLWETHER_GATE_URL",
        "BELLWETHER_NAMESPACE",
        "BELLWETHER_STORE_FILE",
        "BELLWETHER_TOKEN_FILE",
    ];
    let empty = empty.map(|name| (name, ""));
    let (code, printed) = with_variables(&["run", "--store", &store, "--", "true"], &empty);
    assert_eq!(code, 0, "{printed}");
    assert!(printed.contains("\"election\":\"default\""), "{printed}");
    let once = ["once", "--key", "k", "--store", &store, "--", "true"];
    let (code, printed) = with_variables(&once, &[("BELLWETHER_NO_STDERR", "")]);
    assert_eq!(code, 0, "{printed}");
}

#[test]
fn a_flag_wins_over_a_variable_that_it_contradicts() {
    let pasture = Pasture::new();
    let store = pasture.store();
    let file = [("BELLWETHER_STORE_FILE", "/nowhere")];
    let (code, printed) = with_variables(&["run", "--store", &store, "--", "true"], &file);
    assert_eq!(code, 0, "{printed}");
    let both = [("BELLWETHER_STORE_FILE", "/nowhere"), ("BELLWETHER_STORE", &store)];
    let (code, printed) = with_variables(&["run", "--", "true"], &both);
    assert_eq!(code, 64, "{printed}");
    assert!(printed.contains("cannot be used with"), "{printed}");
}

#[test]
fn a_complaint_names_the_variable_where_the_value_came_from_one() {
    let pasture = Pasture::new();
    let store = pasture.store();
    let cases: [(&str, &str, &str); 8] = [
        ("--lease-duration", "BELLWETHER_LEASE_DURATION", "soon"),
        ("--lease-duration", "BELLWETHER_LEASE_DURATION", "2h"),
        ("--retry-period", "BELLWETHER_RETRY_PERIOD", "1ms"),
        ("--election", "BELLWETHER_ELECTION", "Not A Name"),
        ("--identity", "BELLWETHER_IDENTITY", "a\nb"),
        ("--namespace", "BELLWETHER_NAMESPACE", "a/b"),
        ("--token-file", "BELLWETHER_TOKEN_FILE", "/nowhere"),
        ("--gate-url", "BELLWETHER_GATE_URL", "https://h/"),
    ];
    for (flag, variable, wrong) in cases {
        let serve = ["serve", "--store", &store, "--listen", "127.0.0.1:0"];
        let (code, printed) = with_variables(&[&serve[..], &[flag, wrong]].concat(), &[]);
        assert_eq!(code, 64, "{printed}");
        assert!(printed.contains(flag) && !printed.contains(variable), "{printed}");
        let (code, printed) = with_variables(&serve, &[(variable, wrong)]);
        assert_eq!(code, 64, "{printed}");
        assert!(printed.contains(variable) && !printed.contains(&format!("{flag}:")), "{printed}");
    }
    let (code, printed) =
        with_variables(&["status"], &[("BELLWETHER_STORE", "mysql://u:hunter2@h")]);
    assert_eq!(code, 64, "{printed}");
    assert!(printed.contains("BELLWETHER_STORE: the store URL has no known scheme"), "{printed}");
    assert!(!printed.contains("hunter2"), "a secret is shown: {printed}");
}

#[test]
fn the_store_url_can_come_from_a_file() {
    let pasture = Pasture::new();
    let file = pasture.folder().join("url");
    let args = |file: &str| ["run", "--store-file", file, "--", "true"].map(str::to_owned);
    let missing = args(file.to_str().unwrap());
    let (code, printed) = refused(&missing.each_ref().map(String::as_str), |_| {});
    assert_eq!(code, 64);
    assert!(printed.contains("cannot read the store URL from"), "{printed}");
    fs::write(&file, format!("{}\n", pasture.store())).unwrap();
    assert!(bellwether().args(missing).output().unwrap().status.success());
    assert!(pasture.path().exists());
}

#[test]
fn the_commands_beside_a_sidecar_refuse_what_makes_no_sense() {
    let pasture = Pasture::new();
    let folder = pasture.folder().to_str().unwrap();
    let short = pasture.folder().join("short");
    fs::write(&short, "tooshort\n").unwrap();
    let short = short.to_str().unwrap();
    let cases: [(&[&str], &str); 22] = [
        (&["only"], "<CMD>"),
        (&["only", "--", ""], "has an empty name"),
        (&["is-leader", "--request-timeout", "0s"], "--request-timeout: 0s leaves no time"),
        (&["only", "true"], "unexpected argument 'true'"),
        (&["only", "--sidecar", "https://h", "--", "true"], "use one like http://127.0.0.1:4040"),
        (&["only", "--wait", "soon", "--", "true"], "--wait"),
        (&["only", "--skip-code", "256", "--", "true"], "--skip-code"),
        (&["only", "--token-file", short, "--", "true"], "use at least 16 letters"),
        (&["is-leader", "--sidecar", "127.0.0.1:4040"], "is not the URL of a sidecar"),
        (&["is-leader", "--sidecar", "http://u:hunter2@h"], "is not the URL of a sidecar"),
        (&["wait", "--timeout", "5"], "--timeout"),
        (&["resign", "--cooldown", "long"], "--cooldown"),
        (&["resign", "--token-file", "/nowhere"], "cannot read the token from /nowhere"),
        (&["healthcheck", "--path", "ready"], "use one like /ready"),
        (&["serve", "--token-file", short, "--store", "sqlite:///nowhere/db"], "at least 16"),
        (&["status", "--store", "mysql://h/d"], "no known scheme; use sqlite:///"),
        (&["init", "--store", "sqlite://"], "names no file"),
        (&["install"], "<DIR>"),
        (&["completions", "tcsh"], "possible values: bash"),
        (&["man"], "<DIR>"),
        (&["once", "--run-timeout", "0s", "--", "true"], "leave the flag out for no limit"),
        (&["is-leader", "--sidecar", "http://h:1/?a=b"], "'http://h:1?…' is not the URL"),
    ];
    for (args, expected) in cases {
        let (code, printed) = refused(args, |_| {});
        assert_eq!(code, 64, "{args:?}: {printed}");
        assert!(printed.contains(expected), "{args:?}: {printed}");
        assert!(!printed.contains("hunter2"), "a secret is shown: {printed}");
    }
    assert_eq!(fs::read_dir(folder).unwrap().count(), 1, "nothing was written");
}

#[test]
fn a_switch_in_the_environment_can_be_a_1() {
    let pasture = Pasture::new();
    let store = pasture.store();
    let once = ["once", "--key", "k", "--store", &store, "--", "true"];
    for on in ["1", "true", "yes"] {
        let output = bellwether().args(once).env("BELLWETHER_NO_STDERR", on).output().unwrap();
        assert!(output.status.success(), "{on}: {output:?}");
    }
}

#[test]
fn help_and_version_exit_zero() {
    for args in [&["--help"][..], &["--version"], &["serve", "--help"], &["run", "--help"]] {
        let output = bellwether().args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}");
        assert!(!output.stdout.is_empty(), "{args:?}");
    }
}

/// The headings of a command's help, and the first flag below each.
fn headings(args: &[&str]) -> Vec<(String, String)> {
    let output = bellwether().args(args).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let (mut found, mut heading) = (Vec::new(), None);
    for line in help.lines() {
        match (line.strip_suffix(':'), line.trim_start().split(&[' ', ',', '=']).next()) {
            (Some(name), _) if !name.starts_with(' ') => heading = Some(name.to_owned()),
            (_, Some(flag)) if flag.starts_with('-') => {
                found.extend(heading.take().map(|name| (name, flag.to_owned())));
            }
            _ => {}
        }
    }
    found
}

#[test]
fn the_help_has_headings_and_what_is_for_all_commands_comes_last() {
    let of = |args: &[&str]| headings(args).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    let serve = ["Options", "Store", "Election", "Sidecar", "Gate", "Hooks", "Logging"];
    assert_eq!(of(&["serve", "--help"]), serve);
    assert_eq!(of(&["serve", "-h"]), serve);
    let run = ["Options", "Store", "Election", "Sidecar", "Gate", "Logging"];
    assert_eq!(of(&["run", "--help"]), run);
    for command in COMMANDS {
        let headings = headings(&[command, "--help"]);
        let last = ("Logging".to_owned(), "--log-format".to_owned());
        assert_eq!(headings.last(), Some(&last), "{command}");
        let sidecar = ["only", "is-leader", "wait", "resign", "healthcheck"].contains(&command);
        assert_eq!(
            of(&[command, "-h"]).contains(&"Sidecar".to_owned()),
            sidecar || ["serve", "run"].contains(&command),
            "{command}"
        );
    }
}

#[test]
fn each_flag_is_below_the_heading_of_its_subject() {
    let store = ["--store", "--store-file", "--max-clock-skew", "--namespace"];
    let sidecar = ["--sidecar", "--request-timeout", "--token-file", "--listen", "--vacate-delay"];
    for command in COMMANDS {
        let output = bellwether().args([command, "--help"]).output().unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        let mut heading = "";
        for line in help.lines() {
            if let Some(title) = line.strip_suffix(':').filter(|_| !line.starts_with(' ')) {
                heading = title;
            }
            let words: Vec<_> = line.split_whitespace().collect();
            let Some(flag) = words.iter().take(2).find(|word| word.starts_with("--")) else {
                continue;
            };
            // A flag's own line, and not one of a text or an example.
            if line.len() - line.trim_start().len() > 6 || heading == "Examples" {
                continue;
            }
            let subject = match *flag {
                flag if store.contains(&flag) => "Store",
                flag if sidecar.contains(&flag) => "Sidecar",
                "--election" | "--identity" | "--lease-duration" => "Election",
                _ => {
                    assert!(
                        !["Store", "Sidecar"].contains(&heading),
                        "{command} {flag}: {heading}"
                    );
                    continue;
                }
            };
            assert_eq!(heading, subject, "{command} {flag}");
        }
    }
}

const COMMANDS: [&str; 13] = [
    "serve",
    "run",
    "once",
    "only",
    "is-leader",
    "wait",
    "status",
    "resign",
    "init",
    "healthcheck",
    "install",
    "completions",
    "man",
];

#[test]
fn the_help_of_each_command_ends_with_an_example_of_it() {
    for command in COMMANDS {
        for help in ["-h", "--help"] {
            let output = bellwether().args([command, help]).output().unwrap();
            let help = String::from_utf8(output.stdout).unwrap();
            let (_, examples) = help.split_once("\nExamples:\n").expect(command);
            let example = format!("bellwether {command}");
            assert!(examples.lines().next().unwrap().contains(&example), "{help}");
        }
    }
    let output = bellwether().arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(help.contains("docs/README.md"), "{help}");
}

#[test]
fn completions_are_understood_by_their_shell() {
    let program = env!("CARGO_BIN_EXE_bellwether");
    for (shell, check, expected) in [
        ("bash", "source <(\"$0\" completions bash) && complete -p bellwether", "_bellwether"),
        (
            "zsh",
            "autoload -U compinit && compinit -D && source <(\"$0\" completions zsh) && \
             echo ${_comps[bellwether]}",
            "_bellwether",
        ),
        ("fish", "$PROGRAM completions fish | source; complete -C 'bellwether is-l'", "is-leader"),
    ] {
        let mut command = Command::new(shell);
        let output = command.args(["-c", check, program]).env("PROGRAM", program).output();
        let output = output.expect(shell);
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && printed.contains(expected), "{shell}: {output:?}");
    }
}

#[test]
fn a_flag_of_one_question_has_no_variable() {
    let variables =
        ["TIMEOUT", "WAIT", "PATH", "QUIET", "JSON", "WATCH", "LEADING", "STARTED", "COOLDOWN"];
    for (command, variable) in COMMANDS.iter().flat_map(|c| variables.map(|v| (c, v))) {
        let output = bellwether().args([command, "--help"]).output().unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        let has = help.contains(&format!("[env: BELLWETHER_{variable}]"));
        assert_eq!(has, (*command, variable) == ("once", "TIMEOUT"), "{command} {variable}");
    }
}

#[test]
fn without_a_command_it_prints_the_commands() {
    let page = plain(&[], Some("text"));
    for command in ["Commands:", "serve", "once", "is-leader", "Usage:"] {
        assert!(page.contains(command), "{command}: {page}");
    }
    let (code, printed) = refused(&[], |_| {});
    assert_eq!(code, 64);
    assert!(printed.contains("use one of serve, run, once, only, is-leader"), "{printed}");
}

#[test]
fn a_command_to_run_without_dashes_is_hinted_at() {
    for args in [&["run", "echo", "hi"][..], &["only", "echo"], &["once", "--key", "k", "echo"]] {
        let (code, printed) = refused(args, |_| {});
        assert_eq!(code, 64, "{printed}");
        let hint = format!("put -- before the command, as in `{} -- echo`", args[0]);
        assert!(printed.contains(&hint), "{printed}");
    }
    let (_, printed) = refused(&["serve", "echo"], |_| {});
    assert!(!printed.contains("put --"), "serve runs none: {printed}");
}

/// An unset variable in quotes.
#[test]
fn a_command_with_an_empty_name_exits_64_before_the_store_is_opened() {
    let pasture = Pasture::new();
    let store = pasture.store();
    for args in [&["run", "--store", &store][..], &["once", "--store", &store, "--key", "k"]] {
        let (code, printed) = refused(&[args, &["--", ""]].concat(), |_| {});
        assert_eq!(code, 64, "{printed}");
        assert!(printed.contains("the command after -- has an empty name"), "{printed}");
    }
    assert_eq!(fs::read_dir(pasture.folder()).unwrap().count(), 0, "nothing was written");
}

/// A shell or a terminal may have made the pipe non-blocking.
#[test]
fn all_output_reaches_a_slow_reader_of_a_pipe_that_does_not_block() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    fcntl_setfl(&writer, OFlags::NONBLOCK).unwrap();
    fcntl_setpipe_size(&writer, 4096).unwrap();
    let start = |mut command: Command| command.stdout(writer).spawn().unwrap();
    let mut command = bellwether();
    command.args(["completions", "bash"]);
    let mut printing = Killed(start(command));
    support::eventually("the pipe is full", || {
        (ioctl_fionread(&reader).unwrap() >= 4096).then_some(())
    });
    std::thread::sleep(Duration::from_millis(100));
    let mut read = Vec::new();
    reader.read_to_end(&mut read).unwrap();
    let ended = support::eventually("it exits", || printing.0.try_wait().unwrap());
    assert!(ended.success(), "{ended}");
    let whole = bellwether().args(["completions", "bash"]).output().unwrap().stdout;
    assert!(read == whole, "{} of {} bytes", read.len(), whole.len());
}

#[test]
fn output_that_cannot_be_written_ends_a_command() {
    let pasture = Pasture::new();
    let store = pasture.store();
    assert!(bellwether().args(["init", "--store", &store]).output().unwrap().status.success());
    let status = ["status", "--store", &store];
    let watch = ["status", "--store", &store, "--watch"];
    for args in [&status[..], &watch, &["completions", "bash"], &["--help"], &["--version"]] {
        let mut command = bellwether();
        command.args(args).stdout(fs::File::create("/dev/full").unwrap());
        let output = command.output().unwrap();
        let printed = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(69), "{args:?}: {printed}");
        assert!(printed.contains("cannot write to standard output: No space left"), "{printed}");
    }
    // `status --watch | head -1`
    let mut command = bellwether();
    let mut watching = command.args(watch).stdout(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    let reader = watching.stdout.take().unwrap();
    std::io::BufReader::new(reader).read_line(&mut first).unwrap();
    let ended = support::eventually("it ends with its reader", || watching.try_wait().unwrap());
    assert!(ended.success(), "{ended}");
}
