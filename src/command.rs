//! Leader-only work: a command that never outlives the lease it runs under.
//!
//! # The model
//!
//! The command is not a child of the main process but of a *guard*: the same program, started again
//! for this one purpose. Main sends it the [`plan::Deadlines`] and extends them with every renewal.
//! The guard ends the command by its own reading of the clock, so nothing that happens to main
//! (SIGKILL, SIGSTOP, a hang) lets the work outlive the lease; main ends it if something
//! happens to the guard. Either of the two is enough.
//!
//! | what fails | who ends the work |
//! | --- | --- |
//! | main is stopped or hangs | the guard: SIGTERM at `stop_at`, SIGKILL at `kill_at` |
//! | main is killed | the guard: its socket closes; SIGTERM at once, SIGKILL soon after |
//! | the guard is stopped | main, shortly after `kill_at`: SIGKILL to the group, SIGCONT to the guard |
//! | the guard is killed | main, at once: SIGKILL to the group, to everything that carries its mark, and to all that it adopts |
//! | both are killed in one instant | the kernel: SIGKILL to the command itself, but not to its children |
//!
//! *Gone* means that no descendant is left, whatever process group, session or parent it has
//! chosen: the guard is a child subreaper, so all of them end up as its children; and main is one, so
//! they become its own if the guard dies.
//!
//! Out of reach: work that others do on the command's behalf (a container it asked a daemon to
//! start, a job it queued), and the instant after a whole frozen machine or cgroup thaws. Fencing
//! with the term covers both.

mod channel;
pub mod group;
pub mod guard;
mod message;
pub mod plan;
pub mod processes;
pub mod spec;
pub mod start;
pub mod supervisor;
pub mod tail;
pub mod whole;
