//! The files of deploy/beanstalk, deployed to machines in the order in which the platform does it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::platforms::field::{Field, LEASE};
use crate::platforms::instance::{Instance, UnitEnd};
use crate::platforms::tools::{must, printed, root, text, yaml};
use support::beats::{beat_after, beats, never_overlapped};
use support::containers::loopback;
use support::dynamodb::Emulator;
use support::{eventually, now};

/// What a user copies into the root of the application.
const BUNDLE: &str = "deploy/beanstalk";

/// An environment: its table, and the application that its instances are given.
pub struct Environment {
    pub field: Field,
    /// None when it is away.
    pub emulator: Option<Emulator>,
    store: String,
    pub app: PathBuf,
}

impl Environment {
    pub fn new() -> Self {
        let (field, emulator) = (Field::new(), Emulator::start());
        // The jobs of cron write there as the user of the application.
        fs::set_permissions(field.folder(), fs::Permissions::from_mode(0o777)).unwrap();
        let app = field.folder().join("app");
        must(Command::new("cp").arg("-a").arg(root().join(BUNDLE)).arg(&app));
        fs::create_dir(app.join("bin")).unwrap();
        let program = app.join(".platform/bellwether/bellwether");
        fs::copy(stripped(), &program).unwrap();
        // As a zip file may have it.
        fs::set_permissions(&program, fs::Permissions::from_mode(0o644)).unwrap();
        let script = |name: &str, text: &str| {
            let path = app.join("bin").join(name);
            fs::write(&path, format!("#!/bin/sh\n{text}")).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        };
        let note = |file: &str, what: &str| {
            format!("echo {what} >> {}/{file}\n", field.folder().display())
        };
        script("migrate", &note("migrated", "$BELLWETHER_KEY"));
        script("on-the-leader", &note("on-the-leader", "$BELLWETHER_IDENTITY"));
        script("only-if-leading", &note("only-if-leading", "once"));
        script("every-five-minutes", &note("cron", "$BELLWETHER_IDENTITY"));
        let web = field.app("/usr/local/bin/bellwether");
        script("web", &fs::read_to_string(&web[1]).unwrap());
        Self { store: emulator.url(), emulator: Some(emulator), field, app }
    }

    pub fn launch(&self, name: &str) -> Instance {
        Instance::launch(self.field.folder().join(name), self.properties())
    }

    /// What its configuration says, for the next instance.
    pub fn properties(&self) -> BTreeMap<String, String> {
        let address = loopback();
        let properties = [
            ("BELLWETHER_STORE", self.store.clone()),
            // In place of the instance profile, and of a network of each machine's own.
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
            ("BELLWETHER_LISTEN", format!("{address}:4040")),
            ("BELLWETHER_SIDECAR", format!("http://{address}:4040")),
        ];
        properties.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// Launches an instance, which the platform then brings to a version.
    #[track_caller]
    pub fn add(&self, name: &str, version: &str) -> Instance {
        let instance = self.launch(name);
        instance.deploy(version, &self.app).unwrap_or_else(|printed| panic!("{printed}"));
        instance
    }
}

#[test]
fn a_version_is_migrated_once_and_what_is_for_the_leader_runs_there() {
    let environment = Environment::new();
    let instances = std::thread::scope(|scope| {
        let environment = &environment;
        let both = ["a", "b"].map(|name| scope.spawn(move || environment.add(name, "v 1")));
        both.map(|instance| instance.join().unwrap())
    });
    let field = &environment.field;
    assert_eq!(field.lines("migrated"), ["beanstalk:Web-Prod/v_1"]);
    assert_eq!(field.lines("on-the-leader").len(), 1);
    assert_eq!(field.lines("only-if-leading").len(), 1);
    let leader = field.lines("on-the-leader").remove(0);
    assert!(["i-a", "i-b"].contains(&leader.as_str()), "{leader}");

    // The next version leaves the sidecars as they are, and so the leader.
    let term = field.worked_in(0);
    for instance in &instances {
        instance.deploy("v2", &environment.app).unwrap();
        assert_eq!(instance.log("bellwether.service").matches("\"event\":\"standing\"").count(), 1);
    }
    let migrated = field.lines("migrated");
    assert_eq!(migrated, ["beanstalk:Web-Prod/v_1", "beanstalk:Web-Prod/v2"]);
    assert_eq!(field.lines("on-the-leader"), [leader.clone(), leader.clone()]);
    let same = now().as_duration().as_secs_f64();
    eventually("the work of the new version continues", || {
        beats(&field.0).iter().any(|beat| beat.at > same).then_some(())
    });
    assert_eq!(beats(&field.0).last().unwrap().term, term);

    // The minute has come.
    for instance in &instances {
        for job in instance.cron_jobs() {
            let output = instance.run_job(&job);
            assert!(output.status.success(), "{}", printed(&output));
        }
    }
    assert_eq!(field.lines("cron"), [leader]);
    never_overlapped(&field.0);
}

/// The program without what a debugger needs, which is most of it: it is copied often here.
fn stripped() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let stripped = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bellwether-stripped");
        must(
            Command::new("strip").args(["-o"]).arg(&stripped).arg(env!("CARGO_BIN_EXE_bellwether")),
        );
        stripped
    })
}

