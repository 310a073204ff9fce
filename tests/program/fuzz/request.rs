//! Requests, made from a seed: some in order, some not, some not even HTTP.

use std::fmt::Write as _;
use std::time::Duration;

use fastrand::Rng;

/// The first is what the paths without a name mean.
pub const ELECTIONS: [&str; 2] = ["default", "second"];

pub const TOKEN: &str = "0123456789abcdef";

const METHODS: &[&str] = &["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "get"];

const PATHS: &[&str] = &[
    "/",
    "/leader",
    "/ready",
    "/started",
    "/livez",
    "/metrics",
    "/elections",
    "/events",
    "/sse",
    "/hold",
    "/resign",
    "/openapi.json",
    "/page.js",
    "/page.css",
    "/page.svg",
    "/page-lost.svg",
    "/nothing",
    "//leader",
    "/leader/",
    "/../leader",
];

/// Below `/elections/`.
const NAMES: &[&str] =
    &["default", "second", "DEFAULT", "unknown", "", ".", "%64efault", "%ff", "a%2fb"];
const OF_EACH: &[&str] =
    &["leader", "ready", "started", "livez", "events", "sse", "hold", "resign"];

/// None waits for long: a client that waits sends nothing.
const WAITS: &[&str] = &["0s", "1ms", "3ms", "7 ms", "11m", "600000days", "", "-1s", "0.001s"];
const MIN_VALIDS: &[(&str, Duration)] = &[
    ("0s", Duration::ZERO),
    ("1ms", Duration::from_millis(1)),
    ("500ms", Duration::from_millis(500)),
    ("1s", Duration::from_secs(1)),
    ("2s", Duration::from_secs(2)),
    ("9999999999999999999999s", Duration::ZERO),
    ("soon", Duration::ZERO),
];
const QUERIES: &[&str] = &[
    "elections=all",
    "elections=none",
    "since=0",
    "since=x-1",
    "since=-1",
    "wait",
    "%",
    "a=%ff&&=",
];

const ACCEPTS: &[&str] = &[
    "*/*",
    "text/html",
    "text/html,application/xhtml+xml,*/*;q=0.8",
    "application/json;q=x",
    ",;,;q",
    "text/event-stream",
];

/// The first three are for standing down: briefly, so that there is a leader most of the time.
const BODIES: &[&str] = &[
    r#"{"cooldown":"1ms"}"#,
    r#"{"cooldown":"50ms"}"#,
    r#"{"cooldown":"300ms"}"#,
    "{}",
    "",
    r#"{"cooldown":"9999999999days"}"#,
    r#"{"cooldown":7}"#,
    r#"{"cool":"1ms"}"#,
    "[[[[[[",
    "\u{0}",
];

/// Whether a request is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One request, as HTTP has them: an answer has to come.
    Whole,
    /// With some bytes changed, cut or doubled: anything but harm may come of it.
    Broken,
}

/// One request, and what is known of it.
pub struct Request {
    pub bytes: Vec<u8>,
    pub shape: Shape,
    pub is_head: bool,
    /// It asks whether this instance leads, with what has to be left for a yes.
    pub asks_leader: bool,
    pub min_valid: Duration,
    /// It would change something, and is allowed to.
    pub changes: bool,
    pub permitted: bool,
}

impl Request {
    pub fn random(rng: &mut Rng, authority: &str) -> Self {
        let mut request = whole(rng, authority);
        if rng.u8(..10) == 0 {
            damage(rng, &mut request.bytes);
            request.shape = Shape::Broken;
            request.changes = false;
            request.min_valid = Duration::ZERO;
        }
        request
    }

    /// The question whether this instance leads.
    pub fn plain(election: &str) -> Self {
        let text = format!("GET /elections/{election}/leader HTTP/1.1\r\nHost: localhost\r\n\r\n");
        Self {
            bytes: text.into_bytes(),
            shape: Shape::Whole,
            is_head: false,
            asks_leader: true,
            min_valid: Duration::ZERO,
            changes: false,
            permitted: false,
        }
    }

    /// For a person.
    pub fn text(&self) -> String {
        self.bytes.escape_ascii().to_string()
    }
}

fn whole(rng: &mut Rng, authority: &str) -> Request {
    let path = match path(rng) {
        // Thousands of requests a second would leave no time to lead in.
        path if path.ends_with("/resign") && rng.u8(..4) > 0 => path.replace("resign", "leader"),
        path => path,
    };
    let method = if rng.u8(..4) > 0 { proper_method(&path) } else { pick(rng, METHODS) };
    let (query, min_valid) = query(rng, &path);
    let mut text = format!("{method} {path}{query} HTTP/1.1\r\n");
    let permitted = headers(rng, authority, &mut text);
    let mut bytes = text.into_bytes();
    let briefly = path.ends_with("/resign") && rng.u8(..50) > 0;
    body(rng, &mut bytes, if briefly { &BODIES[..3] } else { BODIES });
    let last = path.rsplit('/').next().unwrap_or_default();
    Request {
        bytes,
        shape: Shape::Whole,
        is_head: method == "HEAD",
        asks_leader: method == "GET" && last == "leader",
        min_valid,
        changes: method == "POST" && ["hold", "resign"].contains(&last),
        permitted,
    }
}

