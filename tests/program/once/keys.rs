//! The key: where it comes from, and what it may be.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::process::{Command, Output};

use crate::once::scene::lines;
use support::releases::Ecs;
use support::{Pasture, bellwether};

#[test]
fn a_wrong_key_exits_64() {
    let pasture = Pasture::new();
    for key in ["", "two words"] {
        let args = ["once", "--store", &pasture.store(), "--key", key, "--", "true"];
        let output = bellwether().args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(64));
        let printed = String::from_utf8(output.stderr).unwrap();
        assert!(printed.contains("is not a key; use 1 to 255 bytes"), "{printed}");
    }
    assert!(!pasture.path().exists());
}

#[test]
fn a_setting_that_is_no_text_is_named() {
    let pasture = Pasture::new();
    let odd = OsStr::from_bytes(b"secret\xff");
    let flag = OsStr::from_bytes(b"--key=secret\xff");
    let refused = |command: &mut Command, name: &str| {
        let output = command.args(["--store", &pasture.store(), "--", "true"]).output().unwrap();
        assert_eq!(output.status.code(), Some(64));
        let printed = printed(&output);
        assert!(printed.contains(&format!(": {name}; use text in UTF-8")), "{printed}");
        assert!(!printed.contains("secret"), "{printed}");
    };
    refused(bellwether().arg("once").env("BELLWETHER_KEY", odd), "BELLWETHER_KEY");
    refused(bellwether().args(["once", "--key"]).arg(odd), "--key");
    refused(bellwether().arg("once").arg(flag), "--key");
    assert!(!pasture.path().exists());
}

/// `once --key auto`, whose command writes down the key.
fn with_auto(pasture: &Pasture) -> Command {
    let mut command = bellwether();
    command.args(["once", "--store", &pasture.store(), "--key", "auto"]);
    command.args(["--", "sh", "-c", "echo $BELLWETHER_KEY >> keys"]).current_dir(pasture.folder());
    command
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn on_ecs_auto_is_the_image_and_tasks_of_it_do_it_once() {
    let (pasture, ecs) = (Pasture::new(), Ecs::start());
    ecs.is("7", "sha256:00ff");
    for _ in 0..2 {
        let output = with_auto(&pasture).env("ECS_CONTAINER_METADATA_URI_V4", &ecs.url).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", printed(&output));
    }
    assert_eq!(lines(&pasture, "keys"), ["ecs:prod/web@sha256:00ff"]);
}

/// Its agent restarts, or the tasks of the host send too many requests.
#[test]
fn a_platform_that_fails_for_a_while_is_tried_again() {
    let (pasture, ecs) = (Pasture::new(), Ecs::start());
    ecs.is("7", "sha256:00ff");
    ecs.fails(4);
    let output = with_auto(&pasture).env("ECS_CONTAINER_METADATA_URI_V4", &ecs.url).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", printed(&output));
    assert_eq!(printed(&output).matches("release_awaited").count(), 1, "{}", printed(&output));
    assert_eq!(lines(&pasture, "keys"), ["ecs:prod/web@sha256:00ff"]);
}

#[test]
fn a_platform_that_keeps_failing_is_no_wrong_key() {
    let (pasture, ecs) = (Pasture::new(), Ecs::start());
    ecs.fails(usize::MAX);
    let output = with_auto(&pasture).env("ECS_CONTAINER_METADATA_URI_V4", &ecs.url).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(69), "{}", printed(&output));
    let words = "status 500 Internal Server Error; name the release with --key, or start";
    assert!(printed(&output).contains(words), "{}", printed(&output));
    ecs.fails(0);
    ecs.is("", "sha256:00ff");
    let output = with_auto(&pasture).env("ECS_CONTAINER_METADATA_URI_V4", &ecs.url).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(64), "a field is missing: {}", printed(&output));
    assert!(printed(&output).contains("gives no Revision"), "{}", printed(&output));
    assert!(!pasture.path().exists());
}

#[test]
fn on_kubernetes_auto_is_the_template_of_the_pod() {
    let pasture = Pasture::new();
    for (pod, revision) in
        [("web-7d9f-aaaaa", "3"), ("web-7d9f-bbbbb", "3"), ("web-5c44-ccccc", "2")]
    {
        let hash = pod.split('-').nth(1).unwrap();
        let mut command = with_auto(&pasture);
        command.envs([("POD_NAME", pod), ("POD_NAMESPACE", "shop")]);
        command.envs([("BELLWETHER_POD_TEMPLATE_HASH", hash), ("BELLWETHER_REVISION", revision)]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", printed(&output));
    }
    assert_eq!(lines(&pasture, "keys"), ["kubernetes:shop/web@7d9f"], "the last one is older");
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
    assert!(output.status.success(), "this test runs as root: {}", printed(&output));
    assert_eq!(lines(&pasture, "keys"), ["beanstalk:web-prod/app-12-ab34"]);
}

#[test]
fn elsewhere_auto_exits_64_and_says_what_to_name() {
    let pasture = Pasture::new();
    let output = with_auto(&pasture).env_remove("ECS_CONTAINER_METADATA_URI_V4").output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(
        printed(&output).contains("such as an image digest or a git commit"),
        "{}",
        printed(&output)
    );
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
