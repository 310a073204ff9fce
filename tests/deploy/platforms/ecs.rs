//! The containers of deploy/ecs, played as ECS runs the tasks of a service.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::platforms::ecs_files::{task_definition, template};
use crate::platforms::field::Field;
use support::beats::{beats, never_overlapped};
use support::containers::{Container, Pod, When, loopback};
use support::dynamodb::Emulator;
use support::{eventually, now};

/// A cluster with a service whose tasks share a table.
struct Service {
    field: Field,
    emulator: Option<Emulator>,
    store: String,
    /// The metadata service of ECS.
    metadata: String,
    command: Vec<String>,
    migrate: Vec<String>,
    app_stop_seconds: u64,
    /// The address of each task.
    addresses: [String; 2],
}

impl Service {
    fn new() -> Self {
        let (field, emulator) = (Field::new(), Emulator::start());
        let command = field.app("/opt/bellwether/bellwether");
        let store = emulator.url();
        Self {
            field,
            emulator: Some(emulator),
            store,
            metadata: metadata("1"),
            command,
            migrate: vec![],
            app_stop_seconds: 60,
            addresses: [loopback(), loopback()],
        }
    }

    /// The containers of one task, as the template has them.
    fn task(&self, number: u8) -> Vec<Container> {
        let task = task_definition(&template(&[
            ("AppCommand", json!(self.command.join(","))),
            ("MigrateCommand", json!(self.migrate.join(","))),
            ("AppStopSeconds", json!(self.app_stop_seconds)),
        ]));
        let volume = self.field.folder().join(format!("volume-{number}"));
        std::fs::create_dir_all(&volume).unwrap();
        let containers = task["containerDefinitions"].as_array().unwrap();
        containers.iter().map(|container| self.container(container, number, &volume)).collect()
    }

    fn container(&self, definition: &Value, number: u8, volume: &Path) -> Container {
        let words = |field: &str| -> Vec<String> {
            serde_json::from_value(definition[field].clone()).unwrap_or_default()
        };
        let in_image =
            |words: Vec<String>| words.iter().map(|word| in_image(word, volume)).collect();
        let health = definition["healthCheck"]["command"].as_array().map(|command| {
            assert_eq!(command[0], "CMD", "there is no shell in the image");
            in_image(serde_json::from_value(command[1..].to_vec().into()).unwrap())
        });
        let after = definition["dependsOn"].as_array().map(Vec::as_slice).unwrap_or_default();
        let after = after.iter().map(|dependency| {
            let when = match dependency["condition"].as_str().unwrap() {
                "HEALTHY" => When::Healthy,
                "SUCCESS" => When::Succeeded,
                other => panic!("{other} is not used"),
            };
            (dependency["containerName"].as_str().unwrap().to_owned(), when)
        });
        Container {
            name: definition["name"].as_str().unwrap().to_owned(),
            command: in_image([words("entryPoint"), words("command")].concat()),
            env: self.env(definition, number),
            after: after.collect(),
            health,
            // The default of ECS.
            stop_timeout: Duration::from_secs(definition["stopTimeout"].as_u64().unwrap_or(30)),
        }
    }

    fn env(&self, definition: &Value, number: u8) -> Vec<(String, String)> {
        let own = definition["environment"].as_array().map(Vec::as_slice).unwrap_or_default();
        let own = own.iter().map(|variable| {
            let (name, value) = (variable["name"].as_str(), variable["value"].as_str());
            let value = value.unwrap().replace("dynamodb://TABLE?region=REGION", &self.store);
            (name.unwrap().to_owned(), value)
        });
        // In place of the role, and of a network namespace for each task.
        let address = &self.addresses[usize::from(number) - 1];
        let platform = [
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
            ("ECS_CONTAINER_METADATA_URI_V4", self.metadata.clone()),
            ("BELLWETHER_LISTEN", format!("{address}:4040")),
            ("BELLWETHER_SIDECAR", format!("http://{address}:4040")),
            ("BELLWETHER_IDENTITY", format!("task-{number}")),
        ];
        own.chain(platform.map(|(name, value)| (name.to_owned(), value))).collect()
    }

    #[track_caller]
    fn start(&self, number: u8) -> Pod {
        Pod::start(self.task(number)).unwrap_or_else(|failed| panic!("{} failed", failed.0))
    }
}

/// Where the images' files are on this host.
fn in_image(word: &str, volume: &Path) -> String {
    match word {
        "/bellwether" => env!("CARGO_BIN_EXE_bellwether").to_owned(),
        "/opt/bellwether" => volume.display().to_string(),
        "/opt/bellwether/bellwether" => volume.join("bellwether").display().to_string(),
        // A script of the application, which knows it by its path.
        script if script.ends_with(".sh") => {
            let text = std::fs::read_to_string(script).unwrap();
            let own = volume.join(Path::new(script).file_name().unwrap());
            std::fs::write(&own, text.replace("/opt/bellwether", &volume.display().to_string()))
                .unwrap();
            own.display().to_string()
        }
        word => word.to_owned(),
    }
}

