//! The last of what a command writes to standard error: passed on as it comes, and kept.

use std::collections::VecDeque;
use std::io::{self, PipeReader, PipeWriter, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::watch;

use super::whole;
use crate::election::time::BootTime;
use crate::time::clock::HostClock;

/// How much is kept, in bytes: a traceback, and little enough for any store's record.
const KEPT: usize = 4096;

/// After the command is gone its last words are on their way. If another process holds the pipe open,
/// they are not waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// The end of a stream.
#[derive(Debug)]
pub struct Tail {
    kept: Arc<Mutex<VecDeque<u8>>>,
    done: watch::Receiver<bool>,
    /// Set when the end of the stream is first waited for.
    give_up_at: Option<BootTime>,
}

impl Tail {
    /// A pipe to give to a command as its standard error, and the tail of it.
    ///
    /// A thread of its own copies, so that a terminal or a log that does not take anything more
    /// stops only the command.
    ///
    /// # Errors
    ///
    /// When the system has no pipe or thread to spare.
    pub fn of_command() -> io::Result<(PipeWriter, Self)> {
        Self::new(true)
    }

    /// The same, without passing anything on.
    ///
    /// # Errors
    ///
    /// When the system has no pipe or thread to spare.
    pub fn kept_only() -> io::Result<(PipeWriter, Self)> {
        Self::new(false)
    }

    fn new(pass_on: bool) -> io::Result<(PipeWriter, Self)> {
        let (reader, writer) = io::pipe()?;
        let (finished, done) = watch::channel(false);
        let kept = Arc::new(Mutex::new(VecDeque::with_capacity(KEPT + 1)));
        let sink = Arc::clone(&kept);
        thread::Builder::new().name("stderr".to_owned()).spawn(move || {
            copy(reader, &sink, pass_on);
            finished.send_replace(true);
        })?;
        Ok((writer, Self { kept, done, give_up_at: None }))
    }

    /// What was kept, from the beginning of a line on if it was cut, once the stream has ended.
    /// May be dropped at any point and called again, without waiting for longer.
    pub async fn text(&mut self) -> Option<String> {
        let now = HostClock::boot();
        let left = self.give_up_at.get_or_insert(now + PATIENCE).since(now);
        let _ = tokio::time::timeout(left, self.done.wait_for(|done| *done)).await;
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: Vec<u8> = kept.iter().copied().collect();
        Some(last_lines(&bytes)).filter(|text| !text.is_empty())
    }
}

/// At most [`KEPT`] bytes, starting at the beginning of a line if one is among them. `bytes` has
/// one more byte if there was earlier output: it shows whether the first line is whole.
fn last_lines(bytes: &[u8]) -> String {
    // Bytes that are not text become longer.
    let text = String::from_utf8_lossy(bytes);
    let begins = text.len().saturating_sub(KEPT);
    let begins = (begins..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    let (before, last) = text.split_at_checked(begins).unwrap_or_default();
    match last.split_once('\n') {
        _ if before.is_empty() || before.ends_with('\n') => last.to_owned(),
        Some((_, lines)) if !lines.is_empty() => lines.to_owned(),
        Some(_) | None => last.to_owned(),
    }
}

fn copy(mut from: PipeReader, kept: &Mutex<VecDeque<u8>>, pass_on: bool) {
    let mut buffer = [0; 4096];
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(read) => buffer.get(..read).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        // First: standard error may take nothing, and the record gets it anyway.
        keep(read, kept);
        if pass_on {
            // There is no one to notify if this cannot be written.
            let _ = whole::write(&io::stderr(), read);
        }
    }
}

fn keep(read: &[u8], kept: &Mutex<VecDeque<u8>>) {
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    kept.extend(read);
    let surplus = kept.len().saturating_sub(KEPT + 1);
    kept.drain(..surplus);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    async fn kept(written: &str) -> Option<String> {
        let (mut writer, mut tail) = Tail::of_command().unwrap();
        writer.write_all(written.as_bytes()).unwrap();
        drop(writer);
        tail.text().await
    }

    #[tokio::test]
    async fn a_short_text_is_kept_whole() {
        assert_eq!(kept("").await, None);
        assert_eq!(kept("one\ntwo").await.unwrap(), "one\ntwo");
    }

    #[tokio::test]
    async fn the_last_lines_of_a_long_text_are_kept() {
        let lines: String = (0..2000).map(|number| format!("line {number}\n")).collect();
        let text = kept(&lines).await.unwrap();
        assert!(text.len() <= KEPT && text.starts_with("line "), "{text}");
        assert!(text.ends_with("line 1999\n"), "{text}");
        assert_eq!(kept(&"x".repeat(10_000)).await.unwrap().len(), KEPT, "one line is kept anyway");
    }

    #[tokio::test]
    async fn a_line_is_dropped_only_if_it_was_cut() {
        let line = format!("{}\n", "x".repeat(1023));
        let just_fits = line.repeat(4);
        assert_eq!(just_fits.len(), KEPT);
        assert_eq!(kept(&just_fits).await.unwrap(), just_fits);
        assert_eq!(kept(&format!("before\n{just_fits}")).await.unwrap(), just_fits, "cut between");
        assert_eq!(kept(&line.repeat(9)).await.unwrap(), just_fits);
        let longer = format!("xyz{}", line.repeat(4));
        assert_eq!(kept(&longer).await.unwrap(), line.repeat(3), "cut within a line");
    }

    #[test]
    fn bytes_that_are_no_text_are_bounded_as_well() {
        assert!(last_lines(&[0xff; KEPT]).len() <= KEPT);
        assert!(last_lines("é".repeat(KEPT).as_bytes()).len() <= KEPT);
    }

    #[tokio::test]
    async fn an_interrupted_wait_does_not_begin_again() {
        let (_held_open, mut tail) = Tail::of_command().unwrap();
        let mut interruptions = 0;
        while tokio::time::timeout(PATIENCE / 10, tail.text()).await.is_err() {
            interruptions += 1;
            assert!(interruptions < 100);
        }
        assert!(interruptions > 0, "it waits for the end at first");
    }
}
