//! Watches the folder of the database, and passes on what the other processes of this host write to the bell.

use std::ffi::CStr;
use std::io;
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;

use super::acquisition;
use super::bell::{self, News};
use super::blocking::{blocking, lock};
use super::files;
use super::folder::{self, FileId};
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

/// Turns changes in the folder of the database into hints, wherever it is, until the store is gone.
pub async fn watch(
    mut place: watch::Receiver<Place>,
    presence: Arc<Mutex<Presence>>,
    notifiers: Weak<Notifiers>,
) {
    let mut is_reported = false;
    loop {
        let path = place.borrow_and_update().path.clone();
        let watched = async {
            let mut watch = Watch::new(&path)?;
            is_reported = false;
            watch_with(&mut watch, &path, &presence, &notifiers).await
        };
        let ended = tokio::select! {
            changed = place.changed() => changed.map(|()| Ended::Moved).unwrap_or(Ended::Store),
            ended = watched => ended.unwrap_or_else(Ended::Failed),
        };
        match ended {
            Ended::Store => return,
            Ended::Moved => {}
            Ended::Failed(error) => {
                if !mem::replace(&mut is_reported, true) {
                    tracing::warn!(
                        folder = %folder::of(&path).display(), %error,
                        event = "folder_not_watched",
                        "cannot watch the folder of the store; hand-overs are noticed by polling"
                    );
                }
                // The folder may come back, or the system may have room for another watch.
                let _ = tokio::time::timeout(AGAIN, place.changed()).await;
                if notifiers.strong_count() == 0 {
                    return;
                }
            }
        }
    }
}

/// Why a watch ended.
enum Ended {
    /// The store is gone.
    Store,
    /// The folder is another one, or at another place.
    Moved,
    /// It cannot be watched.
    Failed(io::Error),
}

/// Passes on what happens to the database and its bell, until `notifiers` is gone or the folder is.
async fn watch_with(
    watch: &mut Watch,
    path: &Path,
    presence: &Arc<Mutex<Presence>>,
    notifiers: &Weak<Notifiers>,
) -> io::Result<Ended> {
    let mut reader = bell::Reader::new(bell::of(path));
    let mut database = false;
    loop {
        let presence = Arc::clone(presence);
        let read = blocking(move || {
            lock(&presence).show();
            let news = reader.news();
            (reader, news)
        });
        let news;
        (reader, news) = read.await?;
        let Some(notifiers) = notifiers.upgrade() else { return Ok(Ended::Store) };
        let is_all_known = match news {
            Ok(News::Lines(lines)) => {
                lines.iter().for_each(|line| pass_on(line, &notifiers));
                !database
            }
            Ok(News::Missed) | Err(_) => false,
        };
        if !is_all_known {
            notifiers.notify_missed();
        }
        drop(notifiers);
        database = match watch.changed().await? {
            Changed { folder: true, .. } => return Ok(Ended::Moved),
            Changed { database, .. } => database,
        };
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
    queue: AsyncFd<OwnedFd>,
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
        #[expect(deprecated, reason = "its successor is unsafe; for an `OwnedFd` both are sound")]
        let queue = AsyncFd::new(queue)?;
        let name = |path: &Path| path.file_name().unwrap_or_default().as_bytes().to_vec();
        let beside = [files::log_of(path), files::index_of(path)].map(|path| name(&path));
        Ok(Self { queue, database: name(path), beside, bell: name(&bell::of(path)) })
    }

    /// Waits until one of them was created, deleted, moved or written.
    ///
    /// # Errors
    ///
    /// When the folder cannot be watched any more.
    async fn changed(&mut self) -> io::Result<Changed> {
        loop {
            let mut ready = self.queue.readable().await?;
            let changed = self.drain()?;
            ready.clear_ready();
            if changed.folder || changed.database || changed.bell {
                return Ok(changed);
            }
        }
    }

    /// Reads every event that is queued.
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
