//! A window: a real pseudoterminal of a size, and what a person sees in it.

use std::io::{Read as _, Write as _};
use std::num::NonZero;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use super::{eventually, terminal};

/// Runs `sys.argv[3:]` on a new terminal of `sys.argv[1]` columns and `sys.argv[2]` rows, prints what the
/// terminal is written, and exits as the program did. Lines of its input are commands.
const SCRIPT: &str = r#"
import fcntl, os, pty, select, signal, struct, sys, termios
def resize(width, height):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", int(height), int(width), 0, 0))
begin, began = os.pipe()
child, terminal = pty.fork()
if child == 0:
    os.read(begin, 1)
    os.execvp(sys.argv[3], sys.argv[3:])
resize(*sys.argv[1:3])
os.write(began, b"x")
while True:
    ready, _, _ = select.select([0, terminal], [], [])
    if terminal in ready:
        try: shown = os.read(terminal, 65536)
        except OSError: break  # its last user is gone
        if not shown: break
        os.write(1, shown)
    if 0 in ready:
        words = sys.stdin.buffer.raw.readline().split()
        if not words: break
        if words[0] == b"resize": resize(*words[1:])
        if words[0] == b"type": os.write(terminal, bytes.fromhex(words[1].decode()))
        if words[0] == b"signal": os.kill(child, getattr(signal, words[1].decode()))
        if words[0] == b"echo":
            on = termios.tcgetattr(terminal)[3] & termios.ECHO
            os.write(1, b"\x1b]2;echo %d\x07" % bool(on))
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
os._exit(code if code >= 0 else 128 - code)
"#;

/// A program in a window.
pub struct Window {
    child: Child,
    commands: ChildStdin,
    seen: Arc<Mutex<vt100::Parser<Titles>>>,
}

/// The last title that the window was given, by which [`SCRIPT`] answers.
#[derive(Default)]
struct Titles(String);

impl vt100::Callbacks for Titles {
    fn set_window_title(&mut self, _: &mut vt100::Screen, title: &[u8]) {
        self.0 = String::from_utf8_lossy(title).into_owned();
    }
}

fn parser(width: u16, height: u16) -> vt100::Parser<Titles> {
    vt100::Parser::new_with_callbacks(cells(height), cells(width), 0, Titles::default())
}

fn cells(number: u16) -> NonZero<u16> {
    NonZero::new(number).expect("a window has a size")
}

/// Whether a line of this text is too long for a window of so many columns.
pub fn is_too_wide(text: &str, width: u16) -> bool {
    let mut parser = parser(width, 1000);
    parser.process(text.replace('\n', "\r\n").as_bytes());
    (0..1000).any(|row| parser.screen().row_wrapped(row))
}

impl Window {
    /// Opens a window of so many columns and rows, with a program in it.
    pub fn open(program: &Command, width: u16, height: u16) -> Self {
        let size = [width.to_string(), height.to_string()];
        let size = size.each_ref().map(std::path::Path::new);
        let mut command = terminal::on_terminal(SCRIPT, &size, program);
        command.env("TERM", "xterm-256color");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is installed");
        let commands = child.stdin.take().expect("it is piped");
        let mut shown = child.stdout.take().expect("it is piped");
        let seen = Arc::new(Mutex::new(parser(width, height)));
        let sees = Arc::clone(&seen);
        thread::spawn(move || {
            let mut bytes = [0; 65536];
            while let Ok(read @ 1..) = shown.read(&mut bytes) {
                sees.lock().expect("no panic").process(&bytes[..read]);
            }
        });
        Self { child, commands, seen }
    }

    fn command(&mut self, command: &str) {
        self.commands.write_all(format!("{command}\n").as_bytes()).expect("it is open");
    }

    /// What is to be seen, row by row, without the spaces at the end of each.
    pub fn rows(&self) -> Vec<String> {
        let seen = self.seen.lock().expect("no panic");
        let (_, width) = seen.screen().size();
        seen.screen().rows(0, width.get()).map(|row| row.trim_end().to_owned()).collect()
    }

    /// The same as a text.
    pub fn text(&self) -> String {
        self.rows().join("\n")
    }

    /// Waits until this is to be seen.
    #[track_caller]
    pub fn shows(&self, text: &str) -> Vec<String> {
        eventually(&format!("it shows {text}"), || self.text().contains(text).then(|| self.rows()))
    }

    /// Whether a line was too long, and continues on the next row.
    pub fn is_too_narrow(&self) -> bool {
        let seen = self.seen.lock().expect("no panic");
        let (height, _) = seen.screen().size();
        (0..height.get()).any(|row| seen.screen().row_wrapped(row))
    }

    /// Whether a program has taken the whole of it, and hidden the cursor.
    pub fn is_taken(&self) -> (bool, bool) {
        let seen = self.seen.lock().expect("no panic");
        (seen.screen().alternate_screen(), seen.screen().hide_cursor())
    }

    /// Gives it another size, as a person does who drags its corner.
    pub fn resize(&mut self, width: u16, height: u16) {
        self.seen.lock().expect("no panic").screen_mut().set_size(cells(height), cells(width));
        self.command(&format!("resize {width} {height}"));
    }

    /// Types.
    pub fn types(&mut self, keys: &str) {
        let keys: String = keys.bytes().map(|byte| format!("{byte:02x}")).collect();
        self.command(&format!("type {keys}"));
    }

    /// Sends the program a signal, such as SIGTERM.
    pub fn signal(&mut self, name: &str) {
        self.command(&format!("signal {name}"));
    }

    /// Whether the terminal shows what is typed.
    pub fn echoes(&mut self) -> bool {
        self.seen.lock().expect("no panic").callbacks_mut().0.clear();
        self.command("echo");
        eventually("the terminal answers", || {
            match self.seen.lock().expect("no panic").callbacks().0.as_str() {
                "echo 0" => Some(false),
                "echo 1" => Some(true),
                _ => None,
            }
        })
    }

    /// Waits until the program has ended.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        eventually("the program in the window ends", || self.child.try_wait().expect("a child"))
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
