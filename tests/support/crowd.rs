//! Many connections at once: event streams that are idle, and clients that send their request a
//! byte at a time, without end.

use std::io::Write;
use std::net::TcpStream;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::Sidecar;
use super::raw::{Events, open};

/// What a slow client sends first.
const BEGUN: &str = "GET /leader HTTP/1.1\r\nX-Slow: ";

/// Lets this process open so many files.
pub fn room_for(files: u64) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < files) {
        let raised = Rlimit { current: Some(files), maximum: limit.maximum };
        setrlimit(Resource::Nofile, raised).expect("this many files may be open (ulimit -Hn)");
    }
}

/// All clients of one sidecar.
pub struct Crowd {
    address: String,
    streams: Vec<Events>,
    slow: Vec<TcpStream>,
}

impl Crowd {
    pub fn around(sidecar: &Sidecar, streams: usize, slow: usize) -> Self {
        let address = sidecar.url.trim_start_matches("http://").to_owned();
        let streams: Vec<_> = (0..streams).map(|_| Events::of(sidecar, "/events")).collect();
        assert!(streams.iter().all(Events::is_open));
        let slow = (0..slow).map(|_| open(sidecar, BEGUN)).collect();
        Self { address, streams, slow }
    }

    /// Every slow client sends a byte more; in the place of one that was put out comes another.
    pub fn shuffle(&mut self) {
        for stream in &mut self.slow {
            if stream.write_all(b"x").is_err() {
                *stream = TcpStream::connect(&self.address).unwrap();
                // It may be put out at once.
                let _ = stream.write_all(BEGUN.as_bytes());
            }
        }
    }

    /// Ends the sidecar: every stream reports it, after all that time.
    pub fn receives_the_end(mut self, sidecar: &Sidecar) {
        self.slow.clear();
        sidecar.signal("TERM");
        for stream in &mut self.streams {
            assert!(stream.receive().leads());
            assert!(!stream.receive().leads());
        }
    }
}
