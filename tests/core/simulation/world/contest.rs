//! The contests of a run: a work with its lease and its history, or the election without work.

use bellwether::election::history::{History, WorkName};
use bellwether::election::lease::ElectionName;

use super::World;
use crate::simulation::invariants::{Commands, Fence, Terms};
use crate::simulation::plan::{Plan, Work};
use crate::simulation::store::SimStore;

/// One of them: its two records, and what really happened to them.
pub(super) struct Contest {
    pub(super) work: WorkName,
    /// The names of the records, as the program forms them.
    pub(super) lease: ElectionName,
    pub(super) history: ElectionName,
    pub(super) lease_record: SimStore,
    /// Without work it stays empty.
    pub(super) history_record: SimStore,
    pub(super) terms: Terms,
    pub(super) commands: Commands,
    pub(super) fence: Fence,
    pub(super) last_leader: Option<(usize, u32)>,
}

impl Contest {
    pub(super) fn all(plan: &Plan) -> Vec<Self> {
        let of = |number: usize| {
            let work: WorkName = format!("work-{number}").parse().unwrap();
            let lease = match plan.work {
                Work::Once => ElectionName::of_work(&work),
                Work::None | Work::Holds => "default".parse().unwrap(),
            };
            Self {
                lease,
                history: ElectionName::of_history(&work),
                work,
                lease_record: SimStore::new(plan.store_clock),
                history_record: SimStore::new(None),
                terms: Terms::default(),
                commands: Commands::default(),
                fence: Fence::default(),
                last_leader: None,
            }
        };
        (0..plan.works).map(of).collect()
    }

    /// The history, as the store has it.
    pub(super) fn history_now(&self) -> History {
        let payload = self.history_record.record().and_then(|record| record.payload.as_deref());
        payload.map(|payload| History::decode(payload).unwrap()).unwrap_or_default()
    }
}

impl World {
    /// Whose record this is. If two have one name, they share it.
    pub(super) fn contest_of(&self, record: &ElectionName) -> usize {
        let named = |contest: &Contest| contest.lease == *record || contest.history == *record;
        self.contests
            .iter()
            .position(named)
            .unwrap_or_else(|| panic!("no record is named {record}"))
    }
}
