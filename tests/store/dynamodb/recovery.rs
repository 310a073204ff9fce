//! Three sidecars, and every fault between them and DynamoDB, one after the other: never two lead,
//! one leads again after each without a restart, and the log stays short.

use std::thread;
use std::time::Duration;

use crate::dynamodb::issuer::Issuer;
use support::dynamodb::Emulator;
use support::http_proxy::{Dates, Fault, Proxy};
use support::{Flock, Sidecar, Witness, now};

const HOUR: Duration = Duration::from_secs(3600);

/// Longer than the lease, so that the leader cannot simply have survived it.
const AS_LONG_AS: Duration = Duration::from_secs(4);

struct Scene {
    flock: Flock,
    proxies: Vec<Proxy>,
    issuer: Issuer,
    _emulator: Emulator,
}

fn answer(status: &str, headers: &str, body: &str) -> Fault {
    let length = body.len();
    Fault::Raw(format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n{body}"))
}

/// What the network path does to every request.
fn faults_of_the_way() -> Vec<(&'static str, Fault)> {
    let json = "content-type: application/x-amz-json-1.0\r\nx-amzn-requestid: 1\r\n";
    let html = "content-type: text/html\r\n";
    vec![
        ("an empty object for everything", answer("200 OK", json, "{}")),
        ("an empty answer", answer("200 OK", "", "")),
        ("no content", Fault::Raw("HTTP/1.1 204 No Content\r\n\r\n".to_owned())),
        ("a page", answer("200 OK", html, "<html>back soon</html>")),
        ("a refused page", answer("403 Forbidden", html, "<html>who are you?</html>")),
        ("a page elsewhere", answer("302 Found", "location: http://127.0.0.1:1/\r\n", "")),
        ("an answer without end", Fault::Endless),
        ("requests twice", Fault::Twice),
        ("lost answers", Fault::DropAnswer),
        ("hanging requests", Fault::Hang),
        ("errors of the service", Fault::Refuse(500, "InternalServerError", "try again")),
        ("a table in creation", Fault::Refuse(400, "ResourceInUseException", "")),
    ]
}

impl Scene {
    fn new() -> Self {
        let (emulator, issuer) = (Emulator::start(), Issuer::new(Duration::ZERO, HOUR));
        let names = ["a", "b", "c"];
        let proxies: Vec<_> = names.iter().map(|_| Proxy::before(emulator.port())).collect();
        let start = |(name, proxy): (&&str, &Proxy)| {
            Sidecar::start_as(name, &proxy.url(), &[], issuer.of_a_container())
        };
        let members = names.iter().zip(&proxies).map(start).collect();
        Self { flock: Flock { members }, proxies, issuer, _emulator: emulator }
    }

    fn always(&self, fault: &Fault) {
        self.proxies.iter().for_each(|proxy| proxy.always(fault.clone()));
    }

    /// Refuses every key but the one.
    fn only_knows(&self, key: &'static str) {
        for proxy in &self.proxies {
            proxy.on(move |request| match request.key == key {
                true => Fault::Pass,
                false => Fault::Refuse(400, "UnrecognizedClientException", "is invalid"),
            });
        }
    }

    /// Does this, waits, undoes it, and waits until one leads. Lines of the log are counted.
    fn bears(&self, what: &str, begin: impl FnOnce(&Self), end: impl FnOnce(&Self)) {
        let lines = || self.flock.members.iter().map(|s| s.log().lines().len()).collect::<Vec<_>>();
        let (before, since) = (lines(), now());
        begin(self);
        thread::sleep(AS_LONG_AS);
        end(self);
        self.flock.settled();
        println!("{what}: one leads after {:?}", now().since(since));
        for (place, (before, after)) in before.into_iter().zip(lines()).enumerate() {
            let log = self.flock.members[place].log();
            let logged = after - before;
            assert!(logged <= 12, "{logged} lines for {what}: {}", log.text());
        }
    }
}

#[test]
fn three_come_back_to_one_leader_after_everything_that_is_between_them_and_dynamodb() {
    let scene = Scene::new();
    scene.flock.settled();
    let witness = Witness::of(&scene.flock);
    for (what, fault) in faults_of_the_way() {
        scene.bears(what, |scene| scene.always(&fault), |scene| scene.always(&Fault::Pass));
    }
    let dates = |scene: &Scene, dates: &Dates| {
        scene.proxies.iter().for_each(|proxy| proxy.dates(dates.clone()));
    };
    let end_of_time = Dates::Frozen("Fri, 31 Dec 9999 23:59:59 GMT".to_owned());
    scene.bears("the end of time", |s| dates(s, &end_of_time), |s| dates(s, &Dates::AsTheyAre));
    scene.bears(
        "another key",
        |scene| scene.only_knows("second"),
        |scene| scene.issuer.change(|manner| manner.key = "second"),
    );
    scene.bears(
        "an issuer that fails while the key is refused",
        |scene| {
            scene.issuer.change(|manner| manner.fails = true);
            scene.only_knows("third");
        },
        |scene| scene.issuer.change(|manner| (manner.key, manner.fails) = ("third", false)),
    );
    scene.bears(
        "a slow issuer of short-lived keys",
        |scene| {
            scene.only_knows("fourth");
            scene.issuer.change(|manner| {
                (manner.key, manner.delay) = ("fourth", Duration::from_millis(2500));
                manner.lifetime = Duration::from_secs(10);
            });
        },
        |_| {},
    );
    witness.saw_never_two();
}
