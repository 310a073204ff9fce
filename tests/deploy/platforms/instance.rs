//! An instance of Elastic Beanstalk: a machine with an init and a file system of its own, and the
//! platform's engine, which deploys application versions to it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::platforms::tools::{must, root, yaml};
use support::containers::{Container, Pod};
use support::eventually;

/// Folders of the machine that are its own. The rest is this host's.
const OWN: [&str; 4] = ["etc", "opt", "usr/local/bin", "var"];

/// The user of the application, as the platform has it.
const USER: [(&str, &str); 2] =
    [("passwd", "webapp:x:900:900::/home/webapp:/sbin/nologin\n"), ("group", "webapp:x:900:\n")];

/// A machine that runs, killed when dropped.
pub struct Instance {
    pub root: PathBuf,
    pod: Pod,
    pub properties: BTreeMap<String, String>,
    deployments: Cell<u64>,
}

/// How a unit ended when the machine was shut down.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct UnitEnd {
    pub unit: String,
    pub signalled: f64,
    pub ended: f64,
    pub code: Option<i32>,
    pub killed: bool,
}

impl Instance {
    /// Launches one, with the properties that its environment has.
    pub fn launch(root: PathBuf, properties: BTreeMap<String, String>) -> Self {
        for folder in OWN {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        for folder in
            ["etc/cron.d", "etc/systemd/system", "var/app", "var/lib/cloud/data", "notes", "bin"]
        {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        must(Command::new("cp").args(["-a", "/etc/.", &root.join("etc").display().to_string()]));
        fs::remove_dir_all(root.join("etc/cron.d")).unwrap();
        fs::create_dir(root.join("etc/cron.d")).unwrap();
        for (file, line) in USER {
            let path = root.join("etc").join(file);
            let known = fs::read_to_string(&path).unwrap();
            fs::write(path, known + line).unwrap();
        }
        let id = format!("i-{}", root.file_name().unwrap().display());
        fs::write(root.join("var/lib/cloud/data/instance-id"), id).unwrap();
        for name in ["systemctl", "journalctl"] {
            symlink(program(), root.join("bin").join(name)).unwrap();
        }
        platform(&root);
        let pod = Pod::start(vec![machine(&root)]).unwrap_or_else(|_| panic!("it starts"));
        let instance = Self { properties, root, pod, deployments: Cell::new(0) };
        eventually("its init runs", || instance.root.join("notes/socket").exists().then_some(()));
        instance
    }

    /// Does to this instance what the platform does in a deployment of an application version.
    ///
    /// # Errors
    ///
    /// The output of the step that failed, which ends the deployment.
    pub fn deploy(&self, version: &str, app: &Path) -> Result<String, String> {
        let mut printed = self.prebuild(version, app)?;
        for extension in extensions(&self.root.join("var/app/staging")) {
            printed += &self.container_commands(&extension)?;
        }
        let current = self.root.join("var/app/current");
        let _ = fs::remove_dir_all(&current);
        fs::rename(self.root.join("var/app/staging"), current).unwrap();
        let properties = self.environment().into_iter();
        let properties: String = properties.map(|(k, v)| format!("{k}=\"{v}\"\n")).collect();
        fs::write(self.root.join("opt/elasticbeanstalk/deployment/env"), properties).unwrap();
        printed += &step("web", &self.run("/", "systemctl restart web.service"))?;
        Ok(printed)
    }

    /// The first part of a deployment, up to the hooks that run before anything of the version does.
    ///
    /// # Errors
    ///
    /// The output of the step that failed.
    pub fn prebuild(&self, version: &str, app: &Path) -> Result<String, String> {
        let deployment = self.root.join("opt/elasticbeanstalk/deployment");
        self.deployments.set(self.deployments.get() + 1);
        let manifest = json!({
            "VersionLabel": version, "Serial": 1, "DeploymentId": self.deployments.get(),
        });
        fs::write(deployment.join("app_version_manifest.json"), manifest.to_string()).unwrap();
        let staging = self.root.join("var/app/staging");
        let _ = fs::remove_dir_all(&staging);
        fs::create_dir(&staging).unwrap();
        must(Command::new("cp").arg("-a").arg(app.join(".")).arg(&staging));

        let mut printed = String::new();
        for extension in extensions(&staging) {
            printed += &self.pre_build(&extension)?;
        }
        printed += &self.hooks("hooks/prebuild")?;
        Ok(printed)
    }

    /// The environment properties have changed; the version has not.
    ///
    /// # Errors
    ///
    /// The output of the hook that failed.
    pub fn configure(&mut self, name: &str, value: &str) -> Result<String, String> {
        self.properties.insert(name.to_owned(), value.to_owned());
        self.hooks("confighooks/prebuild")
    }

    fn pre_build(&self, extension: &Value) -> Result<String, String> {
        for (path, file) in extension["files"].as_object().into_iter().flatten() {
            let target = self.root.join(path.trim_start_matches('/'));
            let content = file["content"].as_str().unwrap();
            // What is replaced stays beside it, as cfn-init leaves it.
            if fs::read_to_string(&target).is_ok_and(|there| there != content) {
                let backup = format!("{}.bak", target.display());
                fs::rename(&target, backup).unwrap();
            }
            fs::write(&target, content).unwrap();
            let mode = u32::from_str_radix(file["mode"].as_str().unwrap(), 8).unwrap();
            fs::set_permissions(&target, fs::Permissions::from_mode(mode)).unwrap();
        }
        let commands = extension["commands"].as_object().into_iter().flatten();
        commands
            .map(|(name, command)| step(name, &self.run("/", text(&command["command"]))))
            .collect()
    }

    fn container_commands(&self, extension: &Value) -> Result<String, String> {
        let commands = extension["container_commands"].as_object().into_iter().flatten();
        // By name: the map is sorted.
        let mut printed = String::new();
        for (name, command) in commands {
            let passes = command
                .get("test")
                .is_none_or(|test| self.run("/var/app/staging", text(test)).status.success());
            if passes {
                printed += &step(name, &self.run("/var/app/staging", text(&command["command"])))?;
            }
        }
        Ok(printed)
    }

    fn hooks(&self, kind: &str) -> Result<String, String> {
        let app = if kind.starts_with("config") { "/var/app/current" } else { "/var/app/staging" };
        let folder = self.root.join(app.trim_start_matches('/')).join(".platform").join(kind);
        let mut files: Vec<_> = fs::read_dir(folder).unwrap().flatten().collect();
        files.sort_by_key(fs::DirEntry::file_name);
        let names =
            files.iter().map(|file| format!(".platform/{kind}/{}", file.file_name().display()));
        names.map(|name| step(&name, &self.run(app, &name))).collect()
    }

    /// Runs a command in the machine as the platform does: as root, with the properties.
    pub fn run(&self, folder: &str, command: &str) -> Output {
        let mut enter = self.enter();
        enter.args(["sh", "-c", &format!("cd {folder} && {command}")]).env_clear();
        enter.envs(self.environment()).output().expect("nsenter runs: these tests run as root")
    }

    fn enter(&self) -> Command {
        let mut enter = Command::new("nsenter");
        enter.args(["--target", &self.pod.pid("machine").to_string(), "--mount", "--pid", "--"]);
        enter.stdin(Stdio::null());
        enter
    }

    /// The lines of every table that cronie takes for one, in any order.
    pub fn cron_jobs(&self) -> Vec<CronJob> {
        let tables = fs::read_dir(self.root.join("etc/cron.d")).unwrap().flatten();
        let tables = tables.filter(|table| is_crontab(&table.file_name().display().to_string()));
        let lines = tables.flat_map(|table| {
            let text = fs::read_to_string(table.path()).unwrap();
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        });
        let jobs = lines.filter(|line| !line.starts_with('#') && !line.is_empty()).map(|line| {
            let words: Vec<_> = line.splitn(7, ' ').collect();
            CronJob { user: words[5].to_owned(), command: words[6].to_owned() }
        });
        jobs.collect()
    }

    /// Runs a job as crond does: as its user, with an environment of cron's own.
    pub fn run_job(&self, job: &CronJob) -> Output {
        let mut enter = self.enter();
        enter.args(["setpriv", "--reuid", &job.user, "--regid", &job.user, "--init-groups"]);
        enter.args(["/bin/sh", "-c", &job.command]).env_clear();
        enter.env("SHELL", "/bin/sh").env("HOME", "/").env("LOGNAME", &job.user);
        enter.env("USER", &job.user).env("PATH", "/usr/bin:/bin");
        enter.output().expect("nsenter runs: these tests run as root")
    }

    fn environment(&self) -> Vec<(String, String)> {
        let mut properties: BTreeMap<_, _> = BTreeMap::new();
        for extension in extensions(&root().join("deploy/beanstalk")) {
            let own = &extension["option_settings"]["aws:elasticbeanstalk:application:environment"];
            for (name, value) in own.as_object().into_iter().flatten() {
                properties.insert(name.clone(), text(value).to_owned());
            }
        }
        // What a user sets goes before what is in the bundle.
        properties.extend(self.properties.clone());
        let bin = self.root.join("bin");
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", bin.display());
        let notes = self.root.join("notes").display().to_string();
        properties.extend(
            [("PATH", path), ("HOME", "/root".to_owned()), ("MACHINE_NOTES", notes)]
                .map(|(name, value)| (name.to_owned(), value)),
        );
        properties.into_iter().collect()
    }

    /// The log of a unit.
    pub fn log(&self, unit: &str) -> String {
        fs::read_to_string(self.root.join("notes").join(format!("{unit}.log"))).unwrap_or_default()
    }

    /// The instance is terminated: an orderly shutdown. How its units ended, in this order.
    pub fn terminate(self) -> Vec<UnitEnd> {
        let notes = self.root.join("notes/ends");
        let _ = fs::remove_file(&notes);
        self.pod.stop();
        let ends = fs::read_to_string(notes).unwrap_or_default();
        ends.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("a text, not {value}"))
}

/// Every file of an application's .ebextensions, in the order of their names.
fn extensions(application: &Path) -> Vec<Value> {
    let folder = application.join(".ebextensions");
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| yaml(&file.display().to_string())).collect()
}

/// A line of a table of cron.
#[derive(Debug)]
pub struct CronJob {
    pub user: String,
    pub command: String,
}

/// Whether cronie reads a file of /etc/cron.d, by its name (`not_a_crontab` in its database.c).
fn is_crontab(name: &str) -> bool {
    let ignored = [".rpmsave", ".rpmorig", ".rpmnew", "~"];
    !name.starts_with(['.', '#']) && !ignored.iter().any(|end| name.ends_with(end))
}

fn step(name: &str, output: &Output) -> Result<String, String> {
    let printed = crate::platforms::tools::printed(output);
    if output.status.success() { Ok(printed) } else { Err(format!("{name}: {printed}")) }
}

fn program() -> PathBuf {
    root().join("tests/deploy/platforms/machine.py")
}

/// The machine, whose own folders lie over this host's.
fn machine(root: &Path) -> Container {
    let mut boot = String::from("set -e\n");
    for folder in OWN {
        boot += &format!("mount --bind {}/{folder} /{folder}\n", root.display());
    }
    boot += &format!("exec /usr/bin/python3 {}\n", program().display());
    Container {
        name: "machine".to_owned(),
        command: ["sh", "-c", &boot].map(str::to_owned).into(),
        env: vec![("MACHINE_NOTES".to_owned(), root.join("notes").display().to_string())],
        after: vec![],
        health: None,
        // EC2 does not say how long it waits; it is minutes.
        stop_timeout: Duration::from_secs(120),
    }
}

/// What the platform has put on the machine before anything of the application is there.
fn platform(root: &Path) {
    let platform = root.join("opt/elasticbeanstalk");
    for folder in ["bin", "deployment"] {
        fs::create_dir_all(platform.join(folder)).unwrap();
    }
    let get_config = "#!/bin/sh\n\
                      test \"$*\" = 'container -k environment_name' && echo Web-Prod && exit\n\
                      echo \"get-config: $*\" >&2\nexit 1\n";
    fs::write(platform.join("bin/get-config"), get_config).unwrap();
    fs::set_permissions(platform.join("bin/get-config"), fs::Permissions::from_mode(0o755))
        .unwrap();
    let metadata = json!({ "EbResource": {
        "AWS::ElasticBeanstalk::Metadata": { "EnvironmentName": "Web-Prod" },
    }});
    let cache = platform.join("deployment/cfn-metadata-cache.json");
    fs::write(cache, metadata.to_string()).unwrap();
    // A unit for the Procfile's first line, and the one that the package cronie brings.
    let unit = |name: &str, command: &str, more: &str| {
        let text = format!("[Service]\nExecStart={command}\n{more}");
        fs::write(root.join("etc/systemd/system").join(name), text).unwrap();
    };
    let env = "EnvironmentFile=/opt/elasticbeanstalk/deployment/env\n";
    unit("web.service", "sh /var/app/current/bin/web", env);
    unit("crond.service", "sleep infinity", "");
}
