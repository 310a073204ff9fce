//! The whole of a terminal, as `watch` and pagers take it: given back as it was, however it ends.

use std::io::{self, IsTerminal};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal as Kill, getpgrp, getpid, getsid, kill_process};
use rustix::termios::{self, LocalModes, OptionalActions, QueueSelector, Termios};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::super::exit::CommandError;
use super::super::output::{Reader, print_apart};
use crate::command::processes::IgnoredSignals;

/// The other screen, no cursor, and no line that continues on the next row.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";

/// A terminal that does not report its size.
const USUAL: Size = Size { width: 80, height: 24 };

/// How long a terminal may take that is stopped (Ctrl-S) or cut off: then it is left as it is.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// The size of a terminal in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) width: usize,
    pub(super) height: usize,
}

/// The size of the terminal that standard output is. If it is none: as wide as COLUMNS says, which
/// `watch` sets, or as most terminals are.
pub(super) fn size() -> Size {
    let reported = termios::tcgetwinsize(io::stdout()).ok();
    let variable = || std::env::var("COLUMNS").ok()?.parse().ok();
    let width = reported.map(|size| usize::from(size.ws_col)).or_else(variable);
    let height = reported.map(|size| usize::from(size.ws_row));
    Size {
        width: width.filter(|width| *width > 0).unwrap_or(USUAL.width),
        height: height.filter(|height| *height > 0).unwrap_or(USUAL.height),
    }
}

/// A terminal that is taken, until this is dropped, while this process is in the foreground of it.
///
/// The kernel stops a process that changes the modes of its terminal from the background, again each
/// time that it is continued. So no signal would end it.
pub(super) struct Screen {
    /// Whether the terminal is taken.
    taken: bool,
    /// How it was.
    before: Option<Termios>,
    resized: Option<Signal>,
    /// Ctrl-Z.
    stopped: Option<Signal>,
}

impl Screen {
    /// Takes the terminal; none if standard output is no terminal that can be.
    pub(super) fn take() -> Result<Option<Self>, CommandError> {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        if dumb || !io::stdout().is_terminal() {
            return Ok(None);
        }
        let ignored = IgnoredSignals::now();
        let listen = |kind: SignalKind| match ignored.contain(kind.as_raw_value()) {
            true => Ok(None),
            false => signal(kind).map(Some),
        };
        let unusable = |error| CommandError::Unavailable(format!("cannot take signals: {error}"));
        let resized = listen(SignalKind::window_change()).map_err(unusable)?;
        // If the leader of a session stopped itself, no process could continue it.
        let leads_session = getsid(None).is_ok_and(|session| session == getpid());
        let stop = SignalKind::from_raw(Kill::TSTP.as_raw());
        let stopped = if leads_session { None } else { listen(stop).map_err(unusable)? };
        let mut screen = Self { taken: false, before: None, resized, stopped };
        screen.enter();
        Ok(Some(screen))
    }

    /// What is typed is not shown: it would move what is.
    fn enter(&mut self) {
        if self.taken || is_in_background() {
            return;
        }
        self.taken = true;
        self.before = termios::tcgetattr(io::stdout()).ok();
        if let Some(mut modes) = self.before.clone() {
            modes.local_modes -= LocalModes::ECHO;
            let _ = termios::tcsetattr(io::stdout(), OptionalActions::Now, &modes);
        }
        write_now(ENTER);
    }

    fn leave(&mut self) {
        let taken = std::mem::take(&mut self.taken);
        if !taken || is_in_background() {
            return;
        }
        write_now(LEAVE);
        if let Some(before) = self.before.take() {
            // Typed for this screen, and not for the shell.
            let _ = termios::tcflush(io::stdout(), QueueSelector::IFlush);
            let _ = termios::tcsetattr(io::stdout(), OptionalActions::Now, &before);
        }
    }

    /// Waits until all has to be drawn again: the window has another size, or was in the background.
    /// Safe to cancel.
    pub(super) async fn changed(&mut self) {
        tokio::select! {
            () = came(&mut self.resized) => {}
            () = came(&mut self.stopped) => {
                self.leave();
                // Stops here, until it is continued.
                let _ = kill_process(getpid(), Kill::STOP);
            }
        }
    }

    /// Draws these lines, in one piece and in the place of all that was there. In the background it
    /// draws nothing, and takes the terminal again when it is back.
    pub(super) async fn draw(&mut self, lines: &[String]) -> Result<Reader, CommandError> {
        self.taken &= !is_in_background();
        self.enter();
        if !self.taken {
            return Ok(Reader::Reads);
        }
        let height = size().height;
        let shown = lines.get(..height).unwrap_or(lines);
        let mut frame = "\x1b[H".to_owned();
        for (index, line) in shown.iter().enumerate() {
            // Erased before it is written: behind the last column that would take a letter.
            frame += if index == 0 { "\x1b[2K" } else { "\r\n\x1b[2K" };
            frame += line;
        }
        if shown.len() < height {
            frame += if shown.is_empty() { "\x1b[J" } else { "\r\n\x1b[J" };
        }
        print_apart(frame).await
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Whether other processes have the terminal. Without job control none has it alone.
fn is_in_background() -> bool {
    termios::tcgetpgrp(io::stdout()).is_ok_and(|foreground| foreground != getpgrp())
}

/// The next signal of a kind; waits forever for one that this process does not handle.
async fn came(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// Writes to the terminal itself, unless it takes nothing.
fn write_now(text: &str) {
    let stdout = io::stdout();
    if poll(&mut [PollFd::new(&stdout, PollFlags::OUT)], Some(&PATIENCE)).is_ok_and(|n| n > 0) {
        let _ = rustix::io::write(&stdout, text.as_bytes());
    }
}