/// The end of one unit.
fn end<'a>(ends: &'a [UnitEnd], unit: &str) -> &'a UnitEnd {
    ends.iter().find(|end| end.unit == unit).unwrap_or_else(|| panic!("no {unit}: {ends:?}"))
}

#[test]
fn an_instance_that_is_terminated_ends_its_work_then_vacates_then_another_leads() {
    let environment = Environment::new();
    let field = &environment.field;
    let a = environment.add("a", "v1");
    let term = field.worked_in(0);
    let _b = environment.add("b", "v1");
    let root = a.root.clone();
    let ends = a.terminate();
    let (web, cron) = (end(&ends, "web.service"), end(&ends, "crond.service"));
    let sidecar = end(&ends, "bellwether.service");
    assert!(web.ended <= sidecar.signalled && cron.ended <= sidecar.signalled, "{ends:?}");
    assert_eq!((sidecar.code, sidecar.killed, web.killed), (Some(0), false, false), "{ends:?}");
    let log = fs::read_to_string(root.join("notes/bellwether.service.log")).unwrap();
    assert_eq!(log.matches("\"event\":\"vacated\"").count(), 1, "{log}");
    assert_eq!(field.lines("finished"), [term.to_string()], "the work was not cut off");
    let next = beat_after(&field.0, term);
    assert_eq!(next.term, term + 1, "handed over, not run out");
    println!("SIGTERM of the sidecar to next work: {:.0} ms", (next.at - sidecar.signalled) * 1e3);
    assert!(next.at - sidecar.signalled < LEASE, "as slow as a crash");
    never_overlapped(&field.0);
}

#[test]
fn scaled_to_zero_and_back_the_first_instance_leads_and_migrates_nothing_again() {
    let environment = Environment::new();
    let field = &environment.field;
    let a = environment.add("a", "v1");
    let term = field.worked_in(0);
    a.terminate();
    let morning = now();
    let _fresh = environment.add("fresh", "v1");
    let signalled = field.lines("on-the-leader");
    assert_eq!(signalled, ["i-a", "i-fresh"], "there is a leader again");
    assert_eq!(field.lines("migrated").len(), 1, "the same version was migrated yesterday");
    assert_eq!(field.worked_in(term), term + 1);
    assert!(now().since(morning).as_secs_f64() < LEASE, "it waited for a lease that was vacated");
    never_overlapped(&field.0);
}

#[test]
fn changed_properties_reach_the_sidecar_as_they_are_and_others_leave_it_alone() {
    let environment = Environment::new();
    let mut a = environment.add("a", "v1");
    let odd = r#"two words, "quotes", a \ and `ticks` and $HOME"#;
    a.configure("SOME_OTHER", "x").unwrap();
    assert_eq!(a.log("bellwether.service").matches("\"event\":\"standing\"").count(), 1);
    a.configure("BELLWETHER_IDENTITY", odd).unwrap();
    let answer = a.run("/", "bellwether is-leader");
    assert_eq!(printed(&answer).trim(), format!("yes: {odd} leads"));
    let settings = a.root.join("etc/bellwether/environment");
    assert_eq!(fs::metadata(settings).unwrap().permissions().mode() & 0o777, 0o600);
    let unit = fs::read_to_string(a.root.join("etc/bellwether/environment")).unwrap();
    assert!(unit.contains("BELLWETHER_ELECTION=\"web-prod\""), "{unit}");
}

#[test]
fn the_usual_mistakes_end_the_deployment_with_what_to_do() {
    let environment = Environment::new();
    let region = "dynamodb://leases";
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (property, value, expected) in [
        ("BELLWETHER_STORE", "", "set the environment property BELLWETHER_STORE"),
        ("BELLWETHER_STORE", "dynamodb:/leases", "BELLWETHER_STORE: "),
        ("BELLWETHER_STORE", region, "no AWS region is set"),
        ("BELLWETHER_LISTEN", &taken, "is in use by another process; stop it, or choose another"),
    ] {
        let mut instance = environment.launch("mistaken");
        instance.properties.insert(property.to_owned(), value.to_owned());
        let failed = instance.deploy("v1", &environment.app).unwrap_err();
        assert!(failed.contains(expected), "{property}={value}: {failed}");
        drop(instance);
        fs::remove_dir_all(environment.field.folder().join("mistaken")).unwrap();
    }
    let program = environment.app.join(".platform/bellwether/bellwether");
    fs::write(&program, "of another architecture").unwrap();
    let failed = environment.launch("mistaken").deploy("v1", &environment.app).unwrap_err();
    assert!(failed.contains("does not run here: it has to be for"), "{failed}");
    fs::remove_file(&program).unwrap();
    fs::remove_dir_all(environment.field.folder().join("mistaken")).unwrap();
    let failed = environment.launch("mistaken").deploy("v1", &environment.app).unwrap_err();
    assert!(failed.contains("put the program into .platform/bellwether/bellwether"), "{failed}");
}

