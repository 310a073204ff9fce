//! Requests as they are written, and streams of events.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use super::{LIMIT, Sidecar};

/// A connection on which a request, or a part of one, was sent.
pub fn open(sidecar: &Sidecar, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(sidecar.url.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

/// Sends a request as it is written, and reads the whole answer: its head and its body.
#[track_caller]
pub fn whole(sidecar: &Sidecar, request: &str) -> (String, String) {
    let mut answer = String::new();
    open(sidecar, request).read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer}"));
    (head.to_lowercase(), body.to_owned())
}

/// The same: status and body.
#[track_caller]
pub fn raw(sidecar: &Sidecar, request: &str) -> (u16, String) {
    let (head, body) = whole(sidecar, request);
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    (status.unwrap_or_else(|| panic!("no status: {head}")), body)
}

/// `POST path` with a body and more headers; the status, and the body as JSON.
#[track_caller]
pub fn post(sidecar: &Sidecar, path: &str, headers: &str, body: &str) -> (u16, Value) {
    let length = body.len();
    let host = if headers.contains("Host:") { "" } else { "Host: localhost\r\n" };
    let request = format!(
        "POST {path} HTTP/1.1\r\n{host}{headers}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    let (status, body) = raw(sidecar, &request);
    (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
}

/// A stream of server-sent events.
pub struct Events {
    pub head: String,
    lines: BufReader<TcpStream>,
}

/// One of them.
#[derive(Clone, Debug)]
pub struct Message {
    pub id: String,
    pub data: Value,
}

impl Message {
    pub fn leads(&self) -> bool {
        self.data["leader"] == true
    }

    pub fn name(&self) -> &str {
        self.data["name"].as_str().unwrap()
    }

    pub fn term(&self) -> u64 {
        self.data["term"].as_u64().unwrap_or(0)
    }

    /// Ids of one process are ordered by the number behind the dash.
    pub fn number(&self) -> u64 {
        self.id.rsplit_once('-').unwrap().1.parse().unwrap()
    }
}

impl Events {
    #[track_caller]
    pub fn of(sidecar: &Sidecar, path: &str) -> Self {
        Self::with(sidecar, path, "")
    }

    /// With more headers.
    #[track_caller]
    pub fn with(sidecar: &Sidecar, path: &str, headers: &str) -> Self {
        // To a client of HTTP/1.0 the events come as they are, without the lengths of chunks.
        let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n{headers}\r\n");
        let mut lines = BufReader::with_capacity(2048, open(sidecar, &request));
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(lines.read_line(&mut head).unwrap(), 0, "no answer: {head}");
        }
        Self { head: head.to_lowercase(), lines }
    }

    pub fn is_open(&self) -> bool {
        self.head.starts_with("http/1.0 200")
    }

    /// The next line, without its end; none when the stream has ended.
    pub fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.lines.read_line(&mut line).ok()?;
        (read > 0).then(|| line.trim_end().to_owned())
    }

    /// The next event.
    #[track_caller]
    pub fn receive(&mut self) -> Message {
        let mut id = String::new();
        loop {
            let line = self.line().expect("the stream continues");
            match line.split_once(": ") {
                Some(("id", text)) => text.clone_into(&mut id),
                Some(("data", text)) => {
                    assert_eq!(self.line().as_deref(), Some(""), "one line of data");
                    return Message { id, data: serde_json::from_str(text).unwrap() };
                }
                Some(("event" | "retry", _)) => panic!("simple clients do not know this: {line}"),
                _ => {}
            }
        }
    }

    /// The next event that `wanted` is true of.
    #[track_caller]
    pub fn until(&mut self, wanted: impl Fn(&Message) -> bool) -> Message {
        loop {
            let message = self.receive();
            if wanted(&message) {
                return message;
            }
        }
    }
}
