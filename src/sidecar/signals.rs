//! The signals that a process gets from its supervisor or its user.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::error::StartError;
use crate::command::group;
use crate::command::processes::{IgnoredSignals, Strays};
use crate::election::time::BootTime;
use crate::time::clock::HostClock;

/// How long a repeated signal counts as the same request.
///
/// `timeout`, npm, make and a terminal's Ctrl-C signal a process and its group, so the signal
/// arrives twice within microseconds, or milliseconds on a busy host. A person who presses a key
/// again because nothing happened has waited for longer.
const SAME_REQUEST: Duration = Duration::from_secs(1);

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalRequest {
    /// To end.
    End(Ending),
    /// A signal for the command, by its number. Without a command it may be a request to end: see
    /// [`Signals::unclaimed`].
    PassOn(i32),
}

/// A signal that requests the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Its name.
    pub name: &'static str,
    number: i32,
}

impl Ending {
    const TERMINATE: Self = Self { name: "SIGTERM", number: 15 };
    const INTERRUPT: Self = Self { name: "SIGINT", number: 2 };
    const HANGUP: Self = Self { name: "SIGHUP", number: 1 };
    const QUIT: Self = Self { name: "SIGQUIT", number: 3 };

    /// The exit code that stands for it, as shells have it.
    pub fn code(self) -> u8 {
        u8::try_from(self.number).unwrap_or_default().saturating_add(128)
    }
}

/// Every signal that is handled, and the children that end meanwhile.
pub struct Signals {
    /// None for a signal that was ignored when the process was started: it stays so, as under
    /// `nohup`, and for the command as well.
    terminate: Option<Signal>,
    interrupt: Option<Signal>,
    hangup: Option<Signal>,
    quit: Option<Signal>,
    user1: Option<Signal>,
    user2: Option<Signal>,
    window: Option<Signal>,
    child: Signal,
    strays: Strays,
    at_terminal: bool,
    /// The signal that requested the end, and when it first arrived.
    request: Option<(Ending, BootTime)>,
}

impl Signals {
    /// Listens from now on.
    ///
    /// # Errors
    ///
    /// When the system delivers no signals.
    pub fn new() -> Result<Self, StartError> {
        let ignored = IgnoredSignals::now();
        let listen = |kind: SignalKind| match ignored.contain(kind.as_raw_value()) {
            true => Ok(None),
            false => signal(kind).map(Some).map_err(StartError::Signals),
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
            quit: listen(SignalKind::quit())?,
            user1: listen(SignalKind::user_defined1())?,
            user2: listen(SignalKind::user_defined2())?,
            window: listen(SignalKind::window_change())?,
            // SIGCHLD may be ignored around this process, but this process needs it.
            child: signal(SignalKind::child()).map_err(StartError::Signals)?,
            strays: Strays::default(),
            at_terminal: std::fs::File::open("/dev/tty").is_ok(),
            request: None,
        })
    }

    /// The next signal that counts. A repeated request to end within a second does not. Reaps
    /// orphans meanwhile. Safe to cancel.
    pub async fn next(&mut self) -> SignalRequest {
        loop {
            let passed_on = |kind: SignalKind| SignalRequest::PassOn(kind.as_raw_value());
            let look = self.strays.look_again_at();
            let request = tokio::select! {
                () = came(&mut self.terminate) => SignalRequest::End(Ending::TERMINATE),
                () = came(&mut self.interrupt) => SignalRequest::End(Ending::INTERRUPT),
                () = came(&mut self.hangup) => passed_on(SignalKind::hangup()),
                () = came(&mut self.quit) => passed_on(SignalKind::quit()),
                () = came(&mut self.user1) => passed_on(SignalKind::user_defined1()),
                () = came(&mut self.user2) => passed_on(SignalKind::user_defined2()),
                () = came(&mut self.window) => passed_on(SignalKind::window_change()),
                _ = self.child.recv() => {
                    self.strays.reap(&group::guards(), HostClock::boot());
                    continue;
                }
                () = until(look) => {
                    self.strays.reap(&group::guards(), HostClock::boot());
                    continue;
                }
            };
            match request {
                SignalRequest::End(ending) if self.is_repeated(ending) => {}
                request => return request,
            }
        }
    }

    /// The next request to end, for a process that runs no command at the moment.
    pub async fn end(&mut self) -> Ending {
        loop {
            match self.next().await {
                SignalRequest::End(ending) => return ending,
                SignalRequest::PassOn(number) => {
                    if let Some(ending) = self.unclaimed(number) {
                        return ending;
                    }
                }
            }
        }
    }

    /// The next request to end for a process that is ending already: it ends at once, without an
    /// orderly shutdown. A terminal that closes meanwhile is no such request. Neither is the first
    /// signal to a process that ends on its own: it requests what happens already.
    pub async fn second(&mut self) -> Ending {
        loop {
            let is_first = self.request.is_none();
            match self.next().await {
                SignalRequest::End(ending) if is_first => {
                    tracing::info!(signal = ending.name, event = "shutting_down", "shutting down");
                }
                SignalRequest::End(ending) => return ending,
                SignalRequest::PassOn(_) => {}
            }
        }
    }

    /// The first request to end, if there was one.
    pub fn requested(&self) -> Option<Ending> {
        self.request.map(|(ending, _)| ending)
    }

    /// Whether a signal for the command is a request to end when no command runs. SIGHUP and
    /// SIGQUIT are: a terminal that closes, and Ctrl-\.
    pub fn unclaimed(&mut self, number: i32) -> Option<Ending> {
        let ending = [Ending::HANGUP, Ending::QUIT].into_iter().find(|it| it.number == number)?;
        self.request.get_or_insert((ending, HostClock::boot()));
        Some(ending)
    }

    /// The same for a process that waits for its turn to run a command. Such signals may be meant
    /// for the command wherever it runs: many commands read their settings again at SIGHUP. So this
    /// process has to have a terminal.
    pub fn unclaimed_at_terminal(&mut self, number: i32) -> Option<Ending> {
        self.at_terminal.then(|| self.unclaimed(number)).flatten()
    }

    /// Another signal is another request. But a session that is closed sends SIGHUP and SIGTERM
    /// together, in either order.
    fn is_repeated(&mut self, ending: Ending) -> bool {
        let now = HostClock::boot();
        let Some((first, since)) = self.request else {
            self.request = Some((ending, now));
            return false;
        };
        (first == ending || first == Ending::HANGUP) && now.since(since) < SAME_REQUEST
    }
}

/// The next signal of a kind; waits forever if that signal is ignored.
async fn came(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

async fn until(at: Option<BootTime>) {
    match at {
        Some(at) => tokio::time::sleep(at.since(HostClock::boot())).await,
        None => std::future::pending().await,
    }
}
