//! A proxy before DynamoDB or an API server that understands HTTP, counts, and does harm on cue.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What happens to a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Nothing bad.
    Pass,
    /// It is applied, and the connection closed before the answer.
    DropAnswer,
    /// The connection is closed before it is applied.
    DropRequest,
    /// The same, with a TCP reset.
    Reset,
    /// It is not applied and not answered.
    Hang,
    /// It is applied, and not answered.
    HangAfterwards,
    /// It is applied this much later.
    Delay(Duration),
    /// It is not applied; this is the answer: status, code and message.
    Refuse(u16, &'static str, &'static str),
    /// It is not applied; this is the answer.
    Answer(String),
    /// It is not applied; this is the answer, from its first line on.
    Raw(String),
    /// It is applied; this is the answer, from its first line on.
    RawAfterwards(String),
    /// It is not applied; the answer has no end.
    Endless,
    /// It is sent twice; the answer is the second one.
    Twice,
}

/// What happens to the `Date` of an answer.
#[derive(Clone, Debug, Default)]
pub enum Dates {
    #[default]
    AsTheyAre,
    Absent,
    /// Always this one.
    Frozen(String),
    /// Off by so many seconds.
    Shifted(i64),
    /// As from a cache.
    Aged(i64),
}

/// A request, as far as tests look at it.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GetItem`, `PutItem`, …; of Kubernetes `GET`, `PUT`, …, `WATCH`
    pub operation: String,
    pub body: String,
    /// The id of the access key that signed it.
    pub key: String,
    /// Counts the client's connections.
    pub connection: usize,
}

type Rule = Box<dyn FnMut(&Request) -> Fault + Send>;

struct Shared {
    upstream: u16,
    rule: Mutex<Rule>,
    dates: Mutex<Dates>,
    latency: Mutex<Duration>,
    counts: Mutex<BTreeMap<String, usize>>,
    connections: AtomicUsize,
    closed: AtomicBool,
}

/// See the module. Its connections end when it is dropped.
pub struct Proxy {
    shared: Arc<Shared>,
    port: u16,
}