/// A metadata service that says of every task which revision and which image it is.
fn metadata(revision: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v4/task", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let _ = stream.read(&mut [0; 2048]);
            // The answers about the task and about its container, in one.
            let image = format!("sha256:{revision}");
            let task = json!({
                "Cluster": "prod", "Family": "web", "Revision": revision, "ImageID": image
            });
            let task = task.to_string();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", task.len());
            let _ = stream.write_all((head + &task).as_bytes());
        }
    });
    url
}

#[test]
fn a_task_that_is_stopped_ends_its_work_then_vacates_then_another_leads() {
    let service = Service::new();
    let first = service.start(1);
    let term = service.field.worked_in(0);
    let mut second = service.start(2);
    service.field.hands_over(first, "app", "bellwether");
    assert_eq!(service.field.lines("finished"), [term.to_string()], "the work was not cut off");
    assert!(second.container("app").ended().is_none());
}

#[test]
fn work_that_does_not_end_is_killed_with_its_container_before_the_lease_is_vacated() {
    let mut service = Service::new();
    service.command = service.field.stubborn_app("/opt/bellwether/bellwether");
    service.app_stop_seconds = 2;
    let first = service.start(1);
    service.field.worked_in(0);
    let _second = service.start(2);
    let ends = service.field.hands_over(first, "app", "bellwether");
    let app = ends.iter().find(|(name, _)| name == "app").unwrap().1;
    assert!(app.killed, "{app:?}");
    assert_eq!(service.field.lines("finished"), [""; 0]);
}

#[test]
fn scaled_to_zero_and_back_the_first_task_leads_at_once() {
    let service = Service::new();
    let first = service.start(1);
    let term = service.field.worked_in(0);
    first.stop();
    let morning = now();
    let _first = service.start(1);
    assert_eq!(service.field.worked_in(term), term + 1);
    let waited = now().since(morning);
    println!("first task of the morning to its first work: {waited:?}");
    assert!(
        waited.as_secs_f64() < crate::platforms::field::LEASE,
        "it waited for a lease that was vacated"
    );
    never_overlapped(&service.field.0);
}

#[test]
fn a_host_that_is_lost_costs_one_lease_and_no_overlap() {
    let service = Service::new();
    let first = service.start(1);
    let term = service.field.worked_in(0);
    let _second = service.start(2);
    first.kill();
    assert_eq!(service.field.worked_in(term), term + 1);
    never_overlapped(&service.field.0);
}

#[test]
fn an_image_is_migrated_once_before_any_app_of_it_starts() {
    let mut service = Service::new();
    let folder = service.field.folder().display().to_string();
    let migrate = format!("sleep 1; echo $BELLWETHER_KEY >> {folder}/migrated");
    service.migrate = service.field.script("migrate.sh", &migrate);
    let app = format!("test -s {folder}/migrated && echo after >> {folder}/apps; sleep 60");
    service.command = service.field.script("app.sh", &app);
    let pods = std::thread::scope(|scope| {
        let service = &service;
        let tasks = [1, 2].map(|number| scope.spawn(move || service.start(number)));
        tasks.map(|task| task.join().unwrap())
    });
    assert_eq!(service.field.lines("migrated"), ["ecs:prod/web@sha256:1"]);
    eventually("both apps started after it", || {
        (service.field.lines("apps") == ["after", "after"]).then_some(())
    });
    drop(pods);
    // In the morning it is done already; a new image is not.
    drop(service.start(1));
    service.metadata = metadata("2");
    drop(service.start(2));
    assert_eq!(service.field.lines("migrated"), ["ecs:prod/web@sha256:1", "ecs:prod/web@sha256:2"]);
}

#[test]
fn a_migration_that_fails_for_good_starts_no_app() {
    let mut service = Service::new();
    let folder = service.field.folder().display().to_string();
    service.migrate =
        service.field.script("migrate.sh", &format!("echo x >> {folder}/tries; exit 9"));
    service.command = service.field.script("app.sh", &format!("echo x >> {folder}/apps"));
    let Err(failed) = Pod::start(service.task(1)) else { panic!("the app was started") };
    let (name, mut pod) = *failed;
    assert_eq!(name, "migrate");
    assert_eq!(pod.container("migrate").ended().unwrap().code(), Some(9));
    assert_eq!(service.field.lines("tries").len(), 3);
    assert_eq!(service.field.lines("apps"), [""; 0]);
}

#[test]
fn a_store_that_is_away_neither_keeps_the_app_from_starting_nor_makes_the_sidecar_unhealthy() {
    let mut service = Service::new();
    service.emulator = None;
    let mut pod = service.start(1);
    let log = pod.container("app").log().clone();
    eventually("the app asks", || (log.events("undecided") > 0).then_some(()));
    assert!(pod.container("bellwether").is_healthy());
    assert_eq!(beats(&service.field.0), [], "no instance leads");
}
