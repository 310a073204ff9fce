//! The hook and the unit of deploy/beanstalk on a real systemd, the first process of a container.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Output;

use crate::platforms::beanstalk::Environment;
use crate::platforms::podman::Podman;
use crate::platforms::tools::{must, printed, root};
use support::beats::{beat_after, beats, never_overlapped};
use support::eventually;

/// A machine, as tests/deploy/platforms/setup.sh has unpacked one, with an application's bundle on it.
struct Machine<'a> {
    podman: &'a Podman,
    name: String,
    properties: BTreeMap<String, String>,
}

impl<'a> Machine<'a> {
    fn boot(podman: &'a Podman, environment: &Environment, name: &str) -> Self {
        let files = root().join("target/tools/machine");
        assert!(files.join("installed").exists(), "no machine is unpacked: run make setup");
        let get_config = environment.field.folder().join("get-config");
        fs::write(&get_config, "#!/bin/sh\necho Web-Prod\n").unwrap();
        fs::set_permissions(&get_config, fs::Permissions::from_mode(0o755)).unwrap();
        let mount = |from: PathBuf, to: &str| format!("{}:{to}", from.display());
        let field = environment.field.folder();
        let mut run = podman.command();
        // Without limits of its own, which a host may not allow.
        run.args(["run", "--detach", "--name", name, "--hostname", name]);
        run.args(["--systemd=always", "--privileged", "--network", "host"]);
        run.args(["--volume", &mount(environment.app.clone(), "/var/app/staging")]);
        run.args(["--volume", &mount(field.into(), &field.display().to_string())]);
        run.args(["--volume", &mount(get_config, "/opt/elasticbeanstalk/bin/get-config")]);
        run.args(["--rootfs", &format!("{}:O", files.display()), "/sbin/init"]);
        must(&mut run);
        let machine = Self { podman, name: name.to_owned(), properties: environment.properties() };
        eventually("it has booted", || {
            let state = printed(&machine.run("systemctl is-system-running"));
            ["running", "degraded"].contains(&state.trim()).then_some(())
        });
        machine
    }

    /// Runs a command as the platform does, as root and with the properties.
    fn run(&self, command: &str) -> Output {
        let mut exec = self.podman.command();
        exec.arg("exec");
        for (name, value) in &self.properties {
            exec.args(["--env", &format!("{name}={value}")]);
        }
        exec.args([&self.name, "sh", "-c", command]).output().unwrap()
    }

    #[track_caller]
    fn must(&self, command: &str) -> String {
        let output = self.run(command);
        assert!(output.status.success(), "{command}: {}", printed(&output));
        printed(&output)
    }

    /// The hook, and what it prints.
    fn hook(&self) -> Result<String, String> {
        let output = self.run("/var/app/staging/.platform/hooks/prebuild/10_bellwether.sh");
        if output.status.success() { Ok(printed(&output)) } else { Err(printed(&output)) }
    }

    fn restarts(&self) -> u32 {
        let shown = self.must("systemctl show --property NRestarts --value bellwether.service");
        shown.trim().parse().unwrap()
    }

    fn leads(&self) -> bool {
        self.run("bellwether is-leader").status.success()
    }
}

#[test]
fn a_restart_of_the_past_fails_no_deployment_while_the_store_is_away() {
    let podman = Podman::new();
    let mut environment = Environment::new();
    let a = Machine::boot(&podman, &environment, "a");
    a.hook().unwrap();
    a.must("systemctl kill --kill-who=main --signal=KILL bellwether.service");
    eventually("it was restarted and leads", || (a.restarts() == 1 && a.leads()).then_some(()));
    environment.emulator = None;
    eventually("it has lost the store", || (!a.leads()).then_some(()));
    let continued = a.hook().unwrap();
    assert!(continued.contains("warning: the election is still undecided"), "{continued}");
    assert_eq!(a.restarts(), 1, "and it was left alone");
}

#[test]
fn after_a_crash_loop_the_repaired_deployment_passes() {
    let podman = Podman::new();
    let mut environment = Environment::new();
    let mut a = Machine::boot(&podman, &environment, "a");
    let repaired = a.properties.clone();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    a.properties.insert("BELLWETHER_LISTEN".to_owned(), taken);
    let failed = a.hook().unwrap_err();
    assert!(failed.contains("is in use by another process"), "{failed}");
    eventually("systemd restarts it", || (a.restarts() > 1).then_some(()));
    // So that the hook has to wait, and to look at the count.
    environment.emulator = None;
    a.properties = repaired;
    let continued = a.hook().unwrap();
    assert!(continued.contains("warning: the election is still undecided"), "{continued}");
    assert_eq!(a.must("systemctl is-active bellwether.service").trim(), "active");
}

#[test]
fn a_machine_that_is_shut_down_ends_its_work_then_vacates_then_another_leads() {
    let podman = Podman::new();
    let environment = Environment::new();
    let field = &environment.field;
    let unit = "[Service]\nExecStart=/bin/sh /var/app/staging/bin/web\nPassEnvironment=X\n\
                EnvironmentFile=/etc/bellwether/environment\nRestart=always\n";
    let machines = ["a", "b"].map(|name| {
        let machine = Machine::boot(&podman, &environment, name);
        machine.hook().unwrap();
        machine.must(&format!("printf '{unit}' > /etc/systemd/system/web.service"));
        machine.must("systemctl daemon-reload && systemctl start web.service");
        machine
    });
    let term = field.worked_in(0);
    let leader = beats(&field.0).last().unwrap().term;
    let stopped = machines.iter().find(|machine| machine.leads()).unwrap();
    must(podman.command().args(["stop", "--time", "60", &stopped.name]));
    let next = beat_after(&field.0, leader);
    assert_eq!(next.term, leader + 1, "handed over, not run out");
    assert_eq!(field.lines("finished"), [term.to_string()], "the work was not cut off");
    never_overlapped(&field.0);
}
