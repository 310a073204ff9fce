//! The signals that a process is sent by whoever runs it.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Failure;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// To end.
    End(&'static str),
    /// Something that is the command's business.
    PassOn(i32),
    /// To reap children: some process ended.
    Reap,
}

/// Every signal that is listened for.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    quit: Signal,
    user1: Signal,
    user2: Signal,
    window: Signal,
    child: Signal,
}

impl Signals {
    pub(super) fn new() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                Failure::Unavailable(format!("cannot listen for signals: {error}"))
            })
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
            quit: listen(SignalKind::quit())?,
            user1: listen(SignalKind::user_defined1())?,
            user2: listen(SignalKind::user_defined2())?,
            window: listen(SignalKind::window_change())?,
            child: listen(SignalKind::child())?,
        })
    }

    /// The next one. Safe to cancel.
    pub(super) async fn next(&mut self) -> Asked {
        let passed_on = |kind: SignalKind| Asked::PassOn(kind.as_raw_value());
        tokio::select! {
            _ = self.terminate.recv() => Asked::End("SIGTERM"),
            _ = self.interrupt.recv() => Asked::End("SIGINT"),
            _ = self.hangup.recv() => passed_on(SignalKind::hangup()),
            _ = self.quit.recv() => passed_on(SignalKind::quit()),
            _ = self.user1.recv() => passed_on(SignalKind::user_defined1()),
            _ = self.user2.recv() => passed_on(SignalKind::user_defined2()),
            _ = self.window.recv() => passed_on(SignalKind::window_change()),
            _ = self.child.recv() => Asked::Reap,
        }
    }

    /// The next one that asks to end.
    pub(super) async fn end(&mut self) -> &'static str {
        loop {
            if let Asked::End(name) = self.next().await {
                return name;
            }
        }
    }
}
