//! The bell: a file beside the database, through which a writer notifies the other processes of this host.
//!
//! After its commit, a writer appends a line to it for each record that it changed or renewed. The others
//! watch the folder, and read what is new. A file that has become long is emptied. Its first line then says how
//! long it was: who had read that much has missed nothing but a line of that very moment (see [`empty`]), and others
//! take each record for changed. The lines are not on the disk when they count, and need not be: a lost one costs what
//! a lost push does.

use std::fs::{File, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::folder;

/// The length from which on it is emptied, in bytes: ten thousand lines, of one election in six hours.
const LONG: u64 = 1024 * 1024;

/// As long as it can be when it is read, with lines of 256 elections: a file that is longer is another program's.
const LONGEST: u64 = 2 * LONG;

/// Begins the first line of a file that was emptied: how many bytes it had. No name of an election begins with it, so
/// readers of older releases take the line for one of an election that they do not know.
const EMPTIED: &str = "#";

/// The bell of the database at `path`.
pub fn of(path: &Path) -> PathBuf {
    folder::beside(path, ".bell")
}

/// Appends lines, in one write. Closing the file is what the others wait for.
pub fn ring(bell: &Path, lines: &str) -> io::Result<()> {
    let mut file = File::options().append(true).create(true).open(bell)?;
    let first = if file.metadata()?.len() < LONG { String::new() } else { empty(&file)? };
    file.write_all((first + lines).as_bytes())
}

/// Empties the file, and returns its first line; or nothing, if another writer empties it. Of two, the second would
/// delete the lines of the first.
fn empty(file: &File) -> io::Result<String> {
    // Until the file is closed. What has no locks is emptied without one.
    let is_locked = matches!(file.try_lock(), Err(TryLockError::WouldBlock));
    let length = file.metadata()?.len();
    let is_due = length >= if is_locked { LONGEST } else { LONG };
    if !is_due {
        return Ok(String::new());
    }
    // A line that another writer appends between the two calls is lost, and no reader notices. It happens once in ten
    // thousand lines at most. To prevent it, each writer would have to wait for the others.
    file.set_len(0)?;
    Ok(format!("{EMPTIED}{length}\n"))
}

/// What is new in the bell.
#[derive(Debug, PartialEq, Eq)]
pub enum News {
    /// These lines, or none.
    Lines(Vec<String>),
    /// Some lines may be missing: every record may have changed.
    Missed,
}

/// A reader of the bell.
pub struct Reader {
    bell: PathBuf,
    open: Option<Open>,
}

struct Open {
    file: File,
    /// How much of it was read, to the end of a line.
    read: u64,
}

impl Reader {
    /// Nothing is opened yet.
    pub fn new(bell: PathBuf) -> Self {
        Self { bell, open: None }
    }

    /// What was appended since the last call. With the first call, it is not known what came before.
    pub fn news(&mut self) -> io::Result<News> {
        let Some(mut open) = self.open.take().filter(|open| folder::names(&self.bell, &open.file))
        else {
            self.open = Some(Open::at_end(&self.bell)?);
            return Ok(News::Missed);
        };
        let news = open.news()?;
        self.open = Some(open);
        Ok(news)
    }
}

impl Open {
    fn at_end(bell: &Path) -> io::Result<Self> {
        let file = match File::open(bell) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                File::options().append(true).create(true).open(bell)?;
                File::open(bell)?
            }
            opened => opened?,
        };
        let read = file.metadata()?.len();
        Ok(Self { file, read })
    }

    fn news(&mut self) -> io::Result<News> {
        let length = self.file.metadata()?.len();
        if length < self.read && self.was_emptied_when_read()? {
            self.read = 0;
        }
        // An older release rings by emptying it.
        let is_continued = length > 0 && (self.read..=LONGEST).contains(&length);
        // The end of the last line that was read: another one may be there, after the file was emptied.
        let from = self.read.saturating_sub(1);
        if !is_continued {
            self.read = length;
            return Ok(News::Missed);
        }
        // As much as there was: what comes meanwhile comes with a change of its own.
        let bytes = self.bytes(from, length - from)?;
        let appended = if self.read == 0 { Some(&bytes[..]) } else { bytes.strip_prefix(b"\n") };
        let Some(appended) = appended else {
            self.read = length;
            return Ok(News::Missed);
        };
        let mut lines = Vec::new();
        for line in appended.split_inclusive(|byte| *byte == b'\n') {
            // The rest of a line that is just being written comes later.
            let Some(whole) = line.strip_suffix(b"\n") else { break };
            self.read += u64::try_from(line.len()).unwrap_or(0);
            if !whole.starts_with(EMPTIED.as_bytes()) {
                lines.push(String::from_utf8_lossy(whole).into_owned());
            }
        }
        Ok(News::Lines(lines))
    }

    /// Whether the file was emptied when all of it had been read, as its first line says.
    fn was_emptied_when_read(&self) -> io::Result<bool> {
        let first = format!("{EMPTIED}{}\n", self.read);
        let bytes = self.bytes(0, u64::try_from(first.len()).unwrap_or(0))?;
        Ok(bytes == first.as_bytes())
    }

    /// So many bytes from there on, or those that there are.
    fn bytes(&self, from: u64, length: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        let read = self.file.read_at(&mut bytes, from)?;
        bytes.truncate(read);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let bell = of(&folder.path().join("leases.db"));
        (folder, bell)
    }

    fn reader(bell: &Path) -> Reader {
        let mut reader = Reader::new(bell.to_owned());
        assert_eq!(reader.news().unwrap(), News::Missed, "what came before");
        reader
    }

    fn lines(reader: &mut Reader) -> Vec<String> {
        match reader.news().unwrap() {
            News::Lines(lines) => lines,
            News::Missed => panic!("nothing is missing"),
        }
    }

    #[test]
    fn each_reader_reads_what_was_appended_since() {
        let (_folder, bell) = place();
        ring(&bell, "earlier\n").unwrap();
        let mut reader = reader(&bell);
        assert_eq!(lines(&mut reader), [""; 0]);
        ring(&bell, "a 1\nb 2\n").unwrap();
        let mut later = self::reader(&bell);
        ring(&bell, "c 3\n").unwrap();
        assert_eq!(lines(&mut reader), ["a 1", "b 2", "c 3"]);
        assert_eq!(lines(&mut reader), [""; 0]);
        assert_eq!(lines(&mut later), ["c 3"]);
    }

    #[test]
    fn a_line_counts_once_all_of_it_is_there() {
        let (_folder, bell) = place();
        ring(&bell, "earlier\n").unwrap();
        let mut reader = reader(&bell);
        ring(&bell, "default rene").unwrap();
        assert_eq!(lines(&mut reader), [""; 0]);
        ring(&bell, "wed 7 v\nnext").unwrap();
        assert_eq!(lines(&mut reader), ["default renewed 7 v"]);
        ring(&bell, "\n").unwrap();
        assert_eq!(lines(&mut reader), ["next"]);
    }

    /// All but the first are what something else than this release does to the file.
    #[test]
    fn where_lines_may_be_missing_every_record_may_have_changed() {
        type Meanwhile = fn(&Path);
        let long = usize::try_from(LONG).unwrap();
        let cases: [(&str, String, Meanwhile); 7] = [
            ("emptied before all of it was read", "x".repeat(long - 1) + "\n", |bell| {
                ring_without_emptying(bell, "unread\n");
                ring(bell, "after\n").unwrap();
            }),
            ("rung by an older release", "before\n".to_owned(), |bell| {
                File::create(bell).unwrap();
            }),
            ("rung by an older release from the start", String::new(), |bell| {
                File::create(bell).unwrap();
            }),
            ("emptied and longer again", "before\n".to_owned(), |bell| {
                std::fs::write(bell, "no line ends where the last one did\n").unwrap();
            }),
            ("replaced", "before\n".to_owned(), |bell| {
                let other = bell.with_extension("other");
                std::fs::write(&other, "before\nafter\n").unwrap();
                std::fs::rename(other, bell).unwrap();
            }),
            ("deleted", "before\n".to_owned(), |bell| std::fs::remove_file(bell).unwrap()),
            ("another program's", "before\n".to_owned(), |bell| {
                File::options().append(true).open(bell).unwrap().set_len(LONGEST + 1).unwrap();
            }),
        ];
        for (case, before, meanwhile) in cases {
            let (_folder, bell) = place();
            std::fs::write(&bell, before).unwrap();
            let mut reader = reader(&bell);
            meanwhile(&bell);
            assert_eq!(reader.news().unwrap(), News::Missed, "{case}");
            // Then it reads on.
            std::fs::write(&bell, "").unwrap();
            assert_eq!(reader.news().unwrap(), News::Missed, "{case}");
            ring(&bell, "again\n").unwrap();
            assert_eq!(lines(&mut reader), ["again"], "{case}");
        }
    }

    /// As a writer does while another one empties it.
    fn ring_without_emptying(bell: &Path, lines: &str) {
        let other = File::open(bell).unwrap();
        other.lock().unwrap();
        ring(bell, lines).unwrap();
    }

    #[test]
    fn who_has_read_all_of_a_file_that_is_emptied_misses_nothing() {
        let (_folder, bell) = place();
        let line = "x".repeat(100_000) + "\n";
        ring(&bell, &line).unwrap();
        let mut reader = reader(&bell);
        let mut emptied = 0;
        for number in 0..40 {
            let before = std::fs::metadata(&bell).unwrap().len();
            ring(&bell, &format!("{number} {line}")).unwrap();
            emptied += u32::from(std::fs::metadata(&bell).unwrap().len() < before);
            assert_eq!(lines(&mut reader), [format!("{number} {}", line.trim_end())]);
        }
        assert!(emptied > 2, "{emptied}");
        // Opened while it is empty, and not again before there is a line.
        std::fs::write(&bell, "").unwrap();
        let mut reader = self::reader(&bell);
        std::fs::write(&bell, "#1048576\nfirst\n").unwrap();
        assert_eq!(lines(&mut reader), ["first"]);
    }

    #[test]
    fn of_two_writers_one_empties_the_file_and_one_that_hangs_keeps_none_from_it() {
        let (_folder, bell) = place();
        std::fs::write(&bell, "x".repeat(usize::try_from(LONG).unwrap())).unwrap();
        let half = "x".repeat(usize::try_from(LONG).unwrap() / 2) + "\n";
        let mut lengths = Vec::new();
        for _ in 0..4 {
            ring_without_emptying(&bell, &half);
            lengths.push(std::fs::metadata(&bell).unwrap().len() / (LONG / 2));
        }
        assert_eq!(lengths, [3, 4, 1, 2], "in halves of the length from which on it is emptied");
    }

    #[test]
    fn a_long_file_is_emptied_before_the_next_line() {
        let (_folder, bell) = place();
        let mut longest = 0;
        for _ in 0..40 {
            ring(&bell, &("x".repeat(100_000) + "\n")).unwrap();
            longest = longest.max(std::fs::metadata(&bell).unwrap().len());
        }
        assert!((LONG..LONGEST).contains(&longest), "{longest} bytes");
    }
}
