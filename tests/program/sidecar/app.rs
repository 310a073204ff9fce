//! An application: a web server, in Python, that can be made unwell in several ways.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use support::kill;

/// Answers with the status that its file says, or, if that says so, not at all.
const SCRIPT: &str = r#"
import http.server, sys, time
class App(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        mode = open(sys.argv[1]).read().strip()
        if mode == 'slow':
            time.sleep(600)
        self.send_response(int(mode) if self.path in ('/healthz', '/healthz?deep=1') else 404)
        if mode == '302':
            self.send_header('Location', '/healthz')
        self.end_headers()
    def log_message(self, *args):
        pass
class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
server = Server(('127.0.0.1', int(sys.argv[2])), App)
print(server.server_port, flush=True)
server.serve_forever()
"#;

pub struct App {
    mode: tempfile::NamedTempFile,
    port: u16,
    child: Child,
}

impl App {
    /// One that is well.
    pub fn start() -> Self {
        let mode = tempfile::NamedTempFile::new().unwrap();
        fs::write(mode.path(), "200").unwrap();
        let (child, port) = serve(mode.path(), 0);
        Self { mode, port, child }
    }

    /// Where it says how it is.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/healthz?deep=1", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on it answers with this status, or is `slow`.
    pub fn answers(&self, mode: &str) {
        // At once, so that no question finds the file empty.
        let new = self.mode.path().with_extension("new");
        fs::write(&new, mode).unwrap();
        fs::rename(new, self.mode.path()).unwrap();
    }

    pub fn signal(&self, name: &str) {
        kill(name, self.child.id());
    }

    pub fn die(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts again at the same place.
    pub fn restart(&mut self) {
        (self.child, _) = serve(self.mode.path(), self.port);
    }
}

impl Drop for App {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve(mode: &Path, port: u16) -> (Child, u16) {
    let mut python = Command::new("/usr/bin/python3");
    python.args(["-c", SCRIPT]).arg(mode).arg(port.to_string());
    let mut child = python.stdout(Stdio::piped()).spawn().expect("python3 is there (make setup)");
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (child, line.trim().parse().expect("the application says its port"))
}
