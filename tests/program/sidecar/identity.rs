//! The identity that the surroundings give, and what happens when they do not.

use std::path::Path;

use bellwether::platform::identity::{self, Identity};
use bellwether::platform::surroundings::Surroundings;
use serde_json::Value;

use crate::sidecar::service::{Reply, Service, TOKEN};
use support::{LIMIT, Pasture, Sidecar, bellwether, eventually, now};

const ECS: &str = "ECS_CONTAINER_METADATA_URI_V4";
const EC2: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
const ARN: &str = "arn:aws:ecs:eu-west-1:111122223333:task/prod/158d1c8083dd49d6b527399fd6414f5c";
const ID: &str = "158d1c8083dd49d6b527399fd6414f5c";
const INSTANCE: &str = "i-0abcdef1234567890";

const TASK: &str = "GET /v4/abc/task";
const PUT_TOKEN: &str = "PUT /latest/api/token";
const GET_ID: &str = "GET /latest/meta-data/instance-id";

const NOTHING: [&str; 0] = [];

fn text(text: &str) -> Reply {
    Reply::Body(text.to_owned())
}

fn task() -> Reply {
    let cluster = "arn:aws:ecs:eu-west-1:111122223333:cluster/prod";
    Reply::Body(format!(
        r#"{{"Cluster":"{cluster}","TaskARN":"{ARN}","Family":"web","Revision":"7","Containers":[]}}"#
    ))
}

fn ecs() -> Service {
    Service::start(&[(TASK, task())])
}

fn ec2() -> Service {
    Service::start(&[(PUT_TOKEN, text(TOKEN)), (GET_ID, Reply::WithToken(INSTANCE))])
}

/// The identity that `serve` finds in this environment, and the line of its log that says why.
fn of_serve(environment: &[(&str, &str)]) -> (String, Value) {
    let (leader, line) = leader_of_serve(environment);
    (leader["identity"].as_str().unwrap().to_owned(), line)
}

/// What `/leader` of `serve` with this environment answers once it leads, and that line.
fn leader_of_serve(environment: &[(&str, &str)]) -> (Value, Value) {
    let pasture = Pasture::new();
    let mut command = bellwether();
    command.envs(environment.iter().copied());
    let sidecar = Sidecar::start_nameless("nameless", &pasture.store(), &[], command);
    let leads = || Some(sidecar.leader()).filter(|answer| answer.leads());
    let leader = eventually("it leads", leads).body;
    let lines = sidecar.log().lines();
    let mut lines = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let line = lines.find(|line| line["event"] == "identity_found");
    (leader, line.expect("it says where it has its name from"))
}

#[test]
fn on_ecs_it_is_the_id_of_the_task_and_the_arn_has_fields_of_its_own() {
    let (ecs, ec2) = (ecs(), ec2());
    let (leader, line) = leader_of_serve(&[
        (ECS, &ecs.ecs()),
        (EC2, &ec2.url()),
        ("POD_NAME", "web-0"),
        ("KUBERNETES_SERVICE_HOST", "10.0.0.1"),
    ]);
    assert_eq!((&leader["identity"], &leader["holderIdentity"]), (&ID.into(), &ID.into()));
    assert_eq!(leader["holderOrigin"], format!("ECS task {ARN}"));
    assert_eq!((&line["from"], &line["task"]), (&"ECS task".into(), &ARN.into()));
    assert_eq!(line["definition"], "web:7");
    // For the name and for the cluster.
    assert_eq!((ecs.requests(), ec2.requests()), (vec![TASK.to_owned(); 2], vec![]));
}

#[test]
fn on_kubernetes_it_is_the_name_of_the_pod() {
    let ec2 = ec2();
    let ec2_url = ec2.url();
    let (identity, line) =
        of_serve(&[(EC2, &ec2_url), ("POD_NAME", "web-0"), ("POD_NAMESPACE", "shop")]);
    assert_eq!(identity, "web-0");
    assert_eq!((&line["from"], &line["namespace"]), (&"Kubernetes pod".into(), &"shop".into()));
    let (identity, line) = of_serve(&[(EC2, &ec2_url), ("KUBERNETES_SERVICE_HOST", "10.0.0.1")]);
    assert_eq!((identity, &line["from"]), (identity::hostname(), &"Kubernetes pod".into()));
    assert_eq!(ec2.requests(), NOTHING);
}

#[test]
fn on_ec2_it_is_the_instance_id_requested_with_a_token() {
    let ec2 = ec2();
    let (identity, line) = of_serve(&[(EC2, &ec2.url())]);
    assert_eq!((identity.as_str(), &line["from"]), (INSTANCE, &"EC2 instance".into()));
    assert_eq!(ec2.requests(), [PUT_TOKEN, GET_ID]);
}

