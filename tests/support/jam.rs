//! A standard error that is not read.

use std::fs::{File, OpenOptions};
use std::io::{PipeReader, Read, Write, pipe};
use std::os::fd::OwnedFd;
use std::process::Stdio;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// What a pipe holds on Linux.
const PIPE: usize = 64 * 1024;

/// A pipe that is full, with a reader that reads only on request.
pub struct Jam {
    reader: PipeReader,
}

impl Jam {
    pub fn new() -> (Self, Stdio) {
        let (reader, mut writer) = pipe().unwrap();
        writer.write_all(&[b'\n'; PIPE]).unwrap();
        (Self { reader }, Stdio::from(writer))
    }

    /// What comes from now on.
    pub fn read(self) -> impl Read + Send + 'static {
        self.reader
    }
}

/// A terminal.
pub struct Terminal {
    master: File,
}

impl Terminal {
    pub fn new() -> (Self, Stdio) {
        let master =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let side = OpenOptions::new().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        (Self { master: File::from(master) }, Stdio::from(OwnedFd::from(side)))
    }

    /// Presses Ctrl-S.
    pub fn stop(&mut self) {
        self.master.write_all(b"\x13").unwrap();
    }

    /// What is shown from now on.
    pub fn read(self) -> impl Read + Send + 'static {
        self.master
    }
}
