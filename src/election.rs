//! The election itself, pure: who may lead, since when, and until when.
//!
//! Nothing in here does I/O, spawns, logs or waits. The [`elector`] is a state machine: it gets a
//! time and an event, and returns what to do next. [`crate::driver`] joins it to a store and a
//! clock. The simulation joins the same machine to a simulated world. ALGORITHM.md has the protocol
//! and the whole argument for its safety.
//!
//! # The model of time
//!
//! Every decision compares readings of one clock of one host: `CLOCK_BOOTTIME`, which counts during
//! suspend and is never set. No two hosts' clocks are compared. The holder counts its belief from
//! *before* it sent a write. A rival counts the lease from *after* it received what it saw. The gap
//! between the renew deadline and the lease duration ([`timing`]) is the margin for clocks that run
//! at different rates.
//!
//! # The safety rules
//!
//! Code and tests cite them by name: `grep -rn 'rule `stop-before-vacate`'` finds what keeps one.
//!
//! - `one-write-decides`: leadership is gained only by a conditional write that is known to have been
//!   applied. Looking at the record can take belief away, never give it.
//! - `one-stretch`: a term is believed in one stretch. A candidate that stopped believing leads again
//!   only under a larger term.
//! - `resolve-ambiguity`: after a time-out, a dropped connection or a duplicated request the outcome
//!   is unknown. The candidate looks, recognises its own incarnation, and swaps again from there.
//!   No store and no driver repeats a call.
//! - `own-name`: a process that may have a copy, with the same name in the record, stops believing
//!   and takes another name.
//! - `before-sent-after-received`: the holder believes until the renew deadline after it *sent* its
//!   write, and its work is dead before the lease duration after that. A rival counts the duration in
//!   the record, from after it *received* what it saw.
//! - `vacated-lease`: a lease is over when its holder vacated it.
//! - `store-clock`: a lease is over when the store's own clock says so, read in the same statement, or
//!   on a boot clock that is provably the same. It never overrules what the candidate saw: a record
//!   that was seen to change had a live holder.
//! - `watched-lease`: a lease is over when its record was seen unchanged, on the own clock, for the
//!   whole duration in the record.
//! - `announced-renewal`: a pushed renewal of the term seen counts as a sight of its version, received
//!   then. So it makes a wait longer, never shorter, and each claim follows a look. Another source than
//!   the store counts only where versions are random: it cannot know one before the write. While the version
//!   seen last was announced, a standby looks once in a renew deadline, when the next announcement is
//!   overdue, and when the lease may be over. If a look shows a renewal that was not announced, or that
//!   an announced one was none, no announcement counts and the standby polls, until a look shows a
//!   renewal that was announced. An announcement may say how many listen. One of many does not look at
//!   once after a hint, or when an announcement is overdue, but in its turn, within a renew deadline: once
//!   for all hints until then.
//! - `pushed-record`: where the store itself sends the record of a new holder, or only those can send it who
//!   can write the records, and its term is higher than any that was seen, that is a look, received then.
//!   With a lower or the same term, or while a call is under way, it may be older than what is known, and
//!   is a hint, unless just that was seen.
//! - `service-date`: where the store has no clock, the `Date` of its service says that a lease is over,
//!   with `--max-clock-skew` to spare, counted by the writer from when the request was sent.
//! - `lost-writes`: a store that lost writes (a fail-over, a restore) proves nothing for a whole lease,
//!   and the next term jumps over those that it may have lost.
//! - `answers-from-the-clock`: each answer compares a deadline with the clock at that moment.
//! - `boot-clock`: time is `CLOCK_BOOTTIME`, read in one place and handed in. A timer is a hint. No wall
//!   clock decides, and no two hosts' clocks are compared.
//! - `stop-before-vacate`: first the answer turns to "no", then leader-only work ends, then the record
//!   is vacated. Work that cannot be shown to have ended keeps the lease until it runs out.
//! - `outage-demotes`: a leader that cannot reach its store stops by the renew deadline. All
//!   candidates rejoin when the store is back, without a restart.
//! - `no-event-lost`: each event that the driver takes out of a queue reaches the elector.
//! - `fence-the-rest`: a lease is not mutual exclusion. Each answer, each child's environment and each
//!   metric carries the term, for the system that is written to.

pub mod change;
pub mod continuity;
pub mod duration;
pub mod elector;
pub mod grace;
pub mod handover;
pub mod history;
pub mod holder_url;
pub mod leadership;
pub mod lease;
pub mod maintenance;
pub mod pause;
pub mod projection;
pub mod succession;
pub mod term;
pub mod text;
pub mod time;
pub mod timing;
pub mod watch;
pub mod work;
