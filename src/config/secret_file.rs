//! A file with a secret in it: a token, or the URL of a store.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::election::text;
use crate::store::small_file;

/// The longest, in kilobytes: a token or a URL is a line.
const LONGEST: u64 = 64;

/// Readable by every user: the last of the three digits of a mode.
const BY_OTHERS: u32 = 0o004;

/// What is in the file, without the white space around it.
pub(super) fn read(file: &Path) -> io::Result<String> {
    Ok(small_file::read_short_text(file, LONGEST)?.trim().to_owned())
}

/// Warns if others than its owner and its group may read the file.
pub(super) fn warn_if_open(file: &Path) {
    let mode = std::fs::metadata(file).map_or(0, |metadata| metadata.permissions().mode());
    if mode & BY_OTHERS != 0 {
        let file = shown(file);
        tracing::warn!(
            file,
            event = "secret_readable",
            "every user of this host can read this file, which contains a secret; set its mode to \
             0600"
        );
    }
}

/// A file as an error shows it: the text may be the secret itself instead of a path.
pub(super) fn shown(file: &Path) -> String {
    let name = file.to_string_lossy();
    let is_path = name.contains('/') && !text::may_hold_secret(&name);
    if is_path || file.exists() { text::line(&name) } else { "the file that was named".to_owned() }
}
