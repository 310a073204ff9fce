//! Files of settings and secrets, which are read again while the program runs.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// The longest, in bytes: a bundle of certificates has some hundred kilobytes, everything else less.
const LONGEST: u64 = 1024 * 1024;

/// The whole file, if it is not far too long: a device or a pipe in its place has no end.
pub fn read(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file)?.take(LONGEST + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > LONGEST {
        return Err(io::Error::other("it is longer than a megabyte"));
    }
    Ok(bytes)
}

/// The same, of text.
pub fn read_text(file: &Path) -> io::Result<String> {
    String::from_utf8(read(file)?).map_err(|_| io::Error::other("it is not text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_end_is_given_up() {
        assert!(read(Path::new("/dev/zero")).unwrap_err().to_string().contains("longer"));
        assert_eq!(read(Path::new("/dev/null")).unwrap(), b"");
    }
}
