//! The key: where it comes from, and what it may be.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output};

use crate::once::scene::lines;
use support::{Pasture, bellwether};

#[test]
fn a_wrong_key_exits_64() {
    let pasture = Pasture::new();
    for key in ["", "two words"] {
        let args = ["once", "--store", &pasture.store(), "--key", key, "--", "true"];
        let output = bellwether().args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(64));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("is not a key: use 1 to 255 bytes"), "{said}");
    }
    assert!(!pasture.path().exists());
}

/// `once --key auto`, whose command writes down the key.
fn with_auto(pasture: &Pasture) -> Command {
    let mut command = bellwether();
    command.args(["once", "--store", &pasture.store(), "--key", "auto"]);
    command.args(["--", "sh", "-c", "echo $BELLWETHER_KEY >> keys"]).current_dir(pasture.folder());
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A task metadata service, for as long as the test runs.
fn ecs() -> String {
    let task = r#"{"Cluster":"arn:aws:ecs:eu-west-1:123456789012:cluster/prod",
        "TaskARN":"arn:aws:ecs:eu-west-1:123456789012:task/prod/0123456789abcdef",
        "Family":"web","Revision":"7"}"#;
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{task}", task.len());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v4/abc", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    url
}

#[test]
fn on_ecs_auto_is_the_revision_of_the_task_definition() {
    let (pasture, ecs) = (Pasture::new(), ecs());
    for _ in 0..2 {
        let output = with_auto(&pasture).env("ECS_CONTAINER_METADATA_URI_V4", &ecs).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", said(&output));
    }
    assert_eq!(lines(&pasture, "keys"), ["ecs:prod/web:7"]);
}

#[test]
fn on_elastic_beanstalk_auto_is_the_version_label() {
    let pasture = Pasture::new();
    // A machine of its own, as far as /opt goes.
    let script = r#"mount -t tmpfs bellwether-test /opt
        mkdir -p /opt/elasticbeanstalk/deployment && cd /opt/elasticbeanstalk/deployment
        echo '{"VersionLabel":"app-12-ab34","Serial":14}' > app_version_manifest.json
        echo '{"EbResource":{"AWS::ElasticBeanstalk::Metadata":{"EnvironmentName":"web-prod"}}}' \
            > cfn-metadata-cache.json
        cd "$0" && exec "$@""#;
    let once = with_auto(&pasture);
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-ec", script])
        .arg(pasture.folder())
        .arg(once.get_program())
        .args(once.get_args())
        .output()
        .unwrap();
    assert!(output.status.success(), "this test runs as root: {}", said(&output));
    assert_eq!(lines(&pasture, "keys"), ["beanstalk:web-prod/app-12-ab34"]);
}

#[test]
fn elsewhere_auto_exits_64_and_says_what_to_name() {
    let pasture = Pasture::new();
    let output = with_auto(&pasture).env_remove("ECS_CONTAINER_METADATA_URI_V4").output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(said(&output).contains("such as an image digest or a git commit"), "{}", said(&output));
    assert!(!pasture.path().exists());
}

#[test]
fn the_key_may_come_from_the_environment() {
    let pasture = Pasture::new();
    let args =
        ["once", "--store", &pasture.store(), "--", "sh", "-c", "echo $BELLWETHER_KEY > key"];
    let mut command = bellwether();
    command.args(args).env("BELLWETHER_KEY", "3f2a9c1").current_dir(pasture.folder());
    assert!(command.status().unwrap().success());
    assert_eq!(lines(&pasture, "key"), ["3f2a9c1"]);
}
