//! Work that is done once: the protocol of one instance, on the real driver and any store.
//!
//! A work has two records: its lease, which is an election like any other, and its history
//! ([`crate::election::history`]). An instance stands for the lease only as long as the history leaves
//! it something to do. Once it leads under some term:
//!
//! 1. it announces work, so that the lease is not vacated, and writes into the history that the
//!    command begins, under this term;
//! 2. it starts the command if it still leads under this term;
//! 3. when the command has ended on its own, it writes how, over the very version of step 1;
//! 4. it steps down, and the lease is vacated.
//!
//! Each write is a compare-and-swap. So two commands never begin from one state of the history, and
//! the end of a command whose lease was lost is refused as soon as another one has begun. A write
//! whose result is unknown is looked up.

mod glance;
mod ledger;
mod protocol;
mod task;

pub use glance::glance;
pub use ledger::{Broken, Ledger};
pub use protocol::Once;
pub use task::{Ended, NOT_STARTED, Runner, Settled, Stage, Subject, Task, report_lost};
