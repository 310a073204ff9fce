//! libfaketime: what the C library says of the wall clock. The program asks for its boot clock by a
//! system call, so that stays true.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Lets a command's wall clock be off by what a file says, now and later.
pub fn shift(command: &mut Command, offset: &Path) {
    command
        .env("LD_PRELOAD", library())
        .env("FAKETIME_TIMESTAMP_FILE", offset)
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
}

fn library() -> PathBuf {
    let libraries = fs::read_dir("/usr/lib").unwrap().flatten().map(|entry| entry.path());
    let path = |folder: PathBuf| folder.join("faketime/libfaketime.so.1");
    libraries.map(path).find(|path| path.exists()).expect("libfaketime is installed (make setup)")
}
