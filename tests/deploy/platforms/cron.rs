//! What cron runs on Elastic Beanstalk: which lines, and with which environment.

use std::fs;
use std::path::Path;

use crate::platforms::beanstalk::Environment;
use crate::platforms::instance::Instance;
use crate::platforms::tools::{printed, text};

const CONFIG: &str = ".ebextensions/cron.config";

/// Replaces the job in the application's own copy of the table.
fn change_the_line(app: &Path, job: &str) {
    let config = text("deploy/beanstalk/.ebextensions/cron.config");
    let changed = config.replace("*/5 * * * * webapp", "*/7 * * * * webapp");
    let changed = changed.replace("/var/app/current/bin/every-five-minutes", job);
    assert_ne!(config, changed);
    fs::write(app.join(CONFIG), changed).unwrap();
}

/// What is in /etc/cron.d.
fn tables(instance: &Instance) -> Vec<String> {
    let files = fs::read_dir(instance.root.join("etc/cron.d")).unwrap().flatten();
    let mut names: Vec<_> = files.map(|file| file.file_name().display().to_string()).collect();
    names.sort();
    names
}

#[test]
fn a_changed_line_replaces_the_old_one() {
    let environment = Environment::new();
    let a = environment.add("a", "v1");
    let job = "/var/app/current/bin/only-if-leading";
    change_the_line(&environment.app, job);
    a.deploy("v2", &environment.app).unwrap();
    let jobs = a.cron_jobs();
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    assert!(jobs[0].command.ends_with(job), "{jobs:?}");
    assert_eq!(tables(&a), ["on-the-leader"]);
}

#[test]
fn a_table_that_leaves_the_application_leaves_cron_and_so_do_backups_of_before() {
    let environment = Environment::new();
    let a = environment.add("a", "v1");
    let folder = a.root.join("etc/cron.d");
    // A file of an older deployment, and one that is not of this application.
    let line = fs::read_to_string(folder.join("on-the-leader")).unwrap();
    fs::write(folder.join("on-the-leader.bak"), line).unwrap();
    fs::write(folder.join("others.bak"), "0 0 * * * root true\n").unwrap();
    fs::write(folder.join("others"), "0 1 * * * root leader_only true\n").unwrap();
    fs::remove_file(environment.app.join(CONFIG)).unwrap();
    a.deploy("v2", &environment.app).unwrap();
    assert_eq!(tables(&a), ["others", "others.bak"]);
}

#[test]
fn a_job_has_the_environment_properties_as_they_are_and_of_the_latest_change() {
    let environment = Environment::new();
    let odd = "two words, 'single' \"double\", $HOME `id` $(id) \\ and\na line; export X=1";
    let job = environment.app.join("bin/every-five-minutes");
    let seen = environment.field.folder().join("seen");
    let script = format!(
        "#!/bin/sh\nprintf '%s|%s|%s' \"$DATABASE_URL\" \"$RAILS_ENV\" \"$BELLWETHER_TERM\" > {}\n",
        seen.display()
    );
    fs::write(job, script).unwrap();
    let mut a = environment.launch("a");
    for (name, value) in [("DATABASE_URL", odd), ("RAILS_ENV", "production"), ("a.b-c", "x")] {
        a.properties.insert(name.to_owned(), value.to_owned());
    }
    a.deploy("v1", &environment.app).unwrap();
    let jobs = a.cron_jobs();
    let run = |a: &Instance| {
        let output = a.run_job(&jobs[0]);
        assert!(output.status.success(), "{}", printed(&output));
        fs::read_to_string(&seen).unwrap()
    };
    assert_eq!(run(&a), format!("{odd}|production|1"));
    a.configure("RAILS_ENV", "staging").unwrap();
    assert_eq!(run(&a), format!("{odd}|staging|1"));

    // The same for a command of a deployment that is started without them, and for one that is not
    // for the leader. What is set already stays.
    let bare = "env -i PATH=/usr/bin:/bin RAILS_ENV=test /usr/local/bin/with_properties \
                sh -c 'echo $RAILS_ENV $BELLWETHER_STORE'";
    let output = a.run("/", bare);
    assert_eq!(printed(&output).trim(), format!("test {}", a.properties["BELLWETHER_STORE"]));
    // They may hold passwords.
    let other_user = "setpriv --reuid daemon --regid nogroup --clear-groups \
                  /usr/local/bin/leader_only true";
    let output = a.run("/", other_user);
    assert_eq!(output.status.code(), Some(77), "{}", printed(&output));
    assert!(printed(&output).contains("run it as root or as webapp"), "{}", printed(&output));
}
