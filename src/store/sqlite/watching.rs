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
use crate::election::lease::ElectionName;
use crate::store::contract::{Hint, Hints};
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
    watched: Mutex<Watched>,
}

/// What the store and the thread share.
struct Shared {
    presence: Mutex<Presence>,
    notifiers: Notifiers,
    /// The renewals with which this process rang the bell last.
    rung: Mutex<String>,
    is_reported: AtomicBool,
}

struct Watched {
    place: Place,
    /// None before the first call, and where the system refused what it needs.
    by: Option<Watching>,
}

impl Watcher {
    /// Nothing is watched yet.
    pub fn new(path: &Path) -> Self {
        let shared = Shared {
            presence: Mutex::new(Presence::new(path)),
            notifiers: Notifiers::default(),
            rung: Mutex::default(),
            is_reported: AtomicBool::default(),
        };
        let place = Place { path: path.to_owned(), folder: None };
        Self { shared: Arc::new(shared), watched: Mutex::new(Watched { place, by: None }) }
    }

    /// The hints about this election.
    pub fn hints(&self, election: &ElectionName) -> Hints {
        self.shared.notifiers.hints(election)
    }

    /// About how many processes watch, with this one. None if that cannot be known.
    pub fn readers(&self) -> Option<u32> {
        lock(&self.shared.presence).count()
    }

    /// The database is there now. A thread that hangs at another place is left behind.
    pub fn follow(&self, place: Place) {
        let mut watched = lock(&self.watched);
        if watched.place != place {
            lock(&self.shared.presence).follow(&place.path);
            *watched = Watched { place, by: None };
        }
    }

    /// Begins to watch, if no thread does. After a refusal by the system, the next call tries again.
    pub fn start(&self) {
        let Watched { place: Place { path, .. }, by } = &mut *lock(&self.watched);
        if by.is_none() {
            let started = Watching::start(Arc::clone(&self.shared), path.clone());
            *by = started.inspect_err(|error| self.shared.report(path, error)).ok();
        }
    }

    /// This process is about to ring the bell with these renewals, if they are some: it needs no hint of them.
    pub fn rings(&self, renewals: Option<&str>) {
        renewals.unwrap_or_default().clone_into(&mut lock(&self.shared.rung));
    }
}

impl Shared {
    /// Reports once that the folder is not watched, until it is.
    fn report(&self, path: &Path, error: &io::Error) {
        if !self.is_reported.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                folder = %folder::of(path).display(), %error,
                event = "folder_not_watched",
                "cannot watch the folder of the store; hand-overs are noticed by polling"
            );
        }
    }
}

/// A thread that watches. It ends when this is dropped, which writes to the descriptor that both have.
struct Watching(Arc<OwnedFd>);

impl Watching {
    fn start(shared: Arc<Shared>, path: PathBuf) -> io::Result<Self> {
        let end = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let watching = Self(Arc::clone(&end));
        let task = Task { shared, path, end };
        thread::Builder::new().name("bell".to_owned()).spawn(move || task.run())?;
        Ok(watching)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        // It cannot fail: nothing else writes to it.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }
}

/// What the thread does.
struct Task {
    shared: Arc<Shared>,
    path: PathBuf,
    end: Arc<OwnedFd>,
}

impl Task {
    fn run(self) {
        loop {
            let watched = Watch::new(&self.path).and_then(|watch| {
                self.shared.is_reported.store(false, Ordering::Relaxed);
                self.watch_with(&watch)
            });
            let is_to_end = watched.or_else(|error| {
                self.shared.report(&self.path, &error);
                // The folder may come back, or the system may have room for another watch.
                self.wait(None, Some(AGAIN))
            });
            match is_to_end {
                Ok(true) => return,
                Ok(false) => {}
                Err(_) => thread::sleep(AGAIN),
            }
        }
    }

    /// Passes on what happens to the database and its bell, until the folder is another one or the thread is to end.
    /// Returns whether it is to end.
    fn watch_with(&self, watch: &Watch) -> io::Result<bool> {
        let Shared { presence, notifiers, rung, .. } = &*self.shared;
        let mut reader = bell::Reader::new(bell::of(&self.path));
        let mut database = false;
        loop {
            lock(presence).show();
            let is_all_known = match reader.news() {
                Ok(News::Lines(lines)) => {
                    let rung = lock(rung).clone();
                    let news = lines.iter().filter(|line| !rung.lines().any(|own| own == *line));
                    news.for_each(|line| pass_on(line, notifiers));
                    !database
                }
                Ok(News::Missed) | Err(_) => false,
            };
            if !is_all_known {
                notifiers.notify_missed();
            }
            database = loop {
                if self.wait(Some(&watch.queue), None)? {
                    return Ok(true);
                }
                match watch.drain()? {
                    Changed { folder: true, .. } => return Ok(false),
                    Changed { database, bell, .. } if database || bell => break database,
                    Changed { .. } => {}
                }
            };
        }
    }

    /// Waits until the folder has changed or the thread is to end, for `limit` at most. Returns whether it is to end.
    fn wait(&self, queue: Option<&OwnedFd>, limit: Option<Duration>) -> io::Result<bool> {
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        let both = [Some(&*self.end), queue].into_iter().flatten();
        let mut both: Vec<_> = both.map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
        match poll(&mut both, limit.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(both.first().is_some_and(|end| !end.revents().is_empty()))
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

    /// Reads the events that are queued, once: what does not fit, or comes meanwhile, ends the next wait at once.
    ///
    /// # Errors
    ///
    /// When the folder cannot be watched any more.
    fn drain(&self) -> io::Result<Changed> {
        let mut buffer = [MaybeUninit::uninit(); 1024];
        let mut events = inotify::Reader::new(self.queue.as_fd(), &mut buffer);
        let mut changed = Changed::default();
        loop {
            match events.next() {
                Ok(event) => self.note(&event, &mut changed),
                Err(Errno::WOULDBLOCK) => return Ok(changed),
                Err(error) => return Err(error.into()),
            }
            if events.is_buffer_empty() {
                return Ok(changed);
            }
        }
    }

    fn note(&self, event: &inotify::Event<'_>, changed: &mut Changed) {
        let gone =
            ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::UNMOUNT | ReadFlags::IGNORED;
        changed.folder |= event.events().intersects(gone);
        let is_written = event.events().intersects(ReadFlags::CLOSE_WRITE);
        let Some(name) = event.file_name().map(CStr::to_bytes) else {
            // The queue ran over, or it is about the folder itself.
            (changed.database, changed.bell) = (true, true);
            return;
        };
        let is_beside = self.beside.iter().any(|beside| beside == name);
        changed.database |= self.database == name || (is_beside && !is_written);
        changed.bell |= self.bell == name;
    }
}
