//! The bell: a file beside the database, through which a writer notifies the other processes of this host.
//!
//! After its commit, a writer appends a line to it for each record that it changed or renewed. The others
//! watch the folder, and read what is new. A file that has become long is emptied, and its readers then take
//! each record for changed. The lines are not on the disk when they count, and need not be: a lost one costs
//! what a lost push does.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::folder;

/// The length from which on it is emptied, in bytes: ten thousand lines, of one election in six hours.
const LONG: u64 = 1024 * 1024;

/// As long as it can be when it is read, with lines of 256 elections: a file that is longer is another program's.
const LONGEST: u64 = 2 * LONG;

/// The bell of the database at `path`.
pub fn of(path: &Path) -> PathBuf {
    folder::beside(path, ".bell")
}

/// Appends lines, in one write. Closing the file is what the others wait for.
pub fn ring(bell: &Path, lines: &str) -> io::Result<()> {
    let mut file = File::options().append(true).create(true).open(bell)?;
    if file.metadata()?.len() >= LONG {
        file.set_len(0)?;
    }
    file.write_all(lines.as_bytes())
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
        // An older release rings by emptying it.
        let is_continued = length > 0 && (self.read..=LONGEST).contains(&length);
        // The end of the last line that was read: another one may be there, after the file was emptied.
        let from = self.read.saturating_sub(1);
        if !is_continued {
            self.read = length;
            return Ok(News::Missed);
        }
        self.file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        (&self.file).take(LONGEST).read_to_end(&mut bytes)?;
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
            lines.push(String::from_utf8_lossy(whole).into_owned());
        }
        Ok(News::Lines(lines))
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
            ("emptied because it is long", "x".repeat(long - 1) + "\n", |bell| {
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
