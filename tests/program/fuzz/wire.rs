//! A client that sends bytes as they are, and reads what comes back.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};

use serde_json::Value;

use crate::fuzz::request::{Request, Shape};
use support::{LIMIT, Sidecar};

/// No answer is longer, but a stream.
const LONGEST: u64 = 1024 * 1024;

/// A connection to a sidecar, made again whenever it was closed.
pub struct Wire {
    authority: String,
    open: Option<BufReader<TcpStream>>,
}

/// The answer to one request.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    kind: String,
    body: Vec<u8>,
    closes: bool,
}

impl Reply {
    /// The body, if it is JSON.
    pub fn state(&self) -> Option<Value> {
        if self.kind != "application/json" || self.body.is_empty() {
            return None;
        }
        Some(serde_json::from_slice(&self.body).expect("what is declared as JSON is JSON"))
    }
}

impl Wire {
    pub fn new(sidecar: &Sidecar) -> Self {
        Self { authority: sidecar.url.trim_start_matches("http://").to_owned(), open: None }
    }

    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Sends a request. None if the connection is closed without an answer.
    pub fn send(&mut self, request: &Request) -> Option<Reply> {
        // The other end may close a connection at any time between two requests.
        let reused = self.open.is_some();
        match self.try_send(request) {
            Err(error) if reused && request.shape == Shape::Whole && !is_slow(&error) => {
                self.try_send(request)
            }
            other => other,
        }
        .unwrap_or_else(|error| {
            assert!(!is_slow(&error), "no response within {LIMIT:?}:\n{}", request.text());
            None
        })
    }

    fn try_send(&mut self, request: &Request) -> io::Result<Option<Reply>> {
        // What is refused early is not read to its end: then there is an answer nevertheless.
        let sent = self.write(request);
        match self.read(request) {
            Ok(None) => sent.and(Err(io::ErrorKind::UnexpectedEof.into())),
            reply => reply,
        }
    }

    /// Only sends.
    pub fn write(&mut self, request: &Request) -> io::Result<()> {
        let connection = match &mut self.open {
            Some(connection) => connection,
            None => self.open.insert(Self::connect(&self.authority)?),
        };
        let sent = connection.get_mut().write_all(&request.bytes);
        if request.shape == Shape::Broken {
            let _ = connection.get_mut().shutdown(Shutdown::Write);
        }
        sent
    }

    /// The answer to what was sent.
    pub fn read(&mut self, request: &Request) -> io::Result<Option<Reply>> {
        let Some(mut connection) = self.open.take() else { return Ok(None) };
        let Some(reply) = read(&mut connection, request.is_head)? else { return Ok(None) };
        if request.shape == Shape::Whole && !reply.closes {
            self.open = Some(connection);
        }
        Ok(Some(reply))
    }

    fn connect(authority: &str) -> io::Result<BufReader<TcpStream>> {
        let stream = TcpStream::connect(authority)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_write_timeout(Some(LIMIT))?;
        Ok(BufReader::new(stream))
    }
}

fn is_slow(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// Reads one answer; of a stream only its head. None if there is none.
fn read(connection: &mut BufReader<TcpStream>, is_head: bool) -> io::Result<Option<Reply>> {
    let Some((mut reply, length)) = head(connection)? else { return Ok(None) };
    if reply.status == 100 {
        return read(connection, is_head);
    }
    if ["text/event-stream", "application/x-ndjson"].contains(&reply.kind.as_str()) {
        reply.closes = true;
    } else if !is_head {
        let length = length.expect("an answer that is no stream says how long it is");
        assert!(length < LONGEST, "an answer of {length} bytes");
        reply.body = vec![0; length as usize];
        connection.read_exact(&mut reply.body)?;
    }
    Ok(Some(reply))
}

fn head(connection: &mut BufReader<TcpStream>) -> io::Result<Option<(Reply, Option<u64>)>> {
    let Some(line) = line(connection)? else { return Ok(None) };
    let status = line.strip_prefix("HTTP/1.1 ").or(line.strip_prefix("HTTP/1.0 "));
    let status = status.and_then(|rest| rest.get(..3)?.parse().ok());
    let status = status.unwrap_or_else(|| panic!("not an answer: {line:?}"));
    let mut reply = Reply { status, kind: String::new(), body: Vec::new(), closes: false };
    let mut length = None;
    loop {
        let Some(line) = self::line(connection)? else { return Ok(None) };
        if line.is_empty() {
            return Ok(Some((reply, length)));
        }
        let (name, value) = line.split_once(':').expect("a header has a name");
        let value = value.trim();
        match name {
            "content-length" => length = Some(value.parse().expect("a length")),
            "content-type" => value.clone_into(&mut reply.kind),
            "connection" => reply.closes = value.eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
}

fn line(connection: &mut BufReader<TcpStream>) -> io::Result<Option<String>> {
    let mut line = String::new();
    connection.take(LONGEST).read_line(&mut line)?;
    Ok(line.strip_suffix("\r\n").map(str::to_owned))
}