impl Proxy {
    /// A harmless proxy before the port.
    pub fn before(upstream: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            upstream,
            rule: Mutex::new(Box::new(|_| Fault::Pass)),
            dates: Mutex::default(),
            latency: Mutex::default(),
            counts: Mutex::default(),
            connections: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
        });
        let served = Arc::clone(&shared);
        thread::spawn(move || {
            for (connection, client) in listener.incoming().enumerate() {
                if served.closed.load(Ordering::Relaxed) {
                    return;
                }
                served.connections.fetch_add(1, Ordering::Relaxed);
                let (served, Ok(client)) = (Arc::clone(&served), client) else { continue };
                thread::spawn(move || served.serve(client, connection));
            }
        });
        Self { shared, port }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        crate::dynamodb::url(self.port)
    }

    /// Decides about every request from now on.
    pub fn on(&self, rule: impl FnMut(&Request) -> Fault + Send + 'static) {
        *self.shared.rule.lock().unwrap() = Box::new(rule);
    }

    /// Does the same to every request from now on.
    pub fn always(&self, fault: Fault) {
        self.on(move |_| fault.clone());
    }

    /// Does this to the next request of the kind, and nothing to the others.
    pub fn once(&self, operation: &'static str, fault: Fault) {
        let mut fault = Some(fault);
        self.on(move |request| match request.operation == operation {
            true => fault.take().unwrap_or(Fault::Pass),
            false => Fault::Pass,
        });
    }

    pub fn dates(&self, dates: Dates) {
        *self.shared.dates.lock().unwrap() = dates;
    }

    /// How long every request is on its way.
    pub fn latency(&self, latency: Duration) {
        *self.shared.latency.lock().unwrap() = latency;
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Requests so far, of one kind.
    pub fn count(&self, operation: &str) -> usize {
        self.shared.counts.lock().unwrap().get(operation).copied().unwrap_or(0)
    }

    /// Requests so far, of every kind.
    pub fn total(&self) -> usize {
        self.shared.counts.lock().unwrap().values().sum()
    }

    pub fn counts(&self) -> BTreeMap<String, usize> {
        self.shared.counts.lock().unwrap().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// A request or an answer: the first line, the headers, the body.
struct Message {
    first: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Message {
    fn read(from: &mut BufReader<TcpStream>) -> io::Result<Option<Self>> {
        let mut first = String::new();
        if from.read_line(&mut first)? == 0 {
            return Ok(None);
        }
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            from.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut message = Self { first: first.trim_end().to_owned(), headers, body: Vec::new() };
        let length = message.header("content-length").and_then(|text| text.parse().ok());
        message.body = vec![0; length.unwrap_or(0)];
        from.read_exact(&mut message.body)?;
        Ok(Some(message))
    }

    /// What DynamoDB calls it, or its method.
    fn operation(&self) -> &str {
        match self.header("x-amz-target") {
            Some(target) => target.rsplit('.').next().unwrap_or_default(),
            None if self.first.contains("watch=true") => "WATCH",
            None => self.first.split(' ').next().unwrap_or_default(),
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn write(&self, to: &mut TcpStream) -> io::Result<()> {
        let mut text = format!("{}\r\n", self.first);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        to.write_all(&[text.as_bytes(), &self.body].concat())
    }

    fn answer(status: u16, body: String) -> Self {
        let headers = [
            ("content-type", "application/x-amz-json-1.0".to_owned()),
            ("content-length", body.len().to_string()),
            ("x-amzn-requestid", "of the proxy".to_owned()),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value)).to_vec();
        Self { first: format!("HTTP/1.1 {status} of the proxy"), headers, body: body.into_bytes() }
    }

    fn refusal(status: u16, code: &str, message: &str) -> Self {
        let body = serde_json::json!({
            "__type": format!("com.amazonaws.dynamodb.v20120810#{code}"),
            "message": message,
        });
        Self::answer(status, body.to_string())
    }

    fn redate(&mut self, dates: &Dates) {
        let Some(place) = self.headers.iter().position(|(name, _)| name == "date") else { return };
        match dates {
            Dates::AsTheyAre => {}
            Dates::Absent => drop(self.headers.remove(place)),
            Dates::Frozen(date) => self.headers[place].1.clone_from(date),
            Dates::Shifted(seconds) => {
                self.headers[place].1 = shifted(&self.headers[place].1, *seconds);
            }
            Dates::Aged(seconds) => {
                self.headers[place].1 = shifted(&self.headers[place].1, -*seconds);
                self.headers.push(("age".to_owned(), seconds.to_string()));
            }
        }
    }
}

pub fn shifted(date: &str, seconds: i64) -> String {
    use aws_sdk_dynamodb::primitives::{DateTime, DateTimeFormat};
    let read = DateTime::from_str(date, DateTimeFormat::HttpDate).unwrap();
    DateTime::from_secs(read.secs() + seconds).fmt(DateTimeFormat::HttpDate).unwrap()
}

impl Shared {
    fn serve(&self, client: TcpStream, connection: usize) -> Option<()> {
        client.set_nodelay(true).ok()?;
        let mut to_client = client.try_clone().ok()?;
        let mut from_client = BufReader::new(client);
        let mut upstream = None;
        while let Some(request) = Message::read(&mut from_client).ok()? {
            if self.closed.load(Ordering::Relaxed) {
                return None;
            }
            let mut answer = match self.decide(&request, connection) {
                Fault::Pass => self.forward(&mut upstream, &request)?,
                Fault::Delay(delay) => {
                    thread::sleep(delay);
                    self.forward(&mut upstream, &request)?
                }
                Fault::DropRequest => return None,
                Fault::Reset => {
                    rustix::net::sockopt::set_socket_linger(&to_client, Some(Duration::ZERO))
                        .ok()?;
                    return None;
                }
                Fault::DropAnswer => {
                    self.forward(&mut upstream, &request)?;
                    return None;
                }
                Fault::Hang => return until_closed(&mut from_client),
                Fault::HangAfterwards => {
                    self.forward(&mut upstream, &request)?;
                    return until_closed(&mut from_client);
                }
                Fault::Refuse(status, code, message) => Message::refusal(status, code, message),
                Fault::Answer(body) => Message::answer(200, body),
                Fault::Raw(text) => {
                    to_client.write_all(text.as_bytes()).ok()?;
                    continue;
                }
                Fault::RawAfterwards(text) => {
                    self.forward(&mut upstream, &request)?;
                    to_client.write_all(text.as_bytes()).ok()?;
                    continue;
                }
                Fault::Endless => return without_end(&mut to_client),
                Fault::Twice => {
                    self.forward(&mut upstream, &request)?;
                    self.forward(&mut upstream, &request)?
                }
            };
            answer.redate(&self.dates.lock().unwrap());
            answer.write(&mut to_client).ok()?;
        }
        None
    }

    fn decide(&self, message: &Message, connection: usize) -> Fault {
        let operation = message.operation().to_owned();
        *self.counts.lock().unwrap().entry(operation.clone()).or_default() += 1;
        let latency = *self.latency.lock().unwrap();
        if !latency.is_zero() {
            thread::sleep(latency);
        }
        let body = String::from_utf8_lossy(&message.body).into_owned();
        let signed = message.header("authorization").unwrap_or_default();
        let key = signed.split_once("Credential=").map_or("", |(_, rest)| rest);
        let key = key.split('/').next().unwrap_or_default().to_owned();
        self.rule.lock().unwrap()(&Request { operation, body, key, connection })
    }

    fn forward(
        &self,
        upstream: &mut Option<BufReader<TcpStream>>,
        request: &Message,
    ) -> Option<Message> {
        if upstream.is_none() {
            let address = SocketAddr::from(([127, 0, 0, 1], self.upstream));
            let stream = TcpStream::connect(address).ok()?;
            stream.set_nodelay(true).ok()?;
            *upstream = Some(BufReader::new(stream));
        }
        let upstream = upstream.as_mut()?;
        request.write(upstream.get_mut()).ok()?;
        Message::read(upstream).ok()?
    }
}

/// An answer like any other, but for its length.
fn without_end(to_client: &mut TcpStream) -> Option<()> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\n\
                x-amzn-requestid: 1\r\ntransfer-encoding: chunked\r\n\r\n";
    to_client.write_all(head.as_bytes()).ok()?;
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    loop {
        to_client.write_all(chunk.as_bytes()).ok()?;
    }
}

/// A connection that hangs, until the client has enough of it.
fn until_closed(from_client: &mut BufReader<TcpStream>) -> Option<()> {
    let _ = io::copy(from_client, &mut io::sink());
    None
}
