//! The files of deploy/beanstalk/docker, with a real engine in the place of the instance's.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::platforms::beanstalk::Environment;
use crate::platforms::engine::{Engine, Project};
use crate::platforms::tools::{must, printed, root, text};
use support::eventually;

const FOLDER: &str = "deploy/beanstalk/docker";

/// The files in which Beanstalk describes the deployment, in a folder of the test.
fn deployment(folder: &Path) -> PathBuf {
    let there = folder.join("deployment");
    fs::create_dir(&there).unwrap();
    let metadata = json!({ "EbResource": {
        "AWS::ElasticBeanstalk::Metadata": { "EnvironmentName": "Web-Prod" },
    }});
    fs::write(there.join("cfn-metadata-cache.json"), metadata.to_string()).unwrap();
    let manifest = json!({ "VersionLabel": "v1", "Serial": 1, "DeploymentId": 1 });
    fs::write(there.join("app_version_manifest.json"), manifest.to_string()).unwrap();
    there
}

/// An application whose entrypoint sets something up that the migration needs.
fn application(engine: &Engine, folder: &Path, name: &str) {
    let script = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    fs::create_dir(folder.join("bin")).unwrap();
    script("entrypoint", "export SET_UP=yes\nexec \"$@\"");
    script("bin/migrate", "echo \"migrated $BELLWETHER_KEY $SET_UP $DATABASE_URL\"");
    script(
        "bin/web",
        "trap 'exit 0' TERM\nwhile :; do\n\
         /opt/bellwether/bellwether only -- sh -c 'echo working in term $BELLWETHER_TERM'\n\
         sleep 1 & wait $!\ndone",
    );
    let dockerfile = "FROM busybox:1.37\nWORKDIR /app\nCOPY entrypoint .\nCOPY bin bin\n\
                      ENTRYPOINT [\"/app/entrypoint\"]\nCMD [\"./bin/web\"]\n";
    fs::write(folder.join("Dockerfile"), dockerfile).unwrap();
    engine.build(name, folder, &[]);
}

/// An instance: its own address, and what Beanstalk writes into `.env`.
fn instance<'a>(engine: &'a Engine, environment: &Environment, folder: &Path) -> Project<'a> {
    let mut properties = environment.properties();
    properties.insert("BELLWETHER_ELECTION".to_owned(), "web-prod".to_owned());
    properties.insert("DATABASE_URL".to_owned(), "postgres://db/shop".to_owned());
    let lines: String =
        properties.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    fs::write(folder.join(".env"), lines).unwrap();
    let file = folder.join("docker-compose.yml");
    engine.project(&file, &[("SIDECAR_IMAGE", "bellwether:0.1.0")])
}

#[test]
fn by_compose_a_version_is_migrated_once_and_the_sidecar_is_stopped_last() {
    let (engine, environment) = (Engine::new(), Environment::new());
    let folders = ["first", "second"].map(|name| environment.field.folder().join(name));
    for folder in &folders {
        fs::create_dir(folder).unwrap();
        let there = deployment(folder).display().to_string();
        let file = text(&format!("{FOLDER}/docker-compose.yml"));
        assert_eq!(file.matches("/opt/elasticbeanstalk/deployment:").count(), 2);
        let file = file.replacen("- /opt/elasticbeanstalk/deployment:", &format!("- {there}:"), 1);
        fs::write(folder.join("docker-compose.yml"), file).unwrap();
    }
    application(&engine, &folders[0], "app:latest");
    let first = instance(&engine, &environment, &folders[0]);
    first.up(&["--no-build"]);
    let migrated = first.logs("migrate");
    assert!(
        migrated.contains("migrated beanstalk:Web-Prod/v1 yes postgres://db/shop"),
        "{migrated}"
    );
    eventually("it leads", || first.logs("web").contains("working in term 1").then_some(()));

    let second = instance(&engine, &environment, &folders[1]);
    second.up(&["--no-build"]);
    let found = second.logs("migrate");
    assert!(!found.contains("migrated beanstalk") && found.contains("done"), "{found}");
    must(&mut first.compose(&["stop"]));
    let log = first.logs("bellwether");
    assert_eq!(log.matches("lease vacated").count(), 1, "{log}");
    eventually("the other leads", || {
        second.logs("web").contains("working in term 2").then_some(())
    });
    for project in [first, second] {
        must(&mut project.compose(&["down", "--volumes"]));
    }
}

#[test]
fn for_a_single_container_the_hook_migrates_once_in_the_new_image() {
    let (engine, environment) = (Engine::new(), Environment::new());
    let folder = environment.field.folder().join("single");
    fs::create_dir(&folder).unwrap();
    application(&engine, &folder, "aws_beanstalk/staging-app:latest");
    let mut properties = environment.properties();
    properties.insert("DATABASE_URL".to_owned(), "two words".to_owned());
    let records: String =
        properties.iter().map(|(name, value)| format!("{name}={value}\0")).collect();
    fs::write(folder.join("properties"), records).unwrap();
    let hook = text(&format!("{FOLDER}/.platform/hooks/predeploy/20_migrate.sh"));
    let there = |path: &Path| path.display().to_string();
    let program = engine.program();
    let hook = hook
        .replace("</etc/bellwether/properties", &format!("<{}", there(&folder.join("properties"))))
        .replace("--volume /usr/local/bin/bellwether:", &format!("--volume {}:", there(&program)))
        .replace(
            "--volume /opt/elasticbeanstalk/deployment:",
            &format!("--volume {}:", there(&deployment(&folder))),
        )
        .replace("exec docker run", &format!("exec {} run", engine.podman.line()));
    let run = || {
        let mut bash = Command::new("bash");
        bash.args(["-c", &hook]).envs(&properties).env("CONTAINERS_CONF", engine.podman.settings());
        bash.output().unwrap()
    };
    let first = run();
    assert!(first.status.success(), "{}", printed(&first));
    let line = "migrated beanstalk:Web-Prod/v1 yes two words";
    assert!(printed(&first).contains(line), "{}", printed(&first));
    let again = run();
    assert!(again.status.success() && !printed(&again).contains(line), "{}", printed(&again));
}

#[test]
fn shellcheck_has_nothing_to_say_about_the_hook() {
    let hook = root().join(FOLDER).join(".platform/hooks/predeploy/20_migrate.sh");
    must(Command::new("shellcheck").arg(&hook));
    assert_eq!(fs::metadata(hook).unwrap().permissions().mode() & 0o111, 0o111);
}
