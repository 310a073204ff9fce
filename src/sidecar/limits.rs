//! File descriptors: those that the election needs are reserved before clients get the rest.
//!
//! Two measures keep clients away from the reserved descriptors. The remaining descriptors limit
//! the number of clients. And the kernel assigns the lowest free descriptor, so a client with a
//! descriptor above [`Files::ceiling`] would take one of the last: it is disconnected again,
//! whatever used up the others.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The descriptors that are open from the start: standard streams, the runtime, signals, the
/// listener, the kernel's messages, the store and its watcher, a command's guard. Two dozen with
/// SQLite.
const ALWAYS: usize = 24;

/// The most descriptors that the election opens at one time while it runs: a new connection to the
/// store while its last connection still hangs (three files for each of four workers with SQLite;
/// names, certificates and secrets that are read again with others), the boot id, a guard.
const NOW_AND_THEN: usize = 20;

/// Fewer clients than this at once are no useful service: a probe, the application, and some slow
/// ones.
const LEAST_CLIENTS: usize = 8;

/// This many clients get their room even if little is left for other purposes.
const FEW_CLIENTS: usize = 16;

/// Left free for uses that are not counted, if there is enough.
const SPARE: usize = 84;

/// The purposes for which this process needs files, besides those that it always has.
#[derive(Clone, Copy, Debug)]
pub struct Needs {
    /// How many elections it stands in.
    pub elections: usize,
    /// What each of them keeps open: timers, and perhaps a connection to the store.
    pub of_each: usize,
    /// How many files hooks open at once.
    pub of_hooks: usize,
    /// How many clients it should serve at once; zero without HTTP.
    pub clients: usize,
}

/// How many files may be open, and for which purposes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Files {
    limit: usize,
    reserved: usize,
    at_the_end: usize,
    clients: usize,
}

/// The limit is too low even for the elections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this process may open {limit} files, and needs {least} for {elections} election{}: raise the \
     open-file limit (ulimit -n, LimitNOFILE){}",
    if *elections == 1 { "" } else { "s" },
    if *elections == 1 { "" } else { ", or name fewer elections" },
)]
pub struct TooFew {
    limit: usize,
    least: usize,
    elections: usize,
}

impl Files {
    /// Raises this process's own limit far enough to cover all of it, if the limit is lower and may
    /// be raised. Children inherit it.
    ///
    /// # Errors
    ///
    /// When the limit is not enough for the elections and a few clients.
    pub fn set_aside(needs: Needs) -> Result<Self, TooFew> {
        let limit = getrlimit(Resource::Nofile);
        let wanted = ALWAYS + NOW_AND_THEN + SPARE + needs.of_all() + needs.clients;
        let wanted = u64::try_from(wanted).unwrap_or(u64::MAX);
        let wanted = limit.maximum.map_or(wanted, |maximum| wanted.min(maximum));
        let mut current = limit.current;
        if current.is_some_and(|current| current < wanted) {
            let raised = Rlimit { current: Some(wanted), maximum: limit.maximum };
            match setrlimit(Resource::Nofile, raised) {
                Ok(()) => current = Some(wanted),
                Err(error) => {
                    tracing::debug!(%error, wanted, "cannot raise the limit of open files");
                }
            }
        }
        Self::within(current.and_then(|c| usize::try_from(c).ok()).unwrap_or(usize::MAX), needs)
    }

    fn within(limit: usize, needs: Needs) -> Result<Self, TooFew> {
        let at_the_end = NOW_AND_THEN + needs.of_hooks;
        let reserved = ALWAYS + at_the_end + needs.elections * needs.of_each;
        let least = reserved + needs.clients.min(LEAST_CLIENTS);
        if limit < least {
            return Err(TooFew { limit, least, elections: needs.elections });
        }
        let left = limit - reserved;
        let clients = left.saturating_sub(SPARE).max(left.min(FEW_CLIENTS)).min(needs.clients);
        Ok(Self { limit, reserved, at_the_end, clients })
    }

    /// How many clients there may be at once.
    pub fn clients(&self) -> usize {
        self.clients
    }

    /// The lowest descriptor that no client may have.
    pub fn ceiling(&self) -> usize {
        self.limit - self.at_the_end
    }
}

impl Needs {
    fn of_all(self) -> usize {
        self.elections * self.of_each + self.of_hooks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(elections: usize, clients: usize) -> Needs {
        Needs { elections, of_each: 4, of_hooks: 0, clients }
    }

    #[test]
    fn what_the_election_needs_is_set_aside_whatever_the_limit() {
        for limit in [64, 128, 224, 1024, 4096, usize::MAX] {
            let files = Files::within(limit, needs(1, 3800)).unwrap();
            assert!(files.clients() >= LEAST_CLIENTS && files.clients() <= 3800, "{files:?}");
            assert!(files.clients() + files.reserved <= limit, "{files:?}");
            assert!(limit - files.ceiling() >= NOW_AND_THEN, "{files:?}");
        }
        assert_eq!(Files::within(224, needs(1, 3800)).unwrap().clients(), 92);
        assert_eq!(Files::within(64, needs(1, 3800)).unwrap().clients(), 16);
        assert_eq!(Files::within(4096, needs(1, 3800)).unwrap().clients(), 3800);
    }

    #[test]
    fn a_limit_that_is_too_low_is_refused_with_what_is_needed() {
        let refused = |limit, needs| Files::within(limit, needs).unwrap_err().to_string();
        let message = refused(48, needs(1, 3800));
        assert!(message.contains("may open 48 files, and needs 56 for 1 election:"), "{message}");
        assert!(message.contains("ulimit -n, LimitNOFILE"), "{message}");
        let message = refused(1024, needs(256, 3800));
        assert!(message.contains("needs 1076 for 256 elections"), "{message}");
        assert!(message.ends_with("or name fewer elections"), "{message}");
        assert!(Files::within(1076, needs(256, 3800)).is_ok());
        assert!(Files::within(48, needs(1, 0)).is_ok(), "without clients");
    }

    #[test]
    fn hooks_have_their_own_share() {
        let needs = Needs { of_hooks: 48, ..needs(1, 3800) };
        let files = Files::within(224, needs).unwrap();
        assert_eq!(files.ceiling(), 224 - NOW_AND_THEN - 48);
        assert!(files.clients() + files.reserved <= 224, "{files:?}");
    }
}
