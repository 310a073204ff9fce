//! The examples of README.md, run as they stand, but for the store, the port and the application's own
//! programs.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Child, Command, Output, Stdio};

use super::{example, examples};
use support::{Killed, Pasture, Sidecar, eventually, program, without_settings};

/// What stands for the application's programs: each notes what it was called with, and the term.
const NOTES: &str = "import os, sys\n\
                     open('notes', 'a').write(f\"{sys.argv} {os.environ.get('BELLWETHER_TERM')}\\n\")\n";

/// A folder with an application, and a shell in it that finds the program under test.
struct Shop(Pasture);

impl Shop {
    fn new() -> Self {
        let shop = Pasture::new();
        for name in ["consumer.py", "manage.py"] {
            fs::write(shop.folder().join(name), NOTES).unwrap();
        }
        let invoices = shop.folder().join("send-invoices");
        fs::write(&invoices, format!("#!/usr/bin/python3\n{NOTES}")).unwrap();
        fs::set_permissions(&invoices, fs::Permissions::from_mode(0o755)).unwrap();
        symlink(program(), shop.folder().join("bellwether")).unwrap();
        Self(shop)
    }

    fn shell(&self, script: &str, variables: &[(&str, &str)]) -> Command {
        let folder = self.0.folder();
        let mut command = Command::new("sh");
        without_settings(&mut command);
        let path = format!("{}:/usr/bin:{}", folder.display(), std::env::var("PATH").unwrap());
        command.env("PATH", path).current_dir(folder).args(["-c", script]);
        command.envs(variables.iter().copied());
        command
    }

    fn run(&self, name: &str, variables: &[(&str, &str)]) -> Output {
        let output =
            self.shell(&example("README.md", "readme.rs", name), variables).output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// What the application's programs noted.
    fn notes(&self) -> Vec<String> {
        let text = fs::read_to_string(self.0.folder().join("notes")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

#[test]
fn the_first_two_commands() {
    assert_eq!(examples("README.md", "readme.rs"), 6);
    let shop = Shop::new();
    let serve = example("README.md", "readme.rs", "serve");
    let serve = serve.replace("sqlite:///tmp/leases.db", &shop.0.store());
    let mut command = shop.shell(&format!("exec {serve} --listen 127.0.0.1:0"), &[]);
    command.env("BELLWETHER_LOG_FORMAT", "json").stderr(Stdio::piped());
    let mut child: Child = command.spawn().unwrap();
    let log = support::Log::of(child.stderr.take().unwrap());
    let _killed = Killed(child);
    let url = eventually("it answers", || log.address());
    let ask = example("README.md", "readme.rs", "ask");
    let ask = ask.replace("localhost:4040", url.trim_start_matches("http://"));
    eventually("it leads", || {
        let output = shop.shell(&ask, &[]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).contains("\"leader\":true").then_some(())
    });
}

#[test]
fn a_command_on_one_instance_and_once_per_release() {
    let shop = Shop::new();
    let store = shop.0.store();
    let store = [("BELLWETHER_STORE", &*store)];
    shop.run("run", &store);
    assert_eq!(shop.notes(), ["['consumer.py'] 1"]);
    shop.run("once", &store);
    shop.run("once", &store);
    let served = "['manage.py', 'runserver'] None";
    assert_eq!(shop.notes()[1..], ["['manage.py', 'migrate'] 1", served, served]);
}

#[test]
fn a_cron_job_and_code_that_asks() {
    let shop = Shop::new();
    let leader = Sidecar::start("a", &shop.0.store());
    eventually("a leads", || leader.leader().leads().then_some(()));
    let standby = Sidecar::start("b", &shop.0.store());
    eventually("b knows", || standby.leader().holder().map(drop));
    let skipped = shop.run("only", &[("BELLWETHER_SIDECAR", &*standby.url)]);
    let skipped = String::from_utf8_lossy(&skipped.stderr).into_owned();
    assert!(skipped.contains("skipped"), "{skipped}");
    assert_eq!(shop.notes(), Vec::<String>::new());
    shop.run("only", &[("BELLWETHER_SIDECAR", &*leader.url)]);
    assert_eq!(shop.notes(), ["['./send-invoices'] 1"]);
    for (sidecar, answer) in [(&leader, "leader"), (&standby, "standby")] {
        let port = sidecar.url.rsplit(':').next().unwrap();
        let script = example("README.md", "readme.rs", "python").replace("4040", port);
        let output = Command::new("/usr/bin/python3").args(["-c", &script]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), answer);
    }
}
