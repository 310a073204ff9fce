//! `/events`: every change is sent, once, also to a client that reconnects.

use crate::http::elections::leads;
use support::lock::Lock;
use support::raw::{Events, Message, post};
use support::{Pasture, Sidecar, eventually};

fn leader(pasture: &Pasture) -> Sidecar {
    let sidecar = Sidecar::start("a", &pasture.store());
    eventually("it leads", || sidecar.leader().leads().then_some(()));
    sidecar
}

/// Steps down and is elected again, alone as it is.
fn again(sidecar: &Sidecar) {
    let term = sidecar.leader().term();
    assert_eq!(post(sidecar, "/resign", "", r#"{"cooldown":"1ms"}"#).0, 200);
    eventually("it leads again", || {
        Some(sidecar.leader()).filter(|answer| answer.leads() && answer.term() > term)
    });
}

/// The events until this instance leads in `term`.
#[track_caller]
fn until_leading(mut events: Events, term: u64) -> Vec<Message> {
    let mut received = vec![events.receive()];
    while !received.last().is_some_and(|last| last.leads() && last.term() == term) {
        received.push(events.receive());
    }
    received
}

#[test]
fn both_sides_report_a_hand_over() {
    let pasture = Pasture::new();
    let old = leader(&pasture);
    let new = Sidecar::start("b", &pasture.store());
    eventually("it knows", || new.leader().holder().map(drop));
    let (mut from, mut to) = (Events::of(&old, "/events"), Events::of(&new, "/events"));
    assert!(from.is_open() && from.head.contains("cache-control: no-store"), "{}", from.head);
    let (first, seen) = (from.receive(), to.receive());
    assert!(first.leads() && !seen.leads(), "{first:?} {seen:?}");
    assert_eq!((first.name(), seen.name()), ("a", "a"));
    assert_eq!((first.term(), seen.term()), (1, 1));
    assert!(first.data["validForMs"].as_u64() > Some(0), "{first:?}");
    assert_eq!(post(&old, "/resign", "", r#"{"cooldown":"1h"}"#).0, 200);
    let lost = from.receive();
    assert_eq!((lost.leads(), lost.name()), (false, ""), "{lost:?}");
    let won = to.until(Message::leads);
    assert_eq!((won.name(), won.term()), ("b", 2), "{won:?}");
    let follows = from.until(|message| message.name() == "b");
    assert_eq!((follows.leads(), follows.term()), (false, 2), "{follows:?}");
}

#[test]
fn the_clock_sends_the_end_of_validity() {
    let pasture = Pasture::new();
    let sidecar = leader(&pasture);
    let mut events = Events::of(&sidecar, "/events");
    assert!(events.receive().leads());
    let lock = Lock::take(&pasture);
    let ended = events.receive();
    assert_eq!((ended.leads(), ended.name()), (false, ""), "{ended:?}");
    assert_eq!(ended.data["validForMs"], 0);
    assert_eq!(sidecar.status("/leader"), 503, "the event was no guess");
    drop(lock);
    assert!(events.until(Message::leads).term() > 1);
}

#[test]
fn a_client_that_reconnects_misses_nothing() {
    let pasture = Pasture::new();
    let sidecar = leader(&pasture);
    let first = Events::of(&sidecar, "/events").receive();
    again(&sidecar);
    again(&sidecar);
    let header = format!("Last-Event-ID: {}\r\n", first.id);
    let missed = until_leading(Events::with(&sidecar, "/events", &header), 3);
    let numbers: Vec<_> = missed.iter().map(Message::number).collect();
    let expected: Vec<_> = (1..=missed.len() as u64).map(|n| first.number() + n).collect();
    assert_eq!(numbers, expected, "{missed:?}");
    assert!(!missed[0].leads() && missed.iter().any(|m| m.leads() && m.term() == 2), "{missed:?}");
    let since = until_leading(Events::of(&sidecar, &format!("/events?since={}", first.id)), 3);
    assert_eq!(format!("{since:?}"), format!("{missed:?}"), "word for word");
    // A browser that reconnects repeats its first URL.
    let both = until_leading(Events::with(&sidecar, "/events?since=0", &header), 3);
    assert_eq!(both[0].id, missed[0].id);
    let everything = until_leading(Events::of(&sidecar, "/events?since=0"), 3);
    assert_eq!(everything[0].number(), 1);
    assert_eq!((everything[0].name(), everything[0].term()), ("", 0), "before the first look");
}

#[test]
fn an_id_of_another_process_means_the_present() {
    let pasture = Pasture::new();
    let sidecar = leader(&pasture);
    again(&sidecar);
    let last = Events::of(&sidecar, "/events").receive();
    for id in ["0123456789ab-1", "nonsense", "-", &format!("{}9", last.id), "0"] {
        let header = format!("Last-Event-ID: {id}\r\n");
        let received = Events::with(&sidecar, "/events", &header).receive();
        assert_eq!((received.id.as_str(), received.leads()), (last.id.as_str(), true), "{id}");
    }
    // With nothing missed there is nothing to send, until something changes.
    let header = format!("Last-Event-ID: {}\r\n", last.id);
    let mut events = Events::with(&sidecar, "/events", &header);
    again(&sidecar);
    assert_eq!(events.receive().number(), last.number() + 1);
}

#[test]
fn one_stream_can_report_all_elections() {
    let pasture = Pasture::new();
    let sidecar = Sidecar::start_with("a", &pasture.store(), &["--election", "x,y,z"]);
    ["x", "y", "z"].iter().for_each(|election| drop(leads(&sidecar, election)));
    let mut all = Events::of(&sidecar, "/events?elections=all");
    let mut present: Vec<_> = (0..3).map(|_| all.receive()).collect();
    assert!(present.iter().all(Message::leads), "{present:?}");
    assert!(present.is_sorted_by(|a, b| a.number() < b.number()), "{present:?}");
    present.sort_by_key(|message| message.data["election"].to_string());
    let elections: Vec<_> = present.iter().map(|message| &message.data["election"]).collect();
    assert_eq!(elections, ["x", "y", "z"]);
    let mut one = Events::of(&sidecar, "/elections/y/events");
    assert_eq!(one.receive().data["election"], "y");
    for election in ["z", "y"] {
        assert_eq!(post(&sidecar, &format!("/elections/{election}/resign"), "", "").0, 200);
    }
    // A late second request may find that the first election has a leader again.
    let next_of_y = |stream: &mut Events| {
        loop {
            let next = stream.receive();
            if next.data["election"] == "y" {
                return next;
            }
            assert_eq!(next.data["election"], "z");
        }
    };
    let z = all.receive();
    assert_eq!(z.data["election"], "z");
    let y = next_of_y(&mut all);
    assert!(z.number() < y.number());
    assert_eq!(one.receive().id, y.id, "an id means the same on every stream");
    let mut rest = Events::of(&sidecar, &format!("/events?elections=all&since={}", z.id));
    assert_eq!(next_of_y(&mut rest).id, y.id);
    assert_eq!(sidecar.status("/events?elections=some"), 400);
    assert_eq!(sidecar.status("/elections/w/events"), 404);
}

#[test]
fn a_stream_without_events_is_kept_alive() {
    let pasture = Pasture::new();
    let sidecar = leader(&pasture);
    let mut events = Events::of(&sidecar, "/events");
    assert!(events.receive().leads());
    assert!(events.line().expect("a sign of life").starts_with(':'));
}
