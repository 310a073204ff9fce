//! How many processes read the bell: a file of moments beside the database.
//!
//! Each reader chooses a place in it at random, and writes there once in a while when it was there last, by the
//! boot clock. A writer counts the moments of late. (The kernel can list who has a lock on a file. But reading
//! that list stops all locks of the host for a hundredth of a second.)
//!
//! The number decides when candidates call, and nothing else: a process that seems to be alone announces no
//! renewals, and then the others look. It is too low where two readers have one place, or boot clocks differ, as
//! in containers with time namespaces of their own.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::folder::{self, FileId};
use crate::election::time::BootTime;
use crate::time::clock::HostClock;

/// Of a thousand readers, an eighth have the place of another one.
const PLACES: usize = 4_096;

/// Nanoseconds of the boot clock.
const MOMENT: usize = 8;

/// How often a reader writes its moment at most.
const SHOWN_AGAIN: Duration = Duration::from_secs(5);

/// For how long a moment counts: longer than a retry period, because readers write theirs when the bell rings.
const LATELY: Duration = Duration::from_secs(60);

fn of(path: &Path) -> PathBuf {
    folder::beside(path, ".readers")
}

/// How many moments in the file are of late; none if none is.
fn count_at(file: &Path, now: BootTime) -> Option<u32> {
    let file = File::open(file).ok()?;
    let mut bytes = vec![0; PLACES * MOMENT];
    let mut read = 0;
    // Short of a signal, one call reads all.
    while let Ok(more @ 1..) = file.read_at(bytes.get_mut(read..)?, u64::try_from(read).ok()?) {
        read += more;
    }
    let moments = bytes.as_chunks::<MOMENT>().0.iter().map(|moment| u64::from_le_bytes(*moment));
    let now = nanos(now);
    let since = now.saturating_sub(u64::try_from(LATELY.as_nanos()).ok()?).max(1);
    let number = moments.filter(|moment| (since..=now).contains(moment)).count();
    u32::try_from(number).ok().filter(|number| *number > 0)
}

fn nanos(time: BootTime) -> u64 {
    u64::try_from(time.as_duration().as_nanos()).unwrap_or(0)
}

/// One reader, which others count.
pub struct Presence {
    path: PathBuf,
    place: u64,
    open: Option<File>,
    shown: Option<BootTime>,
}

impl Presence {
    /// A reader of the bell of the database at `path`.
    pub fn new(path: &Path) -> Self {
        let place = u64::try_from(fastrand::usize(..PLACES)).unwrap_or(0);
        Self { path: of(path), place, open: None, shown: None }
    }

    /// It is there now. Returns whether others can see that.
    pub fn show(&mut self) -> bool {
        self.show_at(HostClock::boot())
    }

    /// About how many processes are there, with this one. None if that cannot be known.
    pub fn count(&mut self) -> Option<u32> {
        let now = HostClock::boot();
        self.show_at(now).then(|| count_at(&self.path, now)).flatten()
    }

    fn show_at(&mut self, now: BootTime) -> bool {
        if self.shown.is_some_and(|shown| now.since(shown) < SHOWN_AGAIN) {
            return true;
        }
        let is_named = |file: &File| {
            let id = file.metadata().map(|file| FileId::from(&file)).ok();
            id.is_some() && FileId::of(&self.path).ok() == id
        };
        if !self.open.as_ref().is_some_and(is_named) {
            let file = File::options().write(true).create(true).truncate(false).open(&self.path);
            self.open = file.ok();
        }
        let place = self.place * u64::try_from(MOMENT).unwrap_or(0);
        let moment = nanos(now).to_le_bytes();
        let is_written =
            self.open.as_ref().is_some_and(|file| file.write_all_at(&moment, place).is_ok());
        if !is_written {
            tracing::debug!(
                "cannot write to the file that counts readers; their number is not known"
            );
        }
        self.shown = is_written.then_some(now);
        is_written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> BootTime {
        BootTime::from_duration(Duration::from_secs(seconds))
    }

    /// Readers at these places.
    fn at_places(path: &Path, places: &[u64]) -> Vec<Presence> {
        places.iter().map(|place| Presence { place: *place, ..Presence::new(path) }).collect()
    }

    #[test]
    fn readers_count_for_a_minute_after_they_were_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leases.db");
        assert_eq!(count_at(&of(&path), at(100)), None, "there is no file");
        let mut readers = at_places(&path, &[0, 77, 4_095]);
        assert!(readers.iter_mut().all(|reader| reader.show_at(at(100))));
        assert_eq!(count_at(&of(&path), at(100)), Some(3));
        assert_eq!(count_at(&of(&path), at(99)), None, "another boot clock");
        readers[1].show_at(at(104));
        assert_eq!(count_at(&of(&path), at(161)), None, "it wrote less than five seconds before");
        readers[1].show_at(at(150));
        assert_eq!(count_at(&of(&path), at(160)), Some(3));
        assert_eq!(count_at(&of(&path), at(161)), Some(1));
    }

    #[test]
    fn a_file_that_was_deleted_is_written_again_and_one_that_is_damaged_counts_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leases.db");
        let mut readers = at_places(&path, &[1]);
        readers[0].show_at(at(100));
        std::fs::remove_file(of(&path)).unwrap();
        readers[0].show_at(at(110));
        assert_eq!(count_at(&of(&path), at(110)), Some(1));
        std::fs::write(of(&path), [0xff; 100_000]).unwrap();
        assert_eq!(count_at(&of(&path), at(110)), None);
        readers[0].show_at(at(120));
        assert_eq!(count_at(&of(&path), at(120)), Some(1));
    }

    #[test]
    fn one_that_counts_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leases.db");
        let mut readers = at_places(&path, &[1, 2]);
        // Alone for longer than a moment counts, and then another one comes.
        let now = HostClock::boot();
        readers[0].show_at(BootTime::from_duration(now.as_duration() - LATELY * 2));
        assert_eq!(readers[1].count(), Some(1));
        assert_eq!(readers[0].count(), Some(2));
        let mut nowhere = Presence::new(&folder.path().join("none/leases.db"));
        assert_eq!(nowhere.count(), None, "it is not seen");
    }
}
