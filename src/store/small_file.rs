//! Files of settings and secrets, which are read again while the program runs.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// The longest, in kilobytes: a bundle of certificates has some hundred, everything else less.
const LONGEST: u64 = 1024;

/// How long a file may take: a busy disk responds sooner, and a person who waits presses Ctrl-C later.
const PATIENCE: Duration = Duration::from_secs(5);

/// The most reads that may hang: of a FIFO without a writer, or on a network file system that is not there.
const MOST_HANGING: usize = 8;

/// The reads of this process.
static READS: Reads = Reads { under_way: AtomicUsize::new(0), patience: PATIENCE };

struct Reads {
    /// Those that have not ended.
    under_way: AtomicUsize,
    patience: Duration,
}

/// The whole file, if it is not far too long: a device has no end. For a thread that may hang, as on a network file
/// system: it waits for as long as the file does not respond.
pub fn read(file: &Path) -> io::Result<Vec<u8>> {
    READS.read(file, LONGEST)
}

/// The same for any thread, if it comes in time: a pipe may have no writer.
pub fn read_in_time(file: &Path) -> io::Result<Vec<u8>> {
    READS.read_in_time(file, LONGEST)
}

/// The same, of text.
pub fn read_text(file: &Path) -> io::Result<String> {
    read_short_text(file, LONGEST)
}

/// The same, of a text that has at most so many kilobytes.
pub fn read_short_text(file: &Path, longest: u64) -> io::Result<String> {
    let bytes = READS.read_in_time(file, longest)?;
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not text"))
}

impl Reads {
    fn read(&'static self, file: &Path, longest: u64) -> io::Result<Vec<u8>> {
        let _under_way = self.begin()?;
        read_whole(file, longest)
    }

    /// A system call that hangs cannot be interrupted, so it has a thread of its own.
    fn read_in_time(&'static self, file: &Path, longest: u64) -> io::Result<Vec<u8>> {
        let under_way = self.begin()?;
        let (sender, receiver) = mpsc::sync_channel(1);
        let file = file.to_owned();
        let reader = move || {
            let read = read_whole(&file, longest);
            drop(under_way);
            // Too late, there is no receiver.
            let _ = sender.send(read);
        };
        thread::Builder::new().name("bw-file".to_owned()).spawn(reader)?;
        receiver.recv_timeout(self.patience).unwrap_or_else(|error| {
            Err(io::Error::other(match error {
                RecvTimeoutError::Timeout => {
                    format!("it was not read within {}", humantime::format_duration(self.patience))
                }
                RecvTimeoutError::Disconnected => "its reader failed".to_owned(),
            }))
        })
    }

    fn begin(&'static self) -> io::Result<UnderWay> {
        let others = self.under_way.fetch_add(1, Ordering::Relaxed);
        let under_way = UnderWay(self);
        if others < MOST_HANGING {
            Ok(under_way)
        } else {
            Err(io::Error::other("earlier reads of files have not ended"))
        }
    }
}

/// One of the reads, until it is dropped.
struct UnderWay(&'static Reads);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

fn read_whole(file: &Path, longest: u64) -> io::Result<Vec<u8>> {
    let most = longest * 1024;
    let mut bytes = Vec::new();
    File::open(file)?.take(most + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > most {
        return Err(io::Error::other(format!("it is longer than {longest} kB")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_end_is_given_up() {
        assert!(read(Path::new("/dev/zero")).unwrap_err().to_string().contains("longer"));
        assert_eq!(read(Path::new("/dev/null")).unwrap(), b"");
    }

    #[test]
    fn a_file_that_does_not_come_is_given_up() {
        static READS: Reads =
            Reads { under_way: AtomicUsize::new(0), patience: Duration::from_millis(20) };
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let error = || READS.read_in_time(&fifo, 1).unwrap_err().to_string();
        for _ in 0..MOST_HANGING {
            assert_eq!(error(), "it was not read within 20ms");
        }
        assert_eq!(error(), "earlier reads of files have not ended");
        // Once there was a writer, each reader ends. To open both ends waits for no other.
        while READS.under_way.load(Ordering::Relaxed) > 0 {
            drop(File::options().read(true).write(true).open(&fifo).unwrap());
            thread::sleep(Duration::from_millis(1));
        }
    }
}
