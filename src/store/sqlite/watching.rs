//! Watches the folder of the database, and passes on what the other processes of this host write to the bell.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;

use super::acquisition;
use super::bell::{self, News};
use super::blocking::{blocking, lock};
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

/// Turns changes in the folder of the database into hints, wherever it is, until the store is gone.
pub async fn watch(
    mut place: watch::Receiver<Place>,
    presence: Arc<Mutex<Presence>>,
    notifiers: Weak<Notifiers>,
) {
    loop {
        let path = place.borrow_and_update().path.clone();
        tokio::select! {
            changed = place.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
            ended = watch_at(&path, &presence, &notifiers) => match ended {
                Ok(()) => return,
                Err(error) => tracing::warn!(
                    folder = %folder::of(&path).display(), %error,
                    event = "folder_not_watched",
                    "cannot watch the folder of the store; hand-overs are noticed by polling"
                ),
            },
        }
        if place.changed().await.is_err() {
            return;
        }
    }
}

/// Passes on what happens to the database and its bell, until `notifiers` is gone.
async fn watch_at(
    path: &Path,
    presence: &Arc<Mutex<Presence>>,
    notifiers: &Weak<Notifiers>,
) -> io::Result<()> {
    let bell = bell::of(path);
    let names = [path, &bell].map(|path| path.file_name().unwrap_or_default().as_bytes().to_vec());
    let mut watch = Watch::new(folder::of(path), names)?;
    let mut reader = bell::Reader::new(bell);
    let mut database = false;
    loop {
        let presence = Arc::clone(presence);
        let read = blocking(move || {
            lock(&presence).show();
            let news = reader.news();
            Ok::<_, io::Error>((reader, news))
        });
        let news;
        (reader, news) = read.await?;
        let Some(notifiers) = notifiers.upgrade() else { return Ok(()) };
        let is_all_known = match news {
            Ok(News::Lines(lines)) => {
                lines.iter().for_each(|line| pass_on(line, &notifiers));
                !database
            }
            Ok(News::Missed) | Err(_) => false,
        };
        if !is_all_known {
            notifiers.notify_all();
        }
        drop(notifiers);
        [database, _] = watch.changed().await?;
    }
}

/// Passes on what a line of the bell says.
fn pass_on(line: &str, notifiers: &Notifiers) {
    match acquisition::read(line) {
        Some((election, shown)) => notifiers.notify_of(election, &Hint::Acquired(Box::new(shown))),
        None => notifiers.notify(line),
    }
}

/// Which of the two files something happened to.
type Concerned = [bool; 2];

/// Watches two files in a folder.
struct Watch {
    queue: AsyncFd<OwnedFd>,
    names: [Vec<u8>; 2],
}

impl Watch {
    /// From now on, files of these names are watched.
    ///
    /// # Errors
    ///
    /// When the folder cannot be watched.
    fn new(folder: &Path, names: [Vec<u8>; 2]) -> io::Result<Self> {
        let queue = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let flags = WatchFlags::CLOSE_WRITE | WatchFlags::CREATE | WatchFlags::DELETE;
        inotify::add_watch(&queue, folder, flags | WatchFlags::MOVE | WatchFlags::ONLYDIR)?;
        #[expect(deprecated, reason = "its successor is unsafe; for an `OwnedFd` both are sound")]
        let queue = AsyncFd::new(queue)?;
        Ok(Self { queue, names })
    }

    /// Waits until one of them was created, deleted, moved or written.
    ///
    /// # Errors
    ///
    /// When the folder cannot be watched any more.
    async fn changed(&mut self) -> io::Result<Concerned> {
        loop {
            let mut ready = self.queue.readable().await?;
            let concerned = drain(&self.queue, &self.names)?;
            ready.clear_ready();
            if concerned.contains(&true) {
                return Ok(concerned);
            }
        }
    }
}

/// Reads every event that is queued.
fn drain(queue: impl AsFd, names: &[Vec<u8>; 2]) -> io::Result<Concerned> {
    let mut buffer = [MaybeUninit::uninit(); 1024];
    let mut events = inotify::Reader::new(queue.as_fd(), &mut buffer);
    let mut concerned = Concerned::default();
    loop {
        match events.next() {
            Ok(event) => {
                for (concerned, known) in concerned.iter_mut().zip(names) {
                    // An event without a name: the queue ran over, or the folder itself is gone.
                    *concerned |= event.file_name().is_none_or(|name| known == name.to_bytes());
                }
            }
            Err(Errno::WOULDBLOCK) => return Ok(concerned),
            Err(error) => return Err(error.into()),
        }
    }
}
