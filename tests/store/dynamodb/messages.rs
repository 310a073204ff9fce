//! An error that only a person can fix is reported at once, with what to do, and ends the program.

use std::process::{Command, Stdio};

use aws_sdk_dynamodb::types::AttributeValue;
use bellwether::store::Store as _;

use crate::dynamodb::calls::held;
use support::dynamodb::{Emulator, PATIENCE, SKEW, open};
use support::http_proxy::{Fault, Proxy};
use support::{Killed, Log, bellwether, eventually, with_credentials};

/// The end of a program that cannot begin: its message.
fn refused(mut command: Command, store: &str, exit_code: i32) -> String {
    command.args(["serve", "--listen", "127.0.0.1:0", "--store", store]);
    // Nothing of this machine's own: no profile files, no instance metadata.
    command.env("HOME", "/nonexistent").env("AWS_EC2_METADATA_DISABLED", "true");
    let child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut child = Killed(child);
    let log = Log::of(child.0.stderr.take().unwrap());
    let status = log.exit_status(&mut child.0);
    assert_eq!(status.code(), Some(exit_code), "{}", log.text());
    log.text()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn no_region() {
    let text = refused(with_credentials(), "dynamodb://leases", 69);
    assert!(text.contains("no AWS region is set") && text.contains("AWS_REGION"), "{text}");
}

#[test]
fn no_credentials() {
    let emulator = Emulator::start();
    let text = refused(bellwether(), &emulator.url(), 69);
    assert!(text.contains("there are no AWS credentials"), "{text}");
    assert!(text.contains("deploy/iam/dynamodb-policy.json"), "{text}");
}

/// A line break at the end of a secret that was written into a file or encoded by hand.
#[test]
fn credentials_and_regions_that_cannot_be_sent_are_named() {
    for (variable, value, words) in [
        ("AWS_ACCESS_KEY_ID", "AKIA\n", "the access key id contains a line break"),
        ("AWS_SESSION_TOKEN", "to\nken", "the session token contains a line break"),
        ("AWS_REGION", "eu-west-1\n", r"the AWS region 'eu-west-1\n' is no name of a region"),
    ] {
        let mut command = with_credentials();
        command.env_remove("AWS_REGION").env(variable, value);
        let region = if variable == "AWS_REGION" { "" } else { "?region=eu-west-1" };
        let text = refused(command, &format!("dynamodb://leases{region}"), 69);
        assert!(text.contains(words) || text.contains(&words.replace('\\', r"\\")), "{text}");
        assert!(!text.contains("panicked") && !text.contains("AKIA"), "{text}");
    }
}

#[test]
fn a_profile_that_does_not_exist() {
    let emulator = Emulator::start();
    let url = format!("{}&profile=absent", emulator.url());
    let text = refused(bellwether(), &url, 69);
    assert!(text.contains("AWS") && !text.contains("panicked"), "{text}");
}

#[test]
fn a_missing_table_and_no_right_to_create_it() {
    let emulator = Emulator::start();
    let proxy = Proxy::before(emulator.port());
    let denied = "User: arn:aws:sts::123456789012:assumed-role/web/task is not authorized to \
                  perform: dynamodb:CreateTable on resource: \
                  arn:aws:dynamodb:eu-west-1:123456789012:table/leases";
    proxy.on(move |request| match request.operation.as_str() {
        "CreateTable" => Fault::Refuse(400, "AccessDeniedException", denied),
        _ => Fault::Pass,
    });
    let text = refused(with_credentials(), &proxy.url(), 69);
    for part in [
        "DynamoDB table 'leases' in eu-west-1",
        "bellwether init --store",
        "deploy/cloudformation/dynamodb-table.yaml",
        "perform: dynamodb:CreateTable",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

/// A read must not turn a mistyped name into a table.
#[test]
fn reads_create_no_table_and_a_creation_is_reported() {
    let emulator = Emulator::start();
    let proxy = Proxy::before(emulator.port());
    let printed = |arguments: &[&str]| {
        let mut command = with_credentials();
        command.args(arguments).args(["--store", &proxy.url()]);
        let output = command.stdin(Stdio::null()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for look in [&["status"][..], &["once", "--reset", "--key", "k"]] {
        let (code, text) = printed(look);
        assert_eq!(code, Some(69), "{text}");
        assert!(text.contains("does not exist") && text.contains("bellwether init"), "{text}");
        assert_eq!(proxy.count("CreateTable"), 0);
    }
    let sidecar = crate::dynamodb::elections::start("a", &proxy.url(), &[]);
    eventually("it leads", || sidecar.leader().leads().then_some(()));
    assert_eq!(proxy.count("CreateTable"), 1);
    let log = sidecar.log();
    log.await_events("dynamodb_table_created", 1);
    assert_eq!(printed(&["status"]).0, Some(0));
}

#[test]
fn an_item_of_a_later_version_hides_no_other() {
    let emulator = Emulator::start();
    let runtime = runtime();
    runtime.block_on(async {
        let store = open(&emulator.url(), PATIENCE, Some(SKEW));
        store.init().await.unwrap();
        for name in ["readable", "later"] {
            store.swap(&name.parse().unwrap(), None, &held("a", 1)).await.unwrap();
        }
        let key = AttributeValue::S("later".to_owned());
        let request = emulator.client().update_item().table_name("leases").key("election", key);
        let request = request
            .update_expression("SET #format = :format")
            .expression_attribute_names("#format", "format")
            .expression_attribute_values(":format", AttributeValue::N("99".to_owned()));
        request.send().await.unwrap();
    });
    for json in [&[][..], &["--json"]] {
        let mut command = with_credentials();
        command.args(["status", "--store", &emulator.url()]).args(json);
        let output = command.output().unwrap();
        let (shown, printed) =
            [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).into();
        assert_eq!(output.status.code(), Some(0), "{printed}");
        assert!(shown.contains("readable") && !shown.contains("later"), "{shown}");
        assert!(printed.contains("'later' that has format 99"), "{printed}");
    }
}

#[test]
fn a_right_that_is_missing_is_named() {
    let emulator = Emulator::start();
    let proxy = Proxy::before(emulator.port());
    let denied = "User: u is not authorized to perform: dynamodb:DescribeTable on resource: r";
    proxy.always(Fault::Refuse(400, "AccessDeniedException", denied));
    let text = refused(with_credentials(), &proxy.url(), 69);
    assert!(text.contains("perform: dynamodb:DescribeTable"), "{text}");
    assert!(text.contains("deploy/iam/dynamodb-policy.json"), "{text}");
}

#[test]
fn a_table_with_other_keys() {
    for (key, sort) in [("id", None), ("election", Some("sort"))] {
        let emulator = Emulator::start();
        runtime().block_on(emulator.create_foreign_table(key, sort));
        let text = refused(with_credentials(), &emulator.url(), 69);
        assert!(text.contains("a partition key named 'election'"), "{text}");
    }
}

#[test]
fn a_global_table_with_eventual_consistency() {
    let emulator = Emulator::start();
    let proxy = Proxy::before(emulator.port());
    let table = serde_json::json!({ "Table": {
        "TableName": "leases",
        "TableStatus": "ACTIVE",
        "KeySchema": [{ "AttributeName": "election", "KeyType": "HASH" }],
        "AttributeDefinitions": [{ "AttributeName": "election", "AttributeType": "S" }],
        "Replicas": [{ "RegionName": "us-east-1", "ReplicaStatus": "ACTIVE" }],
        "MultiRegionConsistency": "EVENTUAL",
    }});
    proxy.always(Fault::Answer(table.to_string()));
    let text = refused(with_credentials(), &proxy.url(), 69);
    assert!(text.contains("global table with eventual consistency"), "{text}");
}

#[test]
fn the_endpoint_of_the_environment_is_honoured() {
    let emulator = Emulator::start();
    runtime().block_on(emulator.create_foreign_table("id", None));
    let mut command = with_credentials();
    let endpoint = format!("http://127.0.0.1:{}", emulator.port());
    command.env("AWS_ENDPOINT_URL_DYNAMODB", endpoint).env("AWS_REGION", "eu-west-1");
    let text = refused(command, "dynamodb://leases", 69);
    assert!(text.contains("a partition key named 'election'"), "the service was queried: {text}");
    let shown = format!("in eu-west-1 at http://127.0.0.1:{} has", emulator.port());
    assert!(text.contains(&shown), "{text}");
}

#[test]
fn a_url_that_is_wrong() {
    let text = refused(with_credentials(), "dynamodb://leases?zone=a", 64);
    assert!(text.contains("unknown parameter 'zone'"), "{text}");
}
