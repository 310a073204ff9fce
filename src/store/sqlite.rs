//! Records in an SQLite file: the embedded store, for processes of one host.
//!
//! # Clock
//!
//! Every process that can open the file runs on this host, so the host's boot clock judges leases:
//! a record carries the boot-clock reading at which its lease ends, and the id of the boot that
//! the reading belongs to. After a reboot every older holder is dead, and its lease over. If the
//! boot id is not proven to be the kernel's, or the time namespace is another ([`Boot`]), the
//! record proves nothing and is watched. The wall clock is never used.
//!
//! # Durability
//!
//! `synchronous=FULL`: a term that was handed out must not be handed out again after a power loss,
//! so a write is on the disk before it counts.
//!
//! # Push
//!
//! A writer appends what it wrote to a second file, `….bell`, after the commit, and every other process watches
//! the folder by inotify: see [`mod@bell`]. The line for an acquisition has the record: see
//! [`mod@acquisition`]. (The write-ahead log itself changes too early, before other
//! processes can see the commit.)
//!
//! # Many elections, locks and hangs
//!
//! See [`mod@worker`].

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::election::continuity::ServiceTime;
use crate::election::elector::Swapped;
use crate::election::lease::{ElectionName, LeaseRecord, Observed, Version};
use crate::election::time::Clock;
use crate::store::contract::{Hints, Listing, Store, StoreError};

mod acquisition;
mod bell;
mod errors;
mod file;
mod files;
mod folder;
mod mutex;
mod readers;
mod watching;
mod worker;

pub use crate::time::boot::Boot;
use file::{DatabaseFile, Write};
use worker::{Request, Workers};

/// The embedded store.
pub struct SqliteStore {
    workers: Arc<Workers>,
}

impl SqliteStore {
    /// A store on the file at `path`, which is created if its folder exists. Nothing is opened
    /// yet. A call waits for other processes' locks for at most `patience`.
    pub fn new(path: PathBuf, patience: Duration, clock: Arc<dyn Clock>) -> Self {
        Self { workers: Arc::new(Workers::of(DatabaseFile::new(path, patience, clock))) }
    }

    /// Creates the folder too, for this user alone.
    #[must_use]
    pub fn creating_folder(mut self) -> Self {
        if let Some(workers) = Arc::get_mut(&mut self.workers) {
            workers.file.create_folder = true;
        }
        self
    }

    /// Pretends to run on another host or after another boot.
    #[must_use]
    pub fn on_boot(self, boot: Boot) -> Self {
        self.workers.file.pretend(boot);
        self
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.workers.end();
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn init(&self) -> Result<(), StoreError> {
        self.workers.request(Request::Open).await
    }

    async fn observe(&self, election: &ElectionName) -> Result<Option<Observed>, StoreError> {
        self.workers.request(|sender| Request::Look(election.clone(), sender)).await
    }

    async fn swap(
        &self,
        election: &ElectionName,
        expected: Option<&Version>,
        record: &LeaseRecord,
    ) -> Result<Swapped, StoreError> {
        let (election, expected, record) = (election.clone(), expected.cloned(), record.clone());
        let write = Write { election, expected, record };
        self.workers.request(|sender| Request::Write(write, sender)).await
    }

    async fn list(&self) -> Result<Listing, StoreError> {
        self.workers.request(Request::List).await
    }

    /// It belongs to this host.
    fn service_time(&self) -> Option<ServiceTime> {
        None
    }

    fn hints(&self, election: &ElectionName) -> Hints {
        self.workers.file.watcher.hints(election)
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.workers.file.path).finish_non_exhaustive()
    }
}
