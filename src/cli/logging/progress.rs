//! A line at the bottom of a terminal that changes in place. The thread that writes the log writes
//! it, so a stopped terminal blocks nothing else.

use std::io::{self, IsTerminal};
use std::sync::{Mutex, OnceLock, PoisonError};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};
use rustix::termios::tcgetwinsize;

use super::queue;

/// The width of a terminal that does not report its width.
const USUAL_WIDTH: u16 = 80;

static PROGRESS: OnceLock<ProgressBar> = OnceLock::new();

/// A line that shows the progress.
pub struct ProgressLine(ProgressBar);

impl ProgressLine {
    /// The one of this process; none if standard error is no terminal.
    pub fn on_terminal() -> Option<Self> {
        io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
            let bar = PROGRESS.get_or_init(|| {
                let target = ProgressDrawTarget::term_like(Box::new(Terminal::default()));
                ProgressBar::with_draw_target(None, target).with_style(style)
            });
            bar.finish_and_clear();
            Self(bar.clone())
        })
    }

    /// Shows this text, and the time since it was last cleared.
    pub fn show(&self, text: String) {
        self.0.set_message(text);
        if self.0.is_finished() {
            self.0.reset();
        }
        self.0.tick();
    }

    /// Leaves the terminal to another program. Writes to it only if there is text to clear.
    pub fn clear(&self) {
        if !self.0.is_finished() {
            self.0.finish_and_clear();
        }
    }
}

/// Writes a line of the log above the line that changes, if there is one.
pub(super) fn above(line: &[u8]) {
    match PROGRESS.get().filter(|bar| !bar.is_finished()) {
        Some(bar) => bar.suspend(|| queue::write(line)),
        None => queue::write(line),
    }
}

/// Standard error, through the queue.
#[derive(Debug, Default)]
struct Terminal(Mutex<String>);

impl Terminal {
    fn add(&self, text: &str) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_str(text);
        Ok(())
    }
}

impl TermLike for Terminal {
    fn width(&self) -> u16 {
        let shown = tcgetwinsize(io::stderr()).map_or(0, |size| size.ws_col);
        if shown == 0 { USUAL_WIDTH } else { shown }
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        if n > 0 { self.add(&format!("\x1b[{n}A")) } else { Ok(()) }
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        if n > 0 { self.add(&format!("\x1b[{n}B")) } else { Ok(()) }
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        if n > 0 { self.add(&format!("\x1b[{n}C")) } else { Ok(()) }
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        if n > 0 { self.add(&format!("\x1b[{n}D")) } else { Ok(()) }
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.add(text)?;
        self.add("\n")
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.add(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.add("\r\x1b[2K")
    }

    fn flush(&self) -> io::Result<()> {
        let drawn = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        if !drawn.is_empty() {
            queue::write(drawn.as_bytes());
        }
        Ok(())
    }
}
