//! Leader-only work of the process itself, as `command/supervisor.rs` does it, with a command that
//! the simulation plays.

use std::time::Duration;

use bellwether::driver::Handle;
use bellwether::election::outcome::Outcome;
use bellwether::election::term::Term;
use bellwether::election::work::{Deadlines, Directive, SupervisedWork};
use tokio::sync::oneshot;

use crate::simulation::host::{Deed, End, Host};

/// Runs an attempt of `once` in every term that is led, for ever.
pub async fn supervise(election: Handle, host: Host, grace: Duration, ids: u64) {
    let mut view = election.watch();
    let mut ended_in = None;
    for id in ids.. {
        let own = |view: &bellwether::election::leadership::Leadership| {
            let own = view.leading(election.now()).cloned();
            own.filter(|own| Some(own.term()) != ended_in)
        };
        if view.wait_for(|view| own(view).is_some()).await.is_err() {
            return;
        }
        let work = election.begin_work();
        let seen = view.borrow_and_update().clone();
        let Some(tenure) = own(&seen) else { continue };
        let (term, deadlines) = (tenure.term(), Deadlines::of(&tenure));
        let (end, mut ended) = oneshot::channel();
        host.note(Deed::Starts { id, term, deadlines, end });
        let mut supervised = SupervisedWork::new(tenure, grace);
        let end = loop {
            tokio::select! {
                biased;
                end = &mut ended => break end.unwrap_or(End::Stopped),
                changed = view.changed() => {
                    if changed.is_err() {
                        break (&mut ended).await.unwrap_or(End::Stopped);
                    }
                    let seen = view.borrow_and_update().clone();
                    host.note(match supervised.directive(&seen, election.now()) {
                        Directive::Continue(deadlines) => Deed::Extends { id, deadlines },
                        Directive::End { kill_at } => Deed::Stops { id, kill_at },
                    });
                }
            }
        };
        if let End::Own { succeeded } = end {
            ended_in = Some(term);
            if election.finish(outcome(id, succeeded), work).await.is_ok() {
                host.note(Deed::Finishes { id });
            }
        }
    }
}

/// An outcome that differs from all others by its start time.
fn outcome(id: u64, succeeded: bool) -> Outcome {
    Outcome {
        succeeded,
        exit_code: if succeeded { 0 } else { 1 },
        holder: String::new(),
        term: Term::new(0),
        started: id.to_string(),
        finished: String::new(),
        attempts: 0,
        stderr: None,
    }
}