fn proper_method(path: &str) -> &'static str {
    if path.ends_with("/hold") || path.ends_with("/resign") { "POST" } else { "GET" }
}

fn path(rng: &mut Rng) -> String {
    match rng.u8(..10) {
        0..3 => "/leader".to_owned(),
        3..6 => format!("/elections/{}/{}", pick(rng, NAMES), pick(rng, OF_EACH)),
        6 => format!("/{}", noise(rng, 40).replace([' ', '?', '#'], "")),
        _ => pick(rng, PATHS).to_owned(),
    }
}

fn query(rng: &mut Rng, path: &str) -> (String, Duration) {
    let mut parts = Vec::new();
    let mut least = Duration::ZERO;
    if path.ends_with("leader") && rng.bool() {
        if rng.bool() {
            parts.push(format!("wait={}", pick(rng, WAITS).replace(' ', "%20")));
        }
        if rng.bool() {
            let (text, min_valid) = pick(rng, MIN_VALIDS);
            parts.push(format!("min-valid={text}"));
            least = min_valid;
        }
    }
    while rng.u8(..5) == 0 {
        parts.push(pick(rng, QUERIES).to_owned());
    }
    let query = if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) };
    (query, least)
}

/// Writes the headers but those of the body. Says whether they permit to change something: a page
/// of another origin may not, and a client that calls this host by another name needs the token.
fn headers(rng: &mut Rng, authority: &str, text: &mut String) -> bool {
    let host = match rng.u8(..8) {
        0 => "evil.example",
        1 => "localhost:1",
        2 => "127.0.0.1.evil.example:80",
        _ => authority,
    };
    let own_name = !host.contains("evil");
    let (origin, own_origin) = match rng.u8(..10) {
        0 => (Some("https://evil.example".to_owned()), false),
        1 => (Some("null".to_owned()), false),
        2 => (Some(format!("http://{host}")), true),
        _ => (None, true),
    };
    let (bearer, has_token) = match rng.u8(..8) {
        0 => (Some(format!("Bearer {TOKEN}")), true),
        1 => (Some(format!("Bearer {TOKEN}0")), false),
        2 => (Some(noise(rng, 30)), false),
        _ => (None, false),
    };
    write!(text, "Host: {host}\r\n").unwrap();
    for (name, value) in [("Origin", origin), ("Authorization", bearer)] {
        if let Some(value) = value {
            write!(text, "{name}: {value}\r\n").unwrap();
        }
    }
    if rng.bool() {
        write!(text, "Accept: {}\r\n", pick(rng, ACCEPTS)).unwrap();
    }
    match rng.u8(..20) {
        0 => write!(text, "Last-Event-ID: {}\r\n", noise(rng, 30)).unwrap(),
        1 => write!(text, "X-Long: {}\r\n", "x".repeat(rng.usize(..12_000))).unwrap(),
        2 => (0..rng.u8(..200)).for_each(|n| write!(text, "X-{n}: {n}\r\n").unwrap()),
        3 => text.push_str("Connection: Upgrade\r\nUpgrade: h2c\r\n"),
        4 => text.push_str("Connection: close\r\n"),
        5 => text.push_str("Expect: 100-continue\r\n"),
        6 => text.push_str("Range: bytes=0-1\r\nIf-None-Match: *\r\n"),
        _ => {}
    }
    own_origin && (own_name || has_token)
}

fn body(rng: &mut Rng, bytes: &mut Vec<u8>, bodies: &[&str]) {
    let body = match rng.u8(..12) {
        0 => noise(rng, 100).into_bytes(),
        // Around the largest that is taken.
        1 => vec![b'{'; rng.usize(4_000..4_200)],
        _ => pick(rng, bodies).as_bytes().to_vec(),
    };
    if rng.u8(..4) == 0 {
        bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
        for part in body.chunks(rng.usize(1..2_000)) {
            bytes.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
            bytes.extend_from_slice(part);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
    } else {
        bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
        bytes.extend_from_slice(&body);
    }
}

/// Changes, cuts, doubles or puts in some bytes.
fn damage(rng: &mut Rng, bytes: &mut Vec<u8>) {
    for _ in 0..rng.usize(1..6) {
        if bytes.is_empty() {
            return;
        }
        let at = rng.usize(..bytes.len());
        match rng.u8(..5) {
            0 => bytes[at] = rng.u8(..),
            1 => bytes[at] ^= 1 << rng.u8(..8),
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..(at + rng.usize(1..20)).min(bytes.len()))),
            _ => {
                let doubled = bytes[at..(at + rng.usize(1..200)).min(bytes.len())].to_vec();
                bytes.splice(at..at, doubled);
            }
        }
    }
}

fn pick<T: Copy>(rng: &mut Rng, from: &[T]) -> T {
    from[rng.usize(..from.len())]
}

/// Printable, and on one line.
fn noise(rng: &mut Rng, longest: usize) -> String {
    (0..rng.usize(1..longest)).map(|_| char::from(rng.u8(0x21..0x7f))).collect()
}