#[test]
fn elsewhere_it_is_the_name_of_the_host() {
    let ec2 = ec2();
    let (identity, line) = of_serve(&[(EC2, &ec2.url()), ("AWS_EC2_METADATA_DISABLED", "true")]);
    assert_eq!((identity, &line["from"]), (identity::hostname(), &"host name".into()));
    assert_eq!(ec2.requests(), NOTHING);
}

#[test]
fn run_and_once_find_it_as_serve_does() {
    let ecs = ecs();
    for begin in [&["run"][..], &["once", "--key", "v1"]] {
        let pasture = Pasture::new();
        let mut command = bellwether();
        command.args(begin).args(["--store", &pasture.store(), "--", "printenv"]);
        let output = command.arg("BELLWETHER_IDENTITY").env(ECS, ecs.ecs()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), ID);
    }
}

#[test]
fn a_name_that_was_given_is_not_looked_up() {
    let ecs = ecs();
    let pasture = Pasture::new();
    let mut command = bellwether();
    command.env(ECS, ecs.ecs());
    let sidecar = Sidecar::start_as("chosen", &pasture.store(), &[], command);
    assert_eq!(sidecar.leader().body["identity"], "chosen");
    assert_eq!(ecs.requests(), [TASK], "for the cluster, which the record names");
}

#[test]
fn a_start_is_not_held_up_by_a_service_that_does_not_answer() {
    let service = Service::start(&[(TASK, Reply::Never)]);
    let (identity, line) = of_serve(&[(ECS, &service.ecs())]);
    assert_eq!((identity, &line["from"]), (identity::hostname(), &"host name".into()));
    assert_eq!(service.requests(), [TASK, TASK], "for the name and for the cluster");
}

/// The same in this process, where more of it can be tried.
async fn settled(variable: &str, url: &str) -> String {
    let env = |name: &str| (name == variable).then(|| url.to_owned());
    let surroundings = Surroundings { env: &env, root: Path::new("/nowhere") };
    let requests = now();
    let name = Identity::settle(None, surroundings).await.name;
    assert!(now().since(requests) < LIMIT, "it was held up");
    name
}

#[tokio::test]
async fn bad_answers_of_ecs_leave_the_name_of_the_host() {
    for bad in [
        text(""),
        text("<html>"),
        text("[]"),
        text("{}"),
        text(r#"{"TaskARN":7}"#),
        text(r#"{"TaskARN":""}"#),
        text(r#"{"TaskARN":"arn:aws:ecs:eu-west-1:111122223333:task/"}"#),
        text(r#"{"TaskARN":"arn:aws:ecs:eu-west-1:111122223333:cluster/prod"}"#),
        text(r#"{"TaskARN":"two\nlines"}"#),
        text(r#"{"TaskARN":"arn:aws:ecs:eu-west-1:1:task/prod/two\nlines"}"#),
        text(&format!(r#"{{"TaskARN":"a:task/{}"}}"#, "x".repeat(1000))),
        text(&format!(r#"{{"TaskARN":"{ARN}","Labels":"{}"}}"#, "x".repeat(1 << 20))),
        Reply::Status(404),
        Reply::Status(500),
        Reply::Redirect("/v4/abc/task2"),
        Reply::Endless,
        Reply::EndlessHead,
        Reply::NoBody,
        Reply::Noise,
        Reply::Never,
    ] {
        let service = Service::start(&[(TASK, bad.clone()), ("GET /v4/abc/task2", task())]);
        assert_eq!(settled(ECS, &service.ecs()).await, identity::hostname(), "{bad:?}");
        assert_eq!(service.requests(), [TASK], "redirects are not followed");
    }
    for unusable in ["http://127.0.0.1:1", "not a URL", "https://127.0.0.1:1/"] {
        assert_eq!(settled(ECS, unusable).await, identity::hostname(), "{unusable}");
    }
}

#[tokio::test]
async fn bad_answers_of_ec2_leave_the_name_of_the_host() {
    let token = || text(TOKEN);
    for (put, get) in [
        (Reply::Status(403), text(INSTANCE)),
        (Reply::Status(400), text(INSTANCE)),
        (Reply::Never, text(INSTANCE)),
        (Reply::Endless, text(INSTANCE)),
        (text("another token"), Reply::WithToken(INSTANCE)),
        (text("a token\nof two lines"), text(INSTANCE)),
        (token(), text("<html>")),
        (token(), text("")),
        (token(), Reply::Status(404)),
        (token(), Reply::Redirect("/latest/api/token")),
        (token(), Reply::Endless),
        (token(), Reply::Never),
    ] {
        let service = Service::start(&[(PUT_TOKEN, put.clone()), (GET_ID, get.clone())]);
        let name = settled(EC2, &service.url()).await;
        assert_eq!(name, identity::hostname(), "{put:?}, {get:?}");
    }
    assert_eq!(settled(EC2, &ec2().url()).await, INSTANCE, "good ones are believed");
}
