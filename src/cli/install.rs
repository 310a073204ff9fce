//! `bellwether install DIR`: copies the program to where another container finds it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::exit::CommandError;
use super::output::print;

/// All users may run it, as they may run what lies in /usr/bin.
const MODE: u32 = 0o755;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder, which has to exist.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<u8, CommandError> {
    let target = args.folder.join("bellwether");
    install(&args.folder, &target).map_err(|error| cannot(&args.folder, &error))?;
    print(&format!("installed: {}\n", target.display()))?;
    Ok(0)
}

/// Puts a whole copy beside the target, then into its place: no process ever starts half a program,
/// and one that runs stays what it is.
fn install(folder: &Path, target: &Path) -> io::Result<()> {
    let draft = folder.join(format!(".bellwether-{}", uuid::Uuid::new_v4().simple()));
    let done = copy(&draft).and_then(|()| fs::rename(&draft, target));
    if done.is_err() {
        // What cannot be removed was not created.
        let _ = fs::remove_file(&draft);
    }
    done
}

fn copy(draft: &Path) -> io::Result<()> {
    let mut program = File::open("/proc/self/exe")?;
    let mut copy = OpenOptions::new().write(true).create_new(true).mode(MODE).open(draft)?;
    io::copy(&mut program, &mut copy)?;
    // Whatever the umask says.
    copy.set_permissions(fs::Permissions::from_mode(MODE))?;
    copy.sync_all()
}

fn cannot(folder: &Path, error: &io::Error) -> CommandError {
    let shown = folder.display();
    CommandError::Unavailable(match error.kind() {
        io::ErrorKind::NotFound => format!("{shown} does not exist; create it, or mount it here"),
        io::ErrorKind::NotADirectory => format!("{shown} is not a folder; name a folder"),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            format!(
                "this user cannot write to {shown}: {error}; make it writable, or name another \
                     folder"
            )
        }
        io::ErrorKind::IsADirectory => {
            format!("{shown}/bellwether is a folder; remove it, or name another place")
        }
        _ => format!("cannot install into {shown}: {error}"),
    })
}
