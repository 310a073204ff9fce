//! Watches the folder of the database, and passes on what the other processes of this host write to the bell.
//!
//! A thread does this. Its reads may hang as the disk does, and the thread that answers does not wake for the bell that
//! this process rings itself.

use std::ffi::CStr;
use std::io;
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

use super::acquisition;
use super::bell::{self, News};
use super::files;
use super::folder::{self, FileId};
use super::mutex::lock;
use super::readers::Presence;
use crate::store::contract::Hint;
use crate::store::notification::Notifiers;

/// Where the database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Without symbolic links.
    pub path: PathBuf,
    /// Its folder, once it was seen: another one can come to the same path.
    pub folder: Option<FileId>,
}

/// How long a folder that cannot be watched is left alone: as long as candidates wait between two reads.
const AGAIN: Duration = Duration::from_secs(2);

/// Turns changes in the folder of the database into hints, wherever it is, until it is dropped.
pub struct Watcher {
    shared: Arc<Shared>,
    /// Wakes the thread; none before it has started.
    wake: Mutex<Option<Arc<OwnedFd>>>,
}

struct Shared {
    /// None when the store is gone.
    place: Mutex<Option<Place>>,
    presence: Arc<Mutex<Presence>>,
    notifiers: Arc<Notifiers>,
    /// The renewals with which this process rang the bell last.
    rung: Mutex<String>,
    is_reported: Mutex<bool>,
}

impl Watcher {
    /// Nothing is watched yet.
    pub fn new(path: &Path, presence: Arc<Mutex<Presence>>, notifiers: Arc<Notifiers>) -> Self {
        let place = Place { path: path.to_owned(), folder: None };
        let shared = Shared {
            place: Mutex::new(Some(place)),
            presence,
            notifiers,
            rung: Mutex::default(),
            is_reported: Mutex::default(),
        };
        Self { shared: Arc::new(shared), wake: Mutex::default() }
    }

    /// The database is there now.
    pub fn follow(&self, place: Place) {
        if self.shared.moves_to(place) {
            self.wake();
        }
    }

    /// Begins to watch, if no thread does. Where the system refuses what that needs, the next call tries again.
    pub fn start(&self) {
        if let Err(error) = self.try_to_start() {
            self.shared.report(&error);
        }
    }

    fn try_to_start(&self) -> io::Result<()> {
        let mut wake = lock(&self.wake);
        if wake.is_none() {
            *wake = Some(self.shared.start()?);
        }
        Ok(())
    }

    /// It can only fail if the thread is to wake already.
    fn wake(&self) {
        if let Some(wake) = &*lock(&self.wake) {
            let _ = rustix::io::write(wake, &1_u64.to_ne_bytes());
        }
    }

    /// This process is about to ring the bell with these renewals, if they are some: it needs no hint of them.
    pub fn rings(&self, renewals: Option<&str>) {
        renewals.unwrap_or_default().clone_into(&mut lock(&self.shared.rung));
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        *lock(&self.shared.place) = None;
        self.wake();
    }
}

/// Waits until something can be read from one of two descriptors, or until `limit`. Returns whether the first was
/// written to, and takes that note.
fn wait(
    wake: BorrowedFd<'_>,
    queue: Option<&OwnedFd>,
    limit: Option<Duration>,
) -> io::Result<bool> {
    let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
    let mut both = vec![PollFd::new(&wake, PollFlags::IN)];
    both.extend(queue.map(|queue| PollFd::new(queue, PollFlags::IN)));
    match poll(&mut both, limit.as_ref()) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(rustix::io::read(wake, &mut [0; 8]).is_ok())
}

impl Shared {
    fn start(self: &Arc<Self>) -> io::Result<Arc<OwnedFd>> {
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let (shared, woken) = (Arc::clone(self), Arc::clone(&wake));
        let thread = thread::Builder::new().name("bell".to_owned());
        thread.spawn(move || shared.watch(woken.as_fd()))?;
        Ok(wake)
    }

    /// Whether the database was at another place.
    fn moves_to(&self, place: Place) -> bool {
        let mut last = lock(&self.place);
        let is_another = last.as_ref() != Some(&place);
        if is_another {
            lock(&self.presence).follow(&place.path);
            *last = Some(place);
        }
        is_another
    }

    fn watch(&self, wake: BorrowedFd<'_>) {
        loop {
            let Some(Place { path, .. }) = lock(&self.place).clone() else { return };
            let watched = Watch::new(&path).and_then(|watch| {
                *lock(&self.is_reported) = false;
                self.watch_with(&watch, &path, wake)
            });
            if let Err(error) = watched {
                self.report(&error);
                // The folder may come back, or the system may have room for another watch.
                if wait(wake, None, Some(AGAIN)).is_err() {
                    thread::sleep(AGAIN);
                }
            }
        }
    }

