//! `--gate-ecs-container`: the health of another container of the task, as ECS knows it.

use crate::sidecar::gate_url::{THRESHOLDS, failures, leads, leads_not, shown};
use crate::sidecar::service::{Reply, Service};
use support::{Pasture, Sidecar, bellwether, eventually};

const TASK: &str = "GET /v4/abc/task";

fn task(app: &str) -> Reply {
    let sidecar = r#"{"Name":"sidecar","KnownStatus":"RUNNING","Health":{"status":"UNHEALTHY"}}"#;
    Reply::Body(format!(r#"{{"TaskARN":"arn:task/1","Containers":[{sidecar},{app}]}}"#))
}

fn running(health: &str) -> Reply {
    let since = "2026-11-24T21:00:00Z";
    task(&format!(
        r#"{{"Name":"app","KnownStatus":"RUNNING","Health":{{"status":"{health}","statusSince":"{since}"}}}}"#
    ))
}

fn gated(service: &Service, pasture: &Pasture) -> Sidecar {
    let mut command = bellwether();
    command.env("ECS_CONTAINER_METADATA_URI_V4", service.ecs());
    let gate = [&THRESHOLDS[..], &["--gate-ecs-container", "app"]].concat();
    Sidecar::start_as("a", &pasture.store(), &gate, command)
}

#[test]
fn a_container_that_stops_or_falls_ill_loses_the_lease() {
    let pasture = Pasture::new();
    let service = Service::start(&[(TASK, running("UNKNOWN"))]);
    let sidecar = gated(&service, &pasture);
    eventually("it sent requests", || (service.requests().len() > 3).then_some(()));
    leads_not(&sidecar);
    let mut failed = 0;
    for ill in [
        task(r#"{"Name":"app","KnownStatus":"STOPPED","ExitCode":137}"#),
        running("UNHEALTHY"),
        task(r#"{"Name":"other","KnownStatus":"RUNNING"}"#),
        Reply::Status(429),
        Reply::Redirect("/v4/abc/task"),
        Reply::Noise,
        Reply::Endless,
        Reply::Never,
    ] {
        service.answers(TASK, running("HEALTHY"));
        leads(&sidecar);
        service.answers(TASK, ill);
        leads_not(&sidecar);
        shown(&sidecar, "closed");
        assert!(failures(&sidecar, "ecs_container") > failed);
        failed = failures(&sidecar, "ecs_container");
    }
    sidecar.log().await_lines("container 'app' is STOPPED", 1);
    sidecar.log().await_lines("it has: sidecar, other", 1);
}

#[test]
fn a_container_without_a_health_check_only_has_to_run() {
    let pasture = Pasture::new();
    let service = Service::start(&[(TASK, task(r#"{"Name":"app","KnownStatus":"CREATED"}"#))]);
    let sidecar = gated(&service, &pasture);
    eventually("it sent requests", || (service.requests().len() > 3).then_some(()));
    leads_not(&sidecar);
    service.answers(TASK, task(r#"{"Name":"app","KnownStatus":"RUNNING"}"#));
    leads(&sidecar);
}
