//! Leader-only commands under guard: real processes, real signals, real clocks.
//!
//! A test asserts what must hold (order, safety, nothing left), not how many milliseconds it took.
//! Commands write down the time since boot on their own, so that a process that runs for
//! too long is its own witness.

/// Plays a test in a process of its own: to be its first line.
///
/// A process that starts a group becomes the parent of every orphan below it, and treats those that a
/// killed guard leaves as its own. The other tests of this program have other orphans.
macro_rules! alone {
    () => {{
        fn here() {}
        if crate::command::driver::is_played_elsewhere(std::any::type_name_of_val(&here)) {
            return;
        }
    }};
}

mod driver;
mod ends;
mod escapes;
mod faults;
mod leftovers;
mod passes;
mod scene;
