//! A headless Chromium, driven by its own protocol through a pipe: it needs no port and no driver,
//! and ends when the pipe closes, however the test ends.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use serde_json::{Value, json};

use support::{LIMIT, eventually};

/// Without the first the sandbox would refuse to run as root, as CI does; the rest keeps Chromium
/// from sending requests of its own.
const FLAGS: [&str; 10] = [
    "--no-sandbox",
    "--headless",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
];

/// Chromium, by its names, reads commands from file descriptor 3 and answers on 4.
const ON_PIPES: &str = "
    chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome)
    exec \"$chromium\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1";

/// A browser with one page, gone when dropped.
pub struct Browser {
    child: Child,
    commands: Option<ChildStdin>,
    answers: Receiver<Value>,
    state: RefCell<State>,
    _profile: tempfile::TempDir,
}

#[derive(Default)]
struct State {
    calls: u64,
    session: Option<String>,
    complaints: Vec<String>,
}

impl Browser {
    pub fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut child = Command::new("sh")
            .args(["-c", ON_PIPES, "sh"])
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh starts");
        let commands = child.stdin.take();
        let mut output = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let (sender, answers) = channel();
        thread::spawn(move || {
            let mut message = Vec::new();
            while output.read_until(0, &mut message).is_ok_and(|length| length > 0) {
                message.pop();
                let Ok(value) = serde_json::from_slice(&message) else { break };
                if sender.send(value).is_err() {
                    break;
                }
                message.clear();
            }
        });
        let state = RefCell::default();
        let browser = Self { child, commands, answers, state, _profile: profile };
        let page = browser.call("Target.createTarget", json!({"url": "about:blank"}));
        let target = json!({"targetId": page["targetId"], "flatten": true});
        let session = browser.call("Target.attachToTarget", target)["sessionId"].clone();
        browser.state.borrow_mut().session = session.as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// One command of the Chrome DevTools Protocol.
    #[track_caller]
    pub fn call(&self, method: &str, params: Value) -> Value {
        let id = {
            let mut state = self.state.borrow_mut();
            state.calls += 1;
            let mut message = json!({"id": state.calls, "method": method, "params": params});
            if let Some(session) = &state.session {
                message["sessionId"] = json!(session);
            }
            let mut commands = self.commands.as_ref().expect("open until dropped");
            commands.write_all(format!("{message}\0").as_bytes()).expect(MISSING);
            state.calls
        };
        loop {
            let message = self.answers.recv_timeout(LIMIT).expect(MISSING);
            if message["id"] == id {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].clone();
            }
            self.note(&message);
        }
    }

    /// Whatever a page complains of: exceptions, refusals by its policy, failed requests.
    fn note(&self, message: &Value) {
        let complaint = match message["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Runtime.consoleAPICalled") => true,
            Some("Log.entryAdded") => message["params"]["entry"]["level"] != "verbose",
            _ => false,
        };
        if complaint {
            self.state.borrow_mut().complaints.push(message["params"].to_string());
        }
    }

    /// The errors of pages since the last call.
    pub fn complaints(&self) -> Vec<String> {
        self.eval("0");
        std::mem::take(&mut self.state.borrow_mut().complaints)
    }

    pub fn open(&self, url: &str) {
        let opened = self.call("Page.navigate", json!({"url": url}));
        assert!(opened["errorText"].is_null(), "{url}: {opened}");
    }

    /// The value of an expression in the page.
    #[track_caller]
    pub fn eval(&self, expression: &str) -> Value {
        let params = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.call("Runtime.evaluate", params);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// What a person can read in an element; empty if there is none, or it is hidden.
    #[track_caller]
    pub fn text(&self, selector: &str) -> String {
        let selector = Value::String(selector.to_owned());
        let expression = format!("document.querySelector({selector})?.innerText ?? ''");
        self.eval(&expression).as_str().unwrap_or_default().to_owned()
    }

    /// Clicks on the middle of an element.
    #[track_caller]
    pub fn click(&self, selector: &str) {
        let middle = format!(
            "(() => {{ const it = document.querySelector('{selector}');
               it.scrollIntoView({{block: 'center'}});
               const {{x, y, width, height}} = it.getBoundingClientRect();
               return [x + width / 2, y + height / 2]; }})()"
        );
        let middle = self.eval(&middle);
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({"type": kind, "x": middle[0], "y": middle[1], "button": "left", "clickCount": 1});
            self.call("Input.dispatchMouseEvent", event);
        }
    }

    /// Presses a key.
    pub fn key(&self, key: &str) {
        // Where windows have no manager, none of them has the focus.
        self.call("Emulation.setFocusEmulationEnabled", json!({"enabled": true}));
        let code = match key {
            "Enter" => 13,
            "Tab" => 9,
            "ArrowLeft" => 37,
            "End" => 35,
            _ => 0,
        };
        let text = if key == "Enter" { "\r" } else { "" };
        for kind in ["keyDown", "keyUp"] {
            let event = json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text});
            self.call("Input.dispatchKeyEvent", event);
        }
    }

    #[track_caller]
    pub fn reads(&self, selector: &str, wanted: &str) {
        eventually(&format!("{selector} reads '{wanted}'"), || {
            self.text(selector).contains(wanted).then_some(())
        });
    }
}

const MISSING: &str = "chromium answers: is it installed (make setup)?";

impl Drop for Browser {
    fn drop(&mut self) {
        // It ends on its own when the other end is closed, with all that it started.
        self.commands = None;
        for _ in 0..500 {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            thread::sleep(std::time::Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
