//! How many processes read the bell: a file of moments beside the database.
//!
//! Each reader chooses a place in it at random, and writes there once in a while when it was there last, by the
//! boot clock. A writer counts the moments of late. (The kernel can list who has a lock on a file. But reading
//! that list stops all locks of the host for a hundredth of a second.)
//!
//! The number decides when candidates call, and nothing else: a process that seems to be alone announces no
//! renewals, and then the others look. It is too low where boot clocks differ, as in containers with time namespaces
//! of their own.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::folder;
use crate::election::time::BootTime;
use crate::time::clock::HostClock;

/// More than there are readers: of a thousand, three in four find a free place at once.
const PLACES: usize = 4_096;

/// Among four thousand readers, some have the place of another one.
const DRAWS: usize = 16;

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
    let moments = moments(&File::open(file).ok()?)?;
    let number = moments.iter().filter(|moment| is_of_late(**moment, now)).count();
    u32::try_from(number).ok().filter(|number| *number > 0)
}

/// From the start of a file that was just opened.
fn moments(file: &File) -> Option<Vec<u64>> {
    let mut bytes = Vec::with_capacity(PLACES * MOMENT);
    file.take(u64::try_from(PLACES * MOMENT).ok()?).read_to_end(&mut bytes).ok()?;
    Some(bytes.as_chunks::<MOMENT>().0.iter().map(|moment| u64::from_le_bytes(*moment)).collect())
}

fn is_of_late(moment: u64, now: BootTime) -> bool {
    let now = nanos(now);
    let since = now.saturating_sub(u64::try_from(LATELY.as_nanos()).unwrap_or(0)).max(1);
    (since..=now).contains(&moment)
}

/// Not of a clock that went back: another clock came, which others do not read as this one.
fn is_new(at: BootTime, now: BootTime) -> bool {
    at <= now && now.since(at) < SHOWN_AGAIN
}

/// A random place, which no other reader has if that can be seen.
fn place(file: &File, now: BootTime) -> usize {
    let moments = moments(file).unwrap_or_default();
    let is_taken =
        |place: &usize| moments.get(*place).is_some_and(|moment| is_of_late(*moment, now));
    let mut drawn = (0..DRAWS).map(|_| fastrand::usize(..PLACES));
    drawn.find(|place| !is_taken(place)).unwrap_or(0)
}

fn nanos(time: BootTime) -> u64 {
    u64::try_from(time.as_duration().as_nanos()).unwrap_or(0)
}

/// One reader, which others count.
pub struct Presence {
    path: PathBuf,
    /// The file, and the place in it.
    open: Option<(File, usize)>,
    shown: Option<BootTime>,
    /// When it counted, and how many.
    counted: Option<(BootTime, Option<u32>)>,
}

impl Presence {
    /// A reader of the bell of the database at `path`.
    pub fn new(path: &Path) -> Self {
        Self { path: of(path), open: None, shown: None, counted: None }
    }

    /// The database is at this path now.
    pub fn follow(&mut self, path: &Path) {
        if self.path != of(path) {
            *self = Self::new(path);
        }
    }

    /// It is there now. Returns whether others can see that.
    pub fn show(&mut self) -> bool {
        self.show_at(HostClock::boot())
    }

    /// About how many processes are there, with this one. None if that cannot be known.
    pub fn count(&mut self) -> Option<u32> {
        self.count_from(HostClock::boot())
    }

    /// The file is read as often as others write to it.
    fn count_from(&mut self, now: BootTime) -> Option<u32> {
        if let Some((_, number)) = self.counted.filter(|(at, _)| is_new(*at, now)) {
            return number;
        }
        let number = self.show_at(now).then(|| count_at(&self.path, now)).flatten();
        self.counted = Some((now, number));
        number
    }

    fn show_at(&mut self, now: BootTime) -> bool {
        if self.shown.is_some_and(|shown| is_new(shown, now)) {
            return true;
        }
        if !self.open.as_ref().is_some_and(|(file, _)| folder::names(&self.path, file)) {
            let mut options = File::options();
            let file = options.read(true).write(true).create(true).truncate(false).open(&self.path);
            self.open = file.ok().map(|file| {
                let place = place(&file, now);
                (file, place)
            });
        }
        let write = |(file, place): &(File, usize)| {
            let at = u64::try_from(place * MOMENT).unwrap_or(0);
            file.write_all_at(&nanos(now).to_le_bytes(), at).is_ok()
        };
        let is_written = self.open.as_ref().is_some_and(write);
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

    fn readers_of(path: &Path, number: usize) -> Vec<Presence> {
        (0..number).map(|_| Presence::new(path)).collect()
    }

    #[test]
    fn readers_count_for_a_minute_after_they_were_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leases.db");
        assert_eq!(count_at(&of(&path), at(100)), None, "there is no file");
        let mut readers = readers_of(&path, 3);
        assert!(readers.iter_mut().all(|reader| reader.show_at(at(100))));
        assert_eq!(count_at(&of(&path), at(100)), Some(3));
        assert_eq!(count_at(&of(&path), at(99)), None, "another boot clock");
        readers[1].show_at(at(104));
        assert_eq!(count_at(&of(&path), at(161)), None, "it wrote less than five seconds before");
        readers[1].show_at(at(150));
        assert_eq!(count_at(&of(&path), at(160)), Some(3));
        assert_eq!(count_at(&of(&path), at(161)), Some(1));
        readers[1].show_at(at(50));
        assert_eq!(count_at(&of(&path), at(50)), Some(1), "its clock went back");
    }

    #[test]
    fn a_file_that_was_deleted_is_written_again_and_one_that_is_damaged_counts_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leases.db");
        let mut readers = readers_of(&path, 1);
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
        let mut readers = readers_of(&path, 2);
        // Alone for longer than a moment counts, and then another one comes.
        let now = HostClock::boot();
        readers[0].show_at(BootTime::from_duration(now.as_duration() - LATELY * 2));
        assert_eq!(readers[1].count(), Some(1));
        assert_eq!(readers[0].count(), Some(2));
        assert_eq!(readers[1].count_from(now + SHOWN_AGAIN / 2), Some(1), "it does not read again");
        assert_eq!(readers[1].count_from(now + SHOWN_AGAIN * 2), Some(2));
        let mut nowhere = Presence::new(&folder.path().join("none/leases.db"));
        assert_eq!(nowhere.count(), None, "it is not seen");
    }

    #[test]
    fn each_of_a_crowd_has_a_place_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leases.db");
        let mut readers = readers_of(&path, 1_000);
        assert!(readers.iter_mut().all(|reader| reader.show_at(at(100))));
        assert_eq!(count_at(&of(&path), at(100)), Some(1_000));
    }
}
