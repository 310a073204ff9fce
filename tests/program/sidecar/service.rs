//! A metadata service on this host, which answers as the test demands: also badly.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// How a question is answered.
#[derive(Clone, Debug)]
pub enum Reply {
    /// With this.
    Body(String),
    /// With this, if the question carries the token that `PUT /latest/api/token` gave.
    WithToken(&'static str),
    /// With this status and no body.
    Status(u16),
    /// With a redirect to this path.
    Redirect(&'static str),
    /// With a body that never ends.
    Endless,
    /// With headers that never end.
    EndlessHead,
    /// With the head of an answer whose body never comes.
    NoBody,
    /// With something that is not HTTP.
    Noise,
    /// Not at all.
    Never,
}

/// The token that is issued and demanded.
pub const TOKEN: &str = "AQAEANlgbVJt-a-token-of-56-bytes-as-the-service-gives==";

#[derive(Clone)]
pub struct Service {
    port: u16,
    replies: Arc<Mutex<HashMap<String, Reply>>>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Service {
    /// Answers these questions, such as `GET /v4/abc/task`, and all others with 404.
    pub fn start(replies: &[(&str, Reply)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let service = Self { port, replies: Arc::default(), requests: Arc::default() };
        replies.iter().for_each(|(question, reply)| service.answers(question, reply.clone()));
        let answering = service.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let service = answering.clone();
                thread::spawn(move || service.serve(stream));
            }
        });
        service
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What ECS sets in a container whose metadata this service has.
    pub fn ecs(&self) -> String {
        format!("{}/v4/abc", self.url())
    }

    pub fn answers(&self, question: &str, reply: Reply) {
        self.replies.lock().unwrap().insert(question.to_owned(), reply);
    }

    /// The questions so far.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    fn serve(&self, mut stream: TcpStream) {
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
        let head: Vec<_> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
        let question = head.first().map_or("", |line| line.trim_end_matches(" HTTP/1.1"));
        self.requests.lock().unwrap().push(question.to_owned());
        let reply = self.replies.lock().unwrap().get(question).cloned();
        let answer = |status: u16, body: &str| {
            format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        };
        let token = format!("x-aws-ec2-metadata-token: {TOKEN}");
        let (text, stays) = match reply.unwrap_or(Reply::Status(404)) {
            Reply::Body(body) => (answer(200, &body), false),
            Reply::WithToken(body) if head.contains(&token) => (answer(200, body), false),
            Reply::WithToken(_) => (answer(401, ""), false),
            Reply::Status(status) => (answer(status, ""), false),
            Reply::Redirect(to) => {
                let head = "HTTP/1.1 302 X\r\ncontent-length: 0\r\nlocation:";
                (format!("{head} {to}\r\n\r\n"), false)
            }
            Reply::Endless => return endless(stream, "HTTP/1.1 200 X\r\n\r\n", "and more "),
            Reply::EndlessHead => return endless(stream, "HTTP/1.1 200 X\r\n", "x: and more\r\n"),
            Reply::NoBody => ("HTTP/1.1 200 X\r\ncontent-length: 100\r\n\r\n".to_owned(), true),
            Reply::Noise => ("SSH-2.0-OpenSSH_9.2\r\n".to_owned(), true),
            Reply::Never => (String::new(), true),
        };
        let _ = stream.write_all(text.as_bytes());
        if stays {
            // Keeps the connection until the other end has lost patience.
            lines.for_each(drop);
        }
    }
}

fn endless(mut stream: TcpStream, begin: &str, more: &str) {
    let _ = stream.write_all(begin.as_bytes());
    while stream.write_all(more.as_bytes()).is_ok() {}
}
