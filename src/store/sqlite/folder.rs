//! The folder of the database: on a local file system, and writable.

use std::fs::{DirBuilder, File, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, StatFs, StatxAttributes, StatxFlags};
use rustix::io::Errno;

use crate::store::contract::StoreError;

/// Magic numbers of `statfs(2)` for file systems that other hosts, or a user-space server, can
/// change under the kernel: locks and shared memory, which SQLite's write-ahead log is built on,
/// do not reach across them. The list has the file systems that coreutils calls remote and that
/// more than one kernel can write to: network and cluster file systems, and folders that a host
/// shares with its virtual machines.
const NETWORK: [(u64, &str); 28] = [
    (0x6969, "NFS"),
    (0xFF53_4D42, "CIFS"),
    (0xFE53_4D42, "SMB"),
    (0x517B, "SMB"),
    (0x0102_1997, "9p"),
    (0x6573_5546, "FUSE"),
    (0x6A65_6A63, "virtiofs"),
    (0x786F_4256, "vboxsf"),
    (0x7C7C_6673, "prl_fs"),
    (0xBACB_ACBC, "vmhgfs"),
    (0x00C0_FFEE, "hostfs"),
    (0x00C3_6400, "Ceph"),
    (0x0BD0_0BD0, "Lustre"),
    (0x5346_414F, "AFS"),
    (0x6B41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x0000_564C, "NCP"),
    (0x1983_0326, "BeeGFS"),
    (0xAAD7_AAEA, "PanFS"),
    (0x2003_0528, "OrangeFS"),
    (0x0131_11A8, "Ibrix"),
    (0xBEEF_DEAD, "StorNext"),
    (0x0116_1970, "GFS2"),
    (0x7461_636F, "OCFS2"),
    (0x4750_4653, "GPFS"),
    (0x6163_6673, "ACFS"),
    (0xA501_FCF5, "VxFS"),
    (0x1803_1977, "WekaFS"),
];

/// The folder that a database file lies in.
pub fn of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// How many symbolic links the kernel follows in one path.
const MOST_LINKS: usize = 40;

/// The path without symbolic links, as SQLite resolves it: the files that it puts beside the database are beside the
/// file that a link leads to. That file need not exist. If the folder does not exist, the path as given.
pub fn resolve(path: &Path) -> PathBuf {
    let mut end = path.to_owned();
    for _ in 0..MOST_LINKS {
        if let Ok(resolved) = end.canonicalize() {
            return resolved;
        }
        let folder = of(&end);
        end = match (std::fs::read_link(&end), folder.canonicalize(), end.file_name()) {
            // It leads to a file that SQLite will create.
            (Ok(target), ..) => folder.join(target),
            (Err(_), Ok(folder), Some(name)) => return folder.join(name),
            _ => break,
        };
    }
    path.to_owned()
}

/// A file beside another one, whose name is longer by this.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(suffix);
    PathBuf::from(name)
}

/// Tells a file from another that was put in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// Of the file that the path names.
    pub fn of(path: &Path) -> io::Result<Self> {
        std::fs::metadata(path).map(|metadata| Self::from(&metadata))
    }
}

/// Whether the path still names this open file.
pub fn names(path: &Path, file: &File) -> bool {
    file.metadata().is_ok_and(|file| FileId::of(path).ok() == Some(FileId::from(&file)))
}