    fn report(&self, error: &io::Error) {
        if mem::replace(&mut *lock(&self.is_reported), true) {
            return;
        }
        let path = lock(&self.place).as_ref().map(|place| place.path.clone()).unwrap_or_default();
        tracing::warn!(
            folder = %folder::of(&path).display(), %error,
            event = "folder_not_watched",
            "cannot watch the folder of the store; hand-overs are noticed by polling"
        );
    }

    /// Passes on what happens to the database and its bell, until it is at another place or the store is gone.
    fn watch_with(&self, watch: &Watch, path: &Path, wake: BorrowedFd<'_>) -> io::Result<()> {
        let mut reader = bell::Reader::new(bell::of(path));
        let mut database = false;
        loop {
            lock(&self.presence).show();
            let is_all_known = match reader.news() {
                Ok(News::Lines(lines)) => {
                    let rung = lock(&self.rung).clone();
                    let news = lines.iter().filter(|line| !rung.lines().any(|own| own == *line));
                    news.for_each(|line| pass_on(line, &self.notifiers));
                    !database
                }
                Ok(News::Missed) | Err(_) => false,
            };
            if !is_all_known {
                self.notifiers.notify_missed();
            }
            database = loop {
                if wait(wake, Some(&watch.queue), None)? {
                    return Ok(());
                }
                match watch.drain()? {
                    Changed { folder: true, .. } => return Ok(()),
                    Changed { database, bell, .. } if database || bell => break database,
                    Changed { .. } => {}
                }
            };
        }
    }
}

/// Passes on what a line of the bell says.
fn pass_on(line: &str, notifiers: &Notifiers) {
    match acquisition::read(line) {
        Some((election, shown)) => notifiers.notify_of(election, &Hint::Acquired(Box::new(shown))),
        None => notifiers.notify(line),
    }
}

/// What something happened to.
#[derive(Clone, Copy, Default)]
struct Changed {
    /// The folder itself was moved, deleted or unmounted: nothing more comes from it.
    folder: bool,
    /// The database; or a file that SQLite keeps beside it is deleted or replaced, which is a mistake while a process
    /// has the database open: the leader should notice it soon.
    database: bool,
    bell: bool,
}

/// Watches a database and its bell.
struct Watch {
    queue: OwnedFd,
    database: Vec<u8>,
    /// What SQLite keeps beside it.
    beside: [Vec<u8>; 2],
    bell: Vec<u8>,
}

impl Watch {
    /// From now on, the files of the database at `path` are watched.
    ///
    /// # Errors
    ///
    /// When the folder cannot be watched.
    fn new(path: &Path) -> io::Result<Self> {
        let queue = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let files =
            WatchFlags::CLOSE_WRITE | WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::MOVE;
        let folder = WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF | WatchFlags::ONLYDIR;
        inotify::add_watch(&queue, folder::of(path), files | folder)?;
        let name = |path: &Path| path.file_name().unwrap_or_default().as_bytes().to_vec();
        let beside = [files::log_of(path), files::index_of(path)].map(|path| name(&path));
        Ok(Self { queue, database: name(path), beside, bell: name(&bell::of(path)) })
    }

    /// Reads every event that is queued.
    ///
    /// # Errors
    ///
    /// When the folder cannot be watched any more.
    fn drain(&self) -> io::Result<Changed> {
        let gone =
            ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::UNMOUNT | ReadFlags::IGNORED;
        let mut buffer = [MaybeUninit::uninit(); 1024];
        let mut events = inotify::Reader::new(self.queue.as_fd(), &mut buffer);
        let mut changed = Changed::default();
        loop {
            let event = match events.next() {
                Ok(event) => event,
                Err(Errno::WOULDBLOCK) => return Ok(changed),
                Err(error) => return Err(error.into()),
            };
            changed.folder |= event.events().intersects(gone);
            let is_written = event.events().intersects(ReadFlags::CLOSE_WRITE);
            let Some(name) = event.file_name().map(CStr::to_bytes) else {
                // The queue ran over, or it is about the folder itself.
                (changed.database, changed.bell) = (true, true);
                continue;
            };
            let is_beside = self.beside.iter().any(|beside| beside == name);
            changed.database |= self.database == name || (is_beside && !is_written);
            changed.bell |= self.bell == name;
        }
    }
}
