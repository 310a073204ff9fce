//! The Service that follows the leader: which pod its clients reach while the leader changes.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use bellwether::election::time::BootTime;

use crate::node::patiently;
use crate::place::{Place, Pod};
use support::tools::must;
use support::{get, now};

/// For how long the last leader of the test must be the only one reached.
const STAYS: Duration = Duration::from_secs(5);

/// An answer of an application through the Service.
#[derive(Clone, Debug)]
struct Served {
    sent: BootTime,
    answered: BootTime,
    pod: String,
    /// The term under which its sidecar answered, then, that it leads; 0 if it did not.
    term: u64,
}

/// Sends requests through the Service all the time, each time by a new connection, until it is dropped.
struct Client {
    served: Arc<Mutex<Vec<Served>>>,
    refused: Arc<AtomicU32>,
    over: Arc<AtomicBool>,
}

impl Client {
    fn of(url: String) -> Self {
        let client = Self { served: Arc::default(), refused: Arc::default(), over: Arc::default() };
        let (served, refused) = (Arc::clone(&client.served), Arc::clone(&client.refused));
        let over = Arc::clone(&client.over);
        thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                match get(&url).filter(|answer| answer.body["pod"].is_string()) {
                    Some(answer) => served.lock().unwrap().push(Served {
                        sent: answer.sent,
                        answered: answer.answered,
                        pod: answer.body["pod"].as_str().unwrap().to_owned(),
                        term: answer.term(),
                    }),
                    None => drop(refused.fetch_add(1, Ordering::Relaxed)),
                }
                thread::sleep(Duration::from_millis(20));
            }
        });
        client
    }

    fn all(&self) -> Vec<Served> {
        self.served.lock().unwrap().clone()
    }

    /// Waits until the leader of a later term is reached.
    #[track_caller]
    fn reaches_later(&self, term: u64) -> Served {
        patiently("the leader of a later term is reached", || {
            self.all().into_iter().find(|one| one.term > term)
        })
    }

    /// Ends the leadership of `former`, waits for the next leader, and checks which pod the Service led to
    /// meanwhile. Returns the answer of the next leader.
    #[track_caller]
    fn sees_change(&self, what: &str, former: &Served, end: impl FnOnce()) -> Served {
        let (before, refused) = (self.all().len(), self.refused.load(Ordering::Relaxed));
        let start = now();
        end();
        let next = self.reaches_later(former.term);
        thread::sleep(STAYS);
        let served: Vec<_> = self.all().into_iter().skip(before).collect();
        let refused = self.refused.load(Ordering::Relaxed) - refused;
        let wrong: Vec<_> = served.iter().filter(|one| one.term == 0).collect();
        println!(
            "{what}: the next leader was reached after {:?}; {} answers, {} of them by a pod that did \
             not lead, the last one after {:?}; {refused} connections refused",
            next.answered.since(start),
            served.len(),
            wrong.len(),
            wrong.last().map(|one| one.answered.since(start)).unwrap_or_default(),
        );
        let (until, after): (Vec<_>, Vec<_>) = served.iter().partition(|one| one.sent < next.sent);
        for one in until {
            assert_eq!(one.pod, former.pod, "reached before the next leader: {one:?}");
        }
        for one in after {
            let is_next = (&one.pod, one.term) == (&next.pod, next.term);
            assert!(is_next, "reached after the next leader: {one:?}");
        }
        next
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// The pods that carry the label of the leader.
fn labelled(place: &Place) -> Vec<String> {
    let carries = |pod: &Pod| pod.0["metadata"]["labels"]["bellwether/leads-demo"] == "true";
    place.pods().iter().filter(|pod| carries(pod)).map(|pod| pod.name().to_owned()).collect()
}

/// A pod that leads no more is reached only until the Service has followed, and never after the next.
#[test]
fn the_service_of_the_leader_leads_to_no_other() {
    let place = Place::new();
    let service = [
        "app.replicas=3",
        "app.env[1].name=SERVES",
        "app.env[1].value=yes",
        "leaderService.enabled=true",
        "leaderService.ports[0].port=80",
        "leaderService.ports[0].targetPort=8000",
    ];
    place.installed("demo", &service);
    let ip = place.api("services/demo-leader")["spec"]["clusterIP"].as_str().unwrap().to_owned();
    let client = Client::of(format!("http://{ip}"));
    let first = client.reaches_later(0);
    assert!(place.pod(&first.pod).leads());
    assert!(client.all().iter().all(|one| one.pod == first.pod && one.term > 0), "{first:?}");

    let second = client.sees_change("a hand-over", &first, || {
        let resign = ["wget", "-qO", "-", "--post-data=", "http://127.0.0.1:4040/resign"];
        let exec = [&["exec", &first.pod, "--container=app", "--"], &resign[..]].concat();
        must(&mut place.kubectl(&exec));
    });
    assert_ne!(second.pod, first.pod);
    let third = client.sees_change("a killed sidecar", &second, || {
        place.kill(&place.pod(&second.pod), "bellwether");
    });
    let fourth = client.sees_change("a deleted pod", &third, || {
        must(&mut place.kubectl(&["delete", "pod", &third.pod, "--wait=false"]));
    });
    assert_ne!(fourth.pod, third.pod);
    assert_eq!(labelled(&place), [fourth.pod]);
    place.world.saw_never_two();
}
