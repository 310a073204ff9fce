//! What distinguishes one state of the world from another.
//!
//! The core says what decides about its future ([`Projection`]). Here that becomes numbers: terms by their
//! distance from the record's, versions by which is the record's and which are equal, candidates by
//! their places. `equal_keys_lead_to_equal_successors` in `main.rs` checks that states with equal keys have equal
//! successors.

use std::cmp::Ordering;
use std::time::Duration;

use bellwether::election::elector::{Call, Event, Swapped};
use bellwether::election::lease::{Candidate, Observed, Version};
use bellwether::election::projection::Projection;
use bellwether::election::term::Term;

use crate::node::{Doing, Node, nanos};
use crate::world::World;

pub type Key = Box<[u64]>;

/// The key of a world, the candidates in this order.
pub fn key(world: &World, order: &[usize]) -> Key {
    let mut sketch = Sketch {
        world,
        order,
        versions: Vec::new(),
        numbers: Vec::with_capacity(48 * order.len()),
    };
    sketch.number(u64::from(world.faults));
    sketch.flag(world.store.record.is_some());
    if let Some(record) = &world.store.record {
        sketch.candidate(record.holder.as_ref());
        let left = |ends: u64| ends.saturating_sub(world.now);
        sketch.number(world.store.ends.map_or(0, left));
    }
    sketch.term(world.believed);
    for &index in order {
        sketch.node(&world.nodes[index]);
    }
    sketch.numbers.into_boxed_slice()
}

struct Sketch<'a> {
    world: &'a World,
    order: &'a [usize],
    /// Those of this candidate that are not the record's.
    versions: Vec<Version>,
    numbers: Vec<u64>,
}

impl Sketch<'_> {
    fn node(&mut self, node: &Node) {
        self.versions.clear();
        node.elector.project(node.clock(self.world.now), self);
        self.doing(&node.doing);
        self.flag(node.late.is_some());
        if let Some(write) = &node.late {
            self.record(&write.record);
        }
        self.flag(node.paused.is_some());
        if let Some(paused) = node.paused {
            self.until(paused.until);
            self.flag(paused.since < self.world.now);
        }
        self.number(node.seen.1);
        self.flag(node.believes.is_some());
        self.term(node.believes.unwrap_or_default());
        // How its last term stands to what the resource accepted.
        let order =
            self.world.resource.zip(node.tenure).map(|(accepted, own)| {
                (own.term.cmp(&accepted.term), own.begun.cmp(&accepted.begun))
            });
        let number = |order: Ordering| (order as i8 + 1).unsigned_abs().into();
        let (term, begun): (u64, u64) =
            order.map_or((9, 9), |(term, begun)| (number(term), number(begun)));
        self.number(term);
        self.number(begun);
    }

    fn doing(&mut self, doing: &Doing) {
        match doing {
            Doing::Waits { until } => {
                self.number(0);
                self.until(*until);
            }
            Doing::Calls(call) => {
                self.number(1);
                self.call(call);
            }
            Doing::Travels { call, arrives } => {
                self.number(2);
                self.until(*arrives);
                self.call(call);
            }
            Doing::Receives { event, at } => {
                self.number(3);
                self.until(*at);
                self.event(event);
            }
        }
    }

    /// Its record and the time that it was sent are in the elector.
    fn call(&mut self, call: &Call) {
        match call {
            Call::Observe { .. } => self.number(0),
            Call::Swap { expected, .. } => {
                self.number(1);
                self.version(expected.as_ref());
            }
        }
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::Observed(Ok(observed)) => {
                self.number(0);
                self.observed(observed.as_ref());
            }
            Event::Swapped(Ok(Swapped::Lost(observed))) => {
                self.number(1);
                self.observed(observed.as_ref());
            }
            Event::Swapped(Ok(Swapped::Won(version))) => {
                self.number(2);
                self.version(Some(version));
            }
            Event::Observed(Err(_)) => self.number(3),
            Event::Swapped(Err(_)) => self.number(4),
            other => unreachable!("no store answers with {other:?}"),
        }
    }

    fn observed(&mut self, observed: Option<&Observed>) {
        self.version(observed.map(|o| &o.version));
        if let Some(Observed { record, remaining, .. }) = observed {
            self.record(record);
            self.flag(remaining.is_some());
            self.duration(remaining.unwrap_or_default());
        }
    }

    fn until(&mut self, time: u64) {
        self.number(time.saturating_sub(self.world.now));
    }
}

impl Projection for Sketch<'_> {
    fn number(&mut self, number: u64) {
        self.numbers.push(number);
    }

    fn duration(&mut self, duration: Duration) {
        self.number(nanos(duration));
    }

    fn term(&mut self, term: Term) {
        // A term that is being written is larger than the record's, by one at most.
        let distance = (self.world.store.term().get() + 1).checked_sub(term.get());
        self.number(distance.unwrap_or(u64::MAX));
    }

    fn version(&mut self, version: Option<&Version>) {
        let number = match version {
            None => 0,
            Some(version) if self.world.store.version().as_ref() == Some(version) => 1,
            Some(version) => {
                let known = self.versions.iter().position(|known| known == version);
                let place = known.unwrap_or_else(|| {
                    self.versions.push(version.clone());
                    self.versions.len() - 1
                });
                2 + place as u64
            }
        };
        self.number(number);
    }

    fn candidate(&mut self, candidate: Option<&Candidate>) {
        let Some(Candidate { identity, incarnation }) = candidate else { return self.number(0) };
        let index: usize = identity.parse().unwrap();
        let place = self.order.iter().position(|&at| at == index).unwrap();
        let age = self.world.nodes[index].incarnation - incarnation.parse::<u64>().unwrap();
        self.number(1 + place as u64 + age * 16);
    }
}
