//! Watches the folder of the database, and passes on what the other processes of this host write to the bell.
//!
//! A thread does this. Its reads may hang as the disk does, and the thread that answers does not wake for the bell that
//! this process rings itself.

use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
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
    presence: Arc<Mutex<Presence>>,
    notifiers: Arc<Notifiers>,
    /// The renewals with which this process rang the bell last.
    rung: Arc<Mutex<String>>,
    is_reported: Arc<AtomicBool>,
    watched: Mutex<Watched>,
}

struct Watched {
    place: Place,
    /// None before the first call, and where the system refused what it needs.
    by: Option<Watching>,
}

impl Watcher {
    /// Nothing is watched yet.
    pub fn new(path: &Path, presence: Arc<Mutex<Presence>>, notifiers: Arc<Notifiers>) -> Self {
        let place = Place { path: path.to_owned(), folder: None };
        Self {
            presence,
            notifiers,
            rung: Arc::default(),
            is_reported: Arc::default(),
            watched: Mutex::new(Watched { place, by: None }),
        }
    }

    /// The database is there now. A thread that hangs at another place is left behind.
    pub fn follow(&self, place: Place) {
        let mut watched = lock(&self.watched);
        if watched.place != place {
            lock(&self.presence).follow(&place.path);
            *watched = Watched { place, by: None };
        }
    }

    /// Begins to watch, if no thread does. After a refusal by the system, the next call tries again.
    pub fn start(&self) {
        let mut watched = lock(&self.watched);
        if watched.by.is_none() {
            let path = watched.place.path.clone();
            let started = self.start_at(&path);
            watched.by = started.inspect_err(|error| report(&self.is_reported, &path, error)).ok();
        }
    }

    fn start_at(&self, path: &Path) -> io::Result<Watching> {
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let watching = Watching { is_over: Arc::default(), wake: Arc::clone(&wake) };
        let task = Task {
            path: path.to_owned(),
            presence: Arc::clone(&self.presence),
            notifiers: Arc::clone(&self.notifiers),
            rung: Arc::clone(&self.rung),
            is_reported: Arc::clone(&self.is_reported),
            is_over: Arc::clone(&watching.is_over),
            wake,
        };
        thread::Builder::new().name("bell".to_owned()).spawn(move || task.run())?;
        Ok(watching)
    }

    /// This process is about to ring the bell with these renewals, if they are some: it needs no hint of them.
    pub fn rings(&self, renewals: Option<&str>) {
        renewals.unwrap_or_default().clone_into(&mut lock(&self.rung));
    }
}

/// A thread that watches. Ends it when dropped.
struct Watching {
    is_over: Arc<AtomicBool>,
    wake: Arc<OwnedFd>,
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        // It can only fail if the thread is to wake already.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }
}

/// Reports once that the folder is not watched, until it is.
fn report(is_reported: &AtomicBool, path: &Path, error: &io::Error) {
    if !is_reported.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            folder = %folder::of(path).display(), %error,
            event = "folder_not_watched",
            "cannot watch the folder of the store; hand-overs are noticed by polling"
        );
    }
}

/// What the thread does.
struct Task {
    path: PathBuf,
    presence: Arc<Mutex<Presence>>,
    notifiers: Arc<Notifiers>,
    rung: Arc<Mutex<String>>,
    is_reported: Arc<AtomicBool>,
    is_over: Arc<AtomicBool>,
    wake: Arc<OwnedFd>,
}

impl Task {
    fn run(self) {
        while !self.is_over.load(Ordering::Acquire) {
            let watched = Watch::new(&self.path).and_then(|watch| {
                self.is_reported.store(false, Ordering::Relaxed);
                self.watch_with(&watch)
            });
            if let Err(error) = watched {
                report(&self.is_reported, &self.path, &error);
                // The folder may come back, or the system may have room for another watch.
                if self.wait(None, Some(AGAIN)).is_err() {
                    thread::sleep(AGAIN);
                }
            }
        }
    }

    /// Passes on what happens to the database and its bell, until the folder is another one or the watch is over.
    fn watch_with(&self, watch: &Watch) -> io::Result<()> {
        let mut reader = bell::Reader::new(bell::of(&self.path));
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
                self.wait(Some(&watch.queue), None)?;
                if self.is_over.load(Ordering::Acquire) {
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

    /// Waits until the folder has changed or the watch is over, or until `limit`.
    fn wait(&self, queue: Option<&OwnedFd>, limit: Option<Duration>) -> io::Result<()> {
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        let either = [Some(&*self.wake), queue].into_iter().flatten();
        let mut either: Vec<_> = either.map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
        match poll(&mut either, limit.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
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