#[test]
fn a_store_that_is_away_keeps_no_instance_out_of_service() {
    let mut environment = Environment::new();
    let closed = support::ports::free_port();
    environment.store =
        format!("dynamodb://leases?region=eu-west-1&endpoint=http://127.0.0.1:{closed}");
    let instance = environment.launch("a");
    let printed = instance.prebuild("v1", &environment.app).unwrap();
    assert!(printed.contains("warning: the election is still undecided"), "{printed}");
    assert!(instance.run("/", "bellwether healthcheck --path /livez").status.success());
}

/// Whether its sidecar is still the one that was started first.
fn undisturbed(instance: &Instance) -> bool {
    instance.log("bellwether.service").matches("\"event\":\"standing\"").count() == 1
}

#[test]
fn settings_that_do_not_work_leave_a_sidecar_alone_that_does() {
    let environment = Environment::new();
    let mut a = environment.add("a", "v1");
    let term = environment.field.worked_in(0);
    let settings = fs::read(a.root.join("etc/bellwether/environment")).unwrap();
    for (property, value, expected) in [
        ("BELLWETHER_STORE", "dynamodb:/leases", "these settings do not work"),
        ("BELLWETHER_STORE", "dynamodb://leases", "no AWS region is set"),
        ("BELLWETHER_LEASE_DURATION", "1 fortnight", "these settings do not work"),
    ] {
        let before = a.properties.clone();
        let failed = a.configure(property, value).unwrap_err();
        assert!(failed.contains(expected), "{property}={value}: {failed}");
        assert!(undisturbed(&a), "{property}={value}");
        assert_eq!(fs::read(a.root.join("etc/bellwether/environment")).unwrap(), settings);
        a.properties = before;
    }
    a.deploy("v2", &environment.app).unwrap();
    assert!(undisturbed(&a), "what is repaired is what was there");
    assert_eq!(beats(&environment.field.0).last().unwrap().term, term);
}

/// A fault that only a start shows.
#[test]
fn a_sidecar_that_does_not_stay_up_makes_room_for_the_one_before() {
    let environment = Environment::new();
    let mut a = environment.add("a", "v1");
    let (properties, address) = (a.properties.clone(), a.properties["BELLWETHER_LISTEN"].clone());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let failed = a.configure("BELLWETHER_LISTEN", &taken).unwrap_err();
    assert!(failed.contains("is in use by another process"), "{failed}");
    assert!(failed.contains("it is as it was before"), "{failed}");
    let ask = format!("bellwether is-leader --sidecar http://{address}");
    eventually("it leads as before", || {
        (printed(&a.run("/", &ask)).trim() == "yes: i-a leads").then_some(())
    });
    a.properties = properties;
    a.deploy("v2", &environment.app).unwrap();
}

const UNIT: &str = "deploy/beanstalk/.platform/bellwether/bellwether.service";
const SCRIPTS: [&str; 3] = [
    "deploy/beanstalk/.platform/hooks/prebuild/10_bellwether.sh",
    "deploy/beanstalk/.platform/confighooks/prebuild/10_bellwether.sh",
    "deploy/beanstalk/.platform/bellwether/with_properties",
];

#[test]
fn shellcheck_has_nothing_to_say_about_the_scripts() {
    must(Command::new("shellcheck").args(SCRIPTS).current_dir(root()));
    for script in SCRIPTS {
        let mode = fs::metadata(root().join(script)).unwrap().permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{script} is executable");
    }
}

/// The exposure, of 100, by `systemd-analyze security`. What remains is the use of the network, at
/// any address.
const EXPOSURE: &str = "15";

