//! A command to run: its words, its environment, and where it reads and writes.

use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal, PipeWriter};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, OnceLock};

use tokio::process::Command;

use crate::election::term::Term;

/// The variables that commands do not inherit: settings of this process.
static HIDDEN: OnceLock<Vec<String>> = OnceLock::new();

/// Hides variables from all commands that are started from now on.
pub fn hide_from_commands(names: Vec<String>) {
    // Set once, at the start of the program.
    let _ = HIDDEN.set(names);
}

/// What to run.
#[derive(Clone, Debug)]
pub struct CommandSpec {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(String, OsString)>,
    guard: PathBuf,
    stderr: Option<Arc<PipeWriter>>,
    aside: bool,
}

impl CommandSpec {
    /// A program, found in PATH unless it has a slash, and its arguments.
    pub fn new(
        program: impl Into<OsString>,
        args: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Self {
        Self {
            program: program.into(),
            args: args.into_iter().map(Into::into).collect(),
            env: Vec::new(),
            // Stays the running program when an upgrade replaces the file.
            guard: PathBuf::from("/proc/self/exe"),
            stderr: None,
            aside: false,
        }
    }

    /// A line for `sh -c`; or, if it begins with `["`, a JSON array of the program and its
    /// arguments, which needs no shell in the image. A shell's own `[` has a space behind it.
    ///
    /// # Errors
    ///
    /// When there is no command in it. The text is not repeated: it may hold secrets.
    pub fn parse(text: &str) -> Result<Self, InvalidCommand> {
        let text = text.trim();
        if text.is_empty() {
            return Err(InvalidCommand);
        }
        if !text.starts_with("[\"") {
            return Ok(Self::new("sh", ["-c", text]));
        }
        let words: Vec<String> = serde_json::from_str(text).map_err(|_| InvalidCommand)?;
        let is_odd = |word: &String| word.contains('\0');
        match words.split_first() {
            Some((program, args)) if !program.is_empty() && !words.iter().any(is_odd) => {
                Ok(Self::new(program, args))
            }
            Some(_) | None => Err(InvalidCommand),
        }
    }

    /// The program. Not shown in logs are its arguments: they may hold secrets.
    pub fn program(&self) -> &OsStr {
        &self.program
    }

    /// The program and its arguments.
    #[cfg(test)]
    pub(super) fn words(&self) -> Vec<&OsStr> {
        std::iter::once(&self.program).chain(&self.args).map(OsString::as_os_str).collect()
    }

    /// The guard, which starts the command as soon as it is told to.
    pub(super) fn under_guard(&self, name: &str, subcommand: &str) -> io::Result<Command> {
        let mut command = Command::new(&self.guard);
        command.arg0(name).args([subcommand, "--"]).arg(&self.program).args(&self.args);
        for name in HIDDEN.get().into_iter().flatten() {
            command.env_remove(name);
        }
        command
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdout(self.stdout_of_guard()?)
            .stderr(self.stderr_of_guard()?);
        Ok(command)
    }

    fn stderr_of_guard(&self) -> io::Result<Stdio> {
        Ok(match &self.stderr {
            Some(pipe) => Stdio::from(pipe.try_clone()?),
            None => Stdio::inherit(),
        })
    }

    fn stdout_of_guard(&self) -> io::Result<Stdio> {
        Ok(match &self.stderr {
            _ if !self.aside => Stdio::inherit(),
            Some(pipe) => Stdio::from(pipe.try_clone()?),
            None => Stdio::from(io::stderr().as_fd().try_clone_to_owned()?),
        })
    }

    /// What the command reads.
    pub(super) fn stdin(&self) -> io::Result<OwnedFd> {
        let stdin = io::stdin();
        // It would take input that is typed for others: nothing shows which program it is for.
        if self.aside || stdin.is_terminal() {
            return Ok(std::fs::File::open("/dev/null")?.into());
        }
        stdin.as_fd().try_clone_to_owned()
    }

    /// Adds a variable to the command's environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// Tells the command for which election, as whom and in which term it leads, by rule
    /// `fence-the-rest`.
    #[must_use]
    pub fn leading(self, election: &str, identity: &str, term: Term) -> Self {
        self.env("BELLWETHER_ELECTION", election)
            .env("BELLWETHER_IDENTITY", identity)
            .env("BELLWETHER_TERM", term.to_string())
    }

    /// Tells the command which sidecar runs it: what asks a sidecar there, such as `bellwether resign`, asks
    /// that one, and not another on the host.
    #[must_use]
    pub fn asking(self, sidecar: &str) -> Self {
        self.env("BELLWETHER_SIDECAR", sidecar)
    }

    /// Has the command write its standard error there, instead of where this process writes.
    #[must_use]
    pub fn stderr(mut self, to: PipeWriter) -> Self {
        self.stderr = Some(Arc::new(to));
        self
    }

    /// Has the command read nothing, and write its standard output where its standard error goes:
    /// for one that runs on the side, and not in this process's place.
    #[must_use]
    pub fn aside(mut self) -> Self {
        self.aside = true;
        self
    }

    /// Takes the guard from another program than the running one: for tests.
    #[doc(hidden)]
    #[must_use]
    pub fn guarded_by(mut self, program: impl Into<PathBuf>) -> Self {
        self.guard = program.into();
        self
    }
}

/// Why a text is not a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the text is not a command; use a line for sh, or a JSON array of words such as \
     [\"/bin/check\", \"now\"]"
)]
pub struct InvalidCommand;

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<String, InvalidCommand> {
        CommandSpec::parse(text).map(|command| format!("{:?}", command.words()))
    }

    #[test]
    fn a_line_is_for_the_shell_and_an_array_is_not() {
        assert_eq!(parsed(" echo a  b ").unwrap(), r#"["sh", "-c", "echo a  b"]"#);
        assert_eq!(parsed(r#"["/bin/x","a  b",""]"#).unwrap(), r#"["/bin/x", "a  b", ""]"#);
        assert_eq!(parsed("[ -f up ]").unwrap(), r#"["sh", "-c", "[ -f up ]"]"#);
        for bad in ["", "  ", r#"[""]"#, r#"["a", 1]"#, r#"["a\u0000b"]"#, "[\"a\""] {
            assert_eq!(parsed(bad), Err(InvalidCommand), "{bad}");
        }
    }
}
