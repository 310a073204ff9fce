//! The projects of deploy/compose, played as Compose starts and stops them.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::platforms::field::{Field, LEASE};
use crate::platforms::tools::{duration, must, printed, root, text, tool};
use support::beats::{beats, never_overlapped};
use support::containers::{Container, End, Pod, When, loopback};
use support::dynamodb::Emulator;
use support::postgres::Server;
use support::{eventually, now};

/// A project and the store that it is on.
struct Project {
    field: Field,
    services: Value,
    store: Store,
    /// One address for each network, in place of network namespaces.
    addresses: [(&'static str, String); 2],
}

/// What the service of that name would be.
enum Store {
    Postgres(Arc<Server>, String),
    DynamoDb(Emulator),
}

const PROJECTS: [&str; 2] = ["deploy/compose/postgres.yaml", "deploy/compose/dynamodb.yaml"];

/// The services as Compose understands them.
fn services(file: &str) -> Value {
    let mut compose = tool("docker-compose");
    compose.args(["-f", file, "config", "--format", "json"]).current_dir(root());
    let project = must(compose.env("BELLWETHER_IMAGE", "bellwether:test"));
    let project: Value = serde_json::from_str(&project).unwrap();
    project["services"].clone()
}

impl Project {
    async fn on_postgres() -> Self {
        let server = Server::shared();
        let database = server.database().await;
        Self::of(PROJECTS[0], Store::Postgres(server, database))
    }

    fn on_dynamodb() -> Self {
        Self::of(PROJECTS[1], Store::DynamoDb(Emulator::start()))
    }

    fn of(file: &str, store: Store) -> Self {
        let addresses = [("service:network-a", loopback()), ("service:network-b", loopback())];
        Self { field: Field::new(), services: services(file), store, addresses }
    }

    /// The containers of some services. What they depend on beside those is there already.
    fn containers(&self, names: &[&str]) -> Vec<Container> {
        names.iter().map(|name| self.container(name, names)).collect()
    }

    /// All of them.
    fn all(&self) -> Vec<Container> {
        let names: Vec<_> = self.services.as_object().unwrap().keys().map(String::as_str).collect();
        self.containers(&names)
    }

    fn container(&self, name: &str, among: &[&str]) -> Container {
        let service = &self.services[name];
        let after = service["depends_on"].as_object().into_iter().flatten();
        let after = after.filter(|(other, _)| among.contains(&other.as_str()));
        let after = after.map(|(other, how)| {
            let when = match how["condition"].as_str().unwrap() {
                "service_started" => When::Started,
                "service_healthy" => When::Healthy,
                "service_completed_successfully" => When::Succeeded,
                other => panic!("{other} is not known"),
            };
            (other.clone(), when)
        });
        let after = after.collect();
        let grace = service["stop_grace_period"].as_str().unwrap_or("10s");
        let (command, health) = self.words(name, service);
        Container {
            name: name.to_owned(),
            command,
            env: self.env(service),
            after,
            health,
            stop_timeout: duration(grace),
        }
    }

    /// The command and the health check.
    fn words(&self, name: &str, service: &Value) -> (Vec<String>, Option<Vec<String>>) {
        let words = |value: &Value| -> Vec<String> {
            serde_json::from_value(value.clone()).unwrap_or_default()
        };
        let own = match name {
            // Under `init: true` a signal takes effect also without a handler.
            "network-a" | "network-b" => {
                assert_eq!(service["init"], true);
                return (self.field.script("network.sh", IDLE), None);
            }
            "postgres" | "dynamodb" => {
                return (self.field.script("store.sh", IDLE), Some(vec!["true".to_owned()]));
            }
            "app-a" | "app-b" => {
                self.field.app(&self.volume().join("bellwether").display().to_string())
            }
            _ => [words(&service["entrypoint"]), words(&service["command"])].concat(),
        };
        let own = own.iter().map(|word| self.in_image(word)).collect();
        let health = service["healthcheck"]["test"].as_array().map(|test| {
            assert_eq!(test[0], "CMD", "there is no shell in the image");
            words(&test[1..].to_vec().into()).iter().map(|word| self.in_image(word)).collect()
        });
        (own, health)
    }

    /// Where the images' files are on this host.
    fn in_image(&self, word: &str) -> String {
        match word {
            "/bellwether" => env!("CARGO_BIN_EXE_bellwether").to_owned(),
            word => word.replace("/opt/bellwether", &self.volume().display().to_string()),
        }
    }

    fn volume(&self) -> PathBuf {
        let volume = self.field.folder().join("volume");
        fs::create_dir_all(&volume).unwrap();
        volume
    }

    fn env(&self, service: &Value) -> Vec<(String, String)> {
        let own = service["environment"].as_object().into_iter().flatten();
        let own = own.map(|(name, value)| (name.clone(), self.value(value.as_str().unwrap())));
        let mut env: Vec<_> = own.collect();
        let network = service["network_mode"].as_str().unwrap_or_default();
        if let Some((_, address)) = self.addresses.iter().find(|(name, _)| *name == network) {
            env.push(("BELLWETHER_LISTEN".to_owned(), format!("{address}:4040")));
            env.push(("BELLWETHER_SIDECAR".to_owned(), format!("http://{address}:4040")));
        }
        env
    }

    /// A variable, with the store where it is here.
    fn value(&self, value: &str) -> String {
        match &self.store {
            Store::Postgres(server, database) if value == "/run/secrets/store" => {
                let file = self.field.folder().join("store");
                fs::write(&file, server.url(database)).unwrap();
                file.display().to_string()
            }
            Store::DynamoDb(emulator) => {
                let here = format!("http://127.0.0.1:{}", emulator.port());
                value.replace("http://dynamodb:8000", &here)
            }
            Store::Postgres(..) => value.to_owned(),
        }
    }

    #[track_caller]
    fn start(containers: Vec<Container>) -> Pod {
        Pod::start(containers).unwrap_or_else(|failed| panic!("{} failed", failed.0))
    }
}

/// A service that does nothing and ends on SIGTERM.
const IDLE: &str = "trap exit TERM\nsleep infinity & wait\n";

const A: [&str; 4] = ["install", "network-a", "bellwether-a", "app-a"];
const B: [&str; 4] = ["install", "network-b", "bellwether-b", "app-b"];

/// One instance is stopped, then everything, then all of it is started again.
fn plays_well(project: &Project) {
    let field = &project.field;
    let a = Project::start(project.containers(&A));
    field.worked_in(0);
    let b = Project::start(project.containers(&B));
    field.hands_over(a, "app-a", "bellwether-a");
    b.stop();

    // `down`, and `up` in the morning.
    let yesterday = beats(&field.0).last().unwrap().term;
    let all = Project::start(project.all());
    let term = field.worked_in(yesterday);
    stops_in_order(&all.stop());
    let morning = now();
    let _all = Project::start(project.all());
    // A standby that was just about to be stopped may have led in between, without any work.
    field.worked_in(term);
    assert!(now().since(morning).as_secs_f64() < LEASE, "it waited for a lease that was vacated");
    never_overlapped(&field.0);
}

/// Each application, then its sidecar, then the store.
fn stops_in_order(ends: &[(String, End)]) {
    let end = |name: &str| ends.iter().find(|(known, _)| known == name).unwrap().1;
    let store = ends.iter().find(|(name, _)| ["postgres", "dynamodb"].contains(&name.as_str()));
    let store = store.expect("the store is stopped, too").1;
    for instance in ["a", "b"] {
        let (app, sidecar) =
            (end(&format!("app-{instance}")), end(&format!("bellwether-{instance}")));
        assert!(app.ended <= sidecar.signalled, "the sidecar was stopped under the application");
        assert!(sidecar.ended <= store.signalled, "the store was stopped under the sidecar");
        assert!(!app.killed && sidecar.status.success(), "{app:?} {sidecar:?}");
        let network = end(&format!("network-{instance}"));
        assert!(sidecar.ended <= network.signalled, "the network was stopped under the sidecar");
    }
}

#[tokio::test]
async fn on_postgres_instances_hand_over_and_come_back_from_zero() {
    plays_well(&Project::on_postgres().await);
}

#[test]
fn on_dynamodb_instances_hand_over_and_come_back_from_zero() {
    plays_well(&Project::on_dynamodb());
}

#[test]
fn compose_takes_the_files_and_asks_for_what_it_needs() {
    for file in PROJECTS {
        let services = services(file);
        for instance in ["a", "b"] {
            let network = format!("service:network-{instance}");
            for service in ["app", "bellwether"] {
                let service = &services[format!("{service}-{instance}")];
                assert_eq!(service["network_mode"], network, "they reach each other at 127.0.0.1");
            }
            let sidecar = &services[format!("bellwether-{instance}")];
            assert_eq!(sidecar["read_only"], true);
            let grace = sidecar["environment"]["BELLWETHER_SHUTDOWN_GRACE"].as_str().unwrap();
            let stop = sidecar["stop_grace_period"].as_str().unwrap();
            assert!(duration(stop) > duration(grace) + Duration::from_secs(3));
        }
        let mut compose = tool("docker-compose");
        let output = compose.args(["-f", file, "config", "--quiet"]).current_dir(root());
        let output = output.env_remove("BELLWETHER_IMAGE").output().unwrap();
        assert!(!output.status.success());
        assert!(printed(&output).contains("name the image of bellwether"), "{}", printed(&output));
    }
}

/// The command that the files have until a user puts in his own.
#[test]
fn the_example_application_works_on_the_leader_only() {
    let project = Project::on_dynamodb();
    let mut containers = project.containers(&A);
    let app = containers.iter_mut().find(|container| container.name == "app-a").unwrap();
    let command = project.services["app-a"]["command"].as_array().unwrap();
    // Compose writes a dollar sign twice, lest it takes it for a variable of its own.
    let words = command.iter().map(|word| word.as_str().unwrap().replace("$$", "$"));
    app.command = words.map(|word| project.in_image(&word)).collect();
    let mut a = Project::start(containers);
    let output = a.container("app-a").output().clone();
    eventually("it works", || (output.count("leader-only work at") > 0).then_some(()));
    let ends = a.stop();
    let end = ends.iter().find(|(name, _)| name == "app-a").unwrap().1;
    assert!(end.status.success() && !end.killed, "{end:?}");
}

/// Both files are the same but for the store.
#[test]
fn the_two_projects_differ_in_their_store_only() {
    let shared = |file: &str| -> Vec<String> {
        let text = text(file);
        let (_, app) = text.split_once("# Your application: set its image").unwrap();
        let (app, _) = app.split_once("  # Copies the program to").unwrap();
        app.lines().map(str::to_owned).collect()
    };
    assert_eq!(shared(PROJECTS[0]), shared(PROJECTS[1]));
}