impl From<&Metadata> for FileId {
    fn from(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// Creates the folder and those above it, for this user alone.
pub fn create(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Checks that the folder can hold the database. It is in the store that `given` names, and `path` is that name
/// [resolved](resolve): a link leads to any file system.
///
/// # Errors
///
/// What is wrong with it, and what to do.
pub fn check(given: &Path, path: &Path) -> Result<(), StoreError> {
    let wrong =
        |what: String| Err(StoreError::Misconfigured(format!("store {}: {what}", given.display())));
    let folder = of(path);
    let shown = folder.display();
    match std::fs::metadata(folder).as_ref().map(Metadata::is_dir) {
        Ok(true) => {}
        Ok(false) => return wrong(format!("{shown} is not a folder")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return wrong(format!(
                "the folder {shown} does not exist; create it, or name another with --store"
            ));
        }
        Err(error) => return wrong(format!("cannot check the folder {shown}: {error}")),
    }
    if let Some(kind) = network_of(path).or_else(|| network_of(folder)) {
        return wrong(format!(
            "{shown} is on a network file system ({kind}), where SQLite's locks do not work; use a \
             folder on a local disk, or Postgres or DynamoDB for several hosts"
        ));
    }
    // The database, its write-ahead log and the bell are all created in the folder.
    let refused = |what: String, error: Errno| match error {
        Errno::ROFS => wrong(format!(
            "{what} is on a file system that is mounted read-only; mount a volume there that can \
             be written, or name another file with --store"
        )),
        Errno::ACCESS | Errno::PERM => wrong(format!(
            "{what} is not readable and writable for this user; change its owner or mode, or name \
             another file with --store"
        )),
        error => wrong(format!("{what} cannot be used: {error}")),
    };
    if let Err(error) = rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK) {
        return refused(format!("the folder {shown}"), error);
    }
    match rustix::fs::access(path, Access::READ_OK | Access::WRITE_OK) {
        Ok(()) => unfit(path).map_or(Ok(()), |why| wrong(why.to_owned())),
        Err(Errno::NOENT) => Ok(()),
        Err(error) => refused("the file".to_owned(), error),
    }
}

/// Why what is at the path cannot be the database, and what to do. SQLite names its log after the database: processes
/// that open it by different names would each have a log, and a leader, of their own.
fn unfit(path: &Path) -> Option<&'static str> {
    let metadata = std::fs::metadata(path).ok()?;
    if metadata.is_dir() {
        return Some("this is a folder; name a file in it with --store, such as leases.db");
    }
    if !metadata.is_file() {
        return Some("this is not a regular file; name another file with --store");
    }
    if is_mount_root(path).unwrap_or(false) {
        return Some(
            "the file is mounted alone, without the files that SQLite keeps beside it, so other containers would \
             elect another leader; mount its folder instead",
        );
    }
    (metadata.nlink() > 1).then_some(
        "the file has a second name (a hard link), and processes that use that name would elect another leader; \
         delete the link, or replace it with a copy",
    )
}

/// Whether something is mounted at this path. Old kernels (before 5.8) do not say.
fn is_mount_root(path: &Path) -> Option<bool> {
    let found = rustix::fs::statx(CWD, path, AtFlags::empty(), StatxFlags::empty()).ok()?;
    let is_known = found.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT);
    is_known.then(|| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// What the network file system is called that this is on; none if it is on another kind, or does not exist.
fn network_of(path: &Path) -> Option<&'static str> {
    rustix::fs::statfs(path).ok().and_then(|found| network(magic(&found)))
}

fn magic(found: &StatFs) -> u64 {
    // The field is signed on some platforms, and some magic numbers have the top bit set.
    #[expect(clippy::cast_sign_loss, reason = "a magic number is a bit pattern")]
    let magic = found.f_type as u64 & 0xFFFF_FFFF;
    magic
}

/// What a network file system is called; none if the number is of another kind.
fn network(magic: u64) -> Option<&'static str> {
    NETWORK.iter().find(|(known, _)| *known == magic).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(path: &Path) -> String {
        check(path, path).unwrap_err().to_string()
    }

    #[test]
    fn a_local_writable_folder_is_accepted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leases.db");
        check(&path, &path).unwrap();
    }

    #[test]
    fn a_missing_folder_is_refused_with_what_to_do() {
        let message = refused(Path::new("/nowhere/at/all/leases.db"));
        assert!(message.contains("/nowhere/at/all does not exist; create it"), "{message}");
    }

    #[test]
    fn a_file_is_not_a_folder() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(refused(&file.path().join("leases.db")).contains("is not a folder"));
    }

    #[test]
    fn a_database_with_a_second_name_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let [path, other] = ["leases.db", "other.db"].map(|name| folder.path().join(name));
        File::create(&path).unwrap();
        std::fs::hard_link(&path, &other).unwrap();
        for name in [&path, &other] {
            let message = refused(name);
            assert!(message.contains("a hard link"), "{message}");
        }
        std::fs::remove_file(&other).unwrap();
        check(&path, &path).unwrap();
    }

    #[test]
    fn network_file_systems_are_known_by_their_numbers_and_local_ones_pass() {
        let [nfs, cifs, fuse, tmpfs, ext4, overlay] =
            [0x6969, 0xFF53_4D42, 0x6573_5546, 0x0102_1994, 0xEF53, 0x794C_7630].map(network);
        assert_eq!([nfs, cifs, fuse], [Some("NFS"), Some("CIFS"), Some("FUSE")]);
        let [vboxsf, beegfs, panfs, prl_fs] =
            [0x786F_4256, 0x1983_0326, 0xAAD7_AAEA, 0x7C7C_6673].map(network);
        assert_eq!([vboxsf, beegfs], [Some("vboxsf"), Some("BeeGFS")]);
        assert_eq!([panfs, prl_fs], [Some("PanFS"), Some("prl_fs")]);
        assert_eq!([tmpfs, ext4, overlay], [None; 3]);
        assert_eq!(network(magic(&rustix::fs::statfs("/proc").unwrap())), None);
    }

    #[test]
    fn links_lead_to_the_file_that_sqlite_opens_whether_it_exists_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap();
        let at = |name: &str| real.join(name);
        std::fs::create_dir(at("disk")).unwrap();
        for (link, target) in [
            ("direct", "disk/leases.db"),
            ("chained", "direct"),
            ("folder", "disk"),
            ("loop", "loop"),
            ("astray", "nowhere/leases.db"),
        ] {
            std::os::unix::fs::symlink(target, at(link)).unwrap();
        }
        for exists in [false, true] {
            if exists {
                File::create(at("disk/leases.db")).unwrap();
            }
            for given in ["direct", "chained", "folder/leases.db", "disk/../disk/leases.db"] {
                assert_eq!(resolve(&at(given)), at("disk/leases.db"), "{given}, {exists}");
            }
        }
        for given in ["loop", "astray", "nowhere/leases.db"] {
            assert_eq!(resolve(&at(given)), at(given));
        }
    }

    #[test]
    fn a_relative_file_lies_in_the_current_folder() {
        assert_eq!(of(Path::new("leases.db")), Path::new("."));
        assert_eq!(of(Path::new("/var/lib/leases.db")), Path::new("/var/lib"));
    }
}
