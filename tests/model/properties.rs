//! What has to hold in every state: the same as in the simulation, by the same names where they are
//! the same (`tests/core/simulation/invariants.rs`).

use stateright::{Model, Property};

use crate::node::nanos;
use crate::setup::{Fault, Rate, Setup};
use crate::world::{Act, World};

/// The search: every state that can follow from the first.
pub struct Election(pub Setup);

/// Rule `one-write-decides`, rule `before-sent-after-received`, rule `watched-lease`, rule `store-clock`.
pub const ONE_BELIEVER: &str = "I1 one believer";
/// Rule `one-stretch`.
pub const TERMS_GROW: &str = "I2 terms grow";
/// Rule `outage-demotes`, rule `resolve-ambiguity`: from every state, when nothing more goes wrong.
pub const A_LEADER_EXISTS: &str = "I3 a leader exists";
/// Rule `fence-the-rest`: whenever a write of an earlier leader reaches the resource, it is refused, and
/// a write of the leader is not.
pub const FENCED: &str = "I14 the fence lets the leader in";

/// The search cannot pass because nothing happens in it.
const TWO_IN_TURN: &str = "two candidates lead, one after the other";
const A_LATE_WRITE: &str = "a write may come late";
const NO_LEADER: &str = "a leader stops before another one begins";

impl Model for Election {
    type State = World;
    type Action = Act;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(&self.0)]
    }

    fn actions(&self, world: &World, acts: &mut Vec<Act>) {
        world.acts(&self.0, acts);
    }

    fn next_state(&self, world: &World, act: Act) -> Option<World> {
        Some(world.after(&self.0, act))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut all = vec![
            Property::always(ONE_BELIEVER, |_, world: &World| world.leaders() <= 1),
            Property::always(TERMS_GROW, |_, world: &World| !world.broken.term_did_not_grow),
            Property::always(FENCED, |_, world: &World| fenced(world)),
            Property::always(A_LEADER_EXISTS, |model: &Self, world: &World| {
                [false, true].into_iter().all(|late| finds_a_leader(&model.0, world, late))
            }),
            Property::sometimes(A_LATE_WRITE, |_, world: &World| {
                world.nodes.iter().any(|node| node.late.is_some())
            }),
            Property::sometimes(NO_LEADER, |_, world: &World| {
                world.nodes.iter().any(|node| node.tenure.is_some()) && world.leaders() == 0
            }),
        ];
        // With failing calls alone, and few of them, the old leader is back before the others.
        if self.0.kinds.contains(&Fault::Pause) {
            all.push(Property::sometimes(TWO_IN_TURN, |_, world: &World| {
                world.nodes.iter().filter(|node| node.tenure.is_some()).count() > 1
            }));
        }
        all
    }
}

/// Whether the resource would refuse what each candidate that led earlier may have sent it, if that
/// arrived now.
fn fenced(world: &World) -> bool {
    let in_order = world.nodes.iter().filter_map(|node| node.tenure).all(|tenure| {
        let earlier = |last: crate::node::Tenure| tenure.begun < last.begun;
        world.resource.is_none_or(|last| !earlier(last) || tenure.term < last.term)
    });
    in_order && !world.broken.leader_refused
}

/// Whether a candidate leads soon if nothing more goes wrong.
///
/// A lease was renewed just now, by a write from which no candidate can renew it; it was seen a call's time
/// later, by a candidate whose clock is slow; then calls that had failed are repeated.
fn finds_a_leader(setup: &Setup, world: &World, applies_late: bool) -> bool {
    let timing = (setup.timing)();
    let retries = timing.retry_period() * 2 + timing.call_timeout() * 2;
    let at_last = world.now + Rate::SLOWEST.when(nanos(timing.lease_duration() + retries));
    let mut world = std::borrow::Cow::<World>::Borrowed(world);
    while world.leaders() == 0 {
        if world.now > at_last {
            return false;
        }
        let act = world.calm(applies_late);
        world.to_mut().happens(setup, act);
    }
    true
}