#[test]
fn the_unit_is_valid_and_well_protected() {
    let environment = Environment::new();
    let instance = environment.launch("a");
    // `verify` looks whether the program is there.
    fs::copy(env!("CARGO_BIN_EXE_bellwether"), instance.root.join("usr/local/bin/bellwether"))
        .unwrap();
    fs::copy(root().join(UNIT), instance.root.join("etc/systemd/system/bellwether.service"))
        .unwrap();
    let verified =
        instance.run("/", "systemd-analyze verify /etc/systemd/system/bellwether.service");
    assert!(verified.status.success(), "{}", printed(&verified));
    let about_it = printed(&verified);
    assert!(!about_it.contains("bellwether.service"), "{about_it}");
    must(
        Command::new("systemd-analyze")
            .args(["security", "--offline=yes", "--threshold", EXPOSURE])
            .arg(root().join(UNIT)),
    );
}

/// The kernel would answer a call that is not allowed with an error, on a user's machine only.
#[test]
fn the_unit_allows_every_system_call_that_the_sidecar_makes() {
    let environment = Environment::new();
    let trace = environment.field.folder().join("trace");
    let address = loopback();
    let sidecar = format!("http://{address}:4040");
    let mut command = Command::new("strace");
    command.args(["-f", "-o"]).arg(&trace).arg(env!("CARGO_BIN_EXE_bellwether")).arg("serve");
    command.args(["--listen", &format!("{address}:4040")]);
    // A name, so that it is looked up.
    command.args(["--store", &environment.store.replace("127.0.0.1", "localhost")]);
    command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
    command.stderr(std::process::Stdio::null());
    let mut traced = command.spawn().expect("strace is installed (make setup)");
    let ask = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bellwether"));
        command.args(words).env("BELLWETHER_SIDECAR", &sidecar).output().unwrap().status.success()
    };
    eventually("it leads", || ask(&["is-leader"]).then_some(()));
    assert!(ask(&["only", "--", "true"]) && ask(&["healthcheck"]));
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", traced.id())).unwrap();
    support::kill("TERM", children.trim().parse().unwrap());
    assert!(traced.wait().unwrap().success());

    let trace = fs::read_to_string(trace).unwrap();
    let calls: BTreeSet<_> = trace.lines().filter_map(system_call).collect();
    assert!(calls.contains("timerfd_create") && calls.contains("connect"), "{calls:?}");
    let refused: Vec<_> = calls.difference(&allowed_calls()).cloned().collect();
    assert_eq!(refused, [""; 0]);
    for line in trace.lines().filter(|line| line.contains(" socket(")) {
        let families = ["AF_INET,", "AF_INET6,", "AF_NETLINK,", "AF_UNIX,"];
        assert!(families.iter().any(|family| line.contains(family)), "{line}");
    }
    assert!(!trace.contains("PROT_WRITE|PROT_EXEC"));
}

/// `1234 openat(…` and `1234 <... openat resumed>…`
fn system_call(line: &str) -> Option<String> {
    let (_, rest) = line.split_once(' ')?;
    let (name, _) = rest.trim_start().split_once('(')?;
    name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_').then(|| name.to_owned())
}

/// What the SystemCallFilter lines of the unit come to.
fn allowed_calls() -> BTreeSet<String> {
    let mut allowed = BTreeSet::new();
    for line in text(UNIT).lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")) {
        match line.strip_prefix('~') {
            Some(sets) => sets.split(' ').for_each(|set| {
                let denied = calls_of(set);
                allowed.retain(|call| !denied.contains(call));
            }),
            None => line.split(' ').for_each(|set| allowed.extend(calls_of(set))),
        }
    }
    allowed
}

fn calls_of(set: &str) -> BTreeSet<String> {
    let listed = must(Command::new("systemd-analyze").args(["syscall-filter", set]));
    let names = listed.lines().filter_map(|line| line.strip_prefix("    "));
    let names = names.filter(|name| !name.starts_with('#'));
    names
        .flat_map(|name| match name.strip_prefix('@') {
            Some(_) => calls_of(name),
            None => BTreeSet::from([name.to_owned()]),
        })
        .collect()
}

#[test]
fn the_environment_goes_to_zero_at_night_and_comes_back() {
    let nights = yaml("deploy/beanstalk/.ebextensions/nights.config");
    let settings = nights["option_settings"].as_array().unwrap();
    let setting = |resource: &str, option: &str| {
        let found = settings.iter().find(|setting| {
            setting["namespace"] == "aws:autoscaling:scheduledaction"
                && setting["resource_name"] == resource
                && setting["option_name"] == option
        });
        found.unwrap()["value"].as_str().unwrap().to_owned()
    };
    for option in ["MinSize", "MaxSize", "DesiredCapacity"] {
        assert_eq!(
            (setting("Night", option).as_str(), setting("Morning", option).as_str()),
            ("0", "2")
        );
    }
    for action in ["Night", "Morning"] {
        assert_eq!(setting(action, "Recurrence").split(' ').count(), 5);
    }
    assert_eq!(settings.len(), 8);
}
