//! What a command of the user's prints: credentials, or a token.
//!
//! The command has a process group of its own, which is killed when no caller waits for the output any more. Its
//! output has a limit. It may be a secret, so no error repeats it.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};

/// The longest output that is read, in bytes: that of any command is a few kilobytes.
const LONGEST: u64 = 64 * 1024;

/// Why there is no output. The words follow the name of the command.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failed {
    /// It did not start.
    #[error("cannot be started: {0}")]
    Start(#[source] Arc<io::Error>),
    /// It failed.
    #[error("ended with {0}; run it by hand to see why")]
    Status(ExitStatus),
    /// Its output has no end.
    #[error("printed more than {LONGEST} bytes")]
    TooLong,
    /// Its output is not known.
    #[error("printed what cannot be read: {0}")]
    Read(#[source] Arc<io::Error>),
}

/// Runs a command once, with no input. Dropping this ends it, with all that it has started.
///
/// # Errors
///
/// See [`Failed`].
pub async fn output(command: &mut Command) -> Result<Vec<u8>, Failed> {
    let mut group = Group::start(command).map_err(|error| Failed::Start(Arc::new(error)))?;
    let mut output = Vec::new();
    if let Some(stdout) = group.child.stdout.take() {
        // One byte more shows that there is more.
        let read = stdout.take(LONGEST + 1).read_to_end(&mut output).await;
        read.map_err(|error| Failed::Read(Arc::new(error)))?;
    }
    if u64::try_from(output.len()).is_ok_and(|length| length > LONGEST) {
        return Err(Failed::TooLong);
    }
    // As PID 1 this process reaps all children, and may have reaped this command.
    if let Ok(status) = group.child.wait().await
        && !status.success()
    {
        return Err(Failed::Status(status));
    }
    // Processes that it left on purpose, to answer faster the next time, may stay.
    group.id = None;
    Ok(output)
}

/// A command and all that it starts, killed together.
struct Group {
    child: Child,
    id: Option<Pid>,
}

impl Group {
    fn start(command: &mut Command) -> io::Result<Self> {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Ok(Self { child, id })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            // It may have ended by now.
            let _ = kill_process_group(id, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    async fn ends(pid: &Path) {
        let pid = std::fs::read_to_string(pid).unwrap();
        let state = format!("/proc/{}/stat", pid.trim());
        for _ in 0..1_000 {
            let gone = std::fs::read_to_string(&state).map_or(true, |stat| stat.contains(") Z "));
            if gone {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{state} is still there");
    }

    #[tokio::test]
    async fn a_command_that_fails_is_an_error_without_what_it_printed() {
        assert_eq!(output(&mut shell("echo a; echo b")).await.unwrap(), b"a\nb\n");
        let error = output(&mut shell("echo hunter2; exit 7")).await.unwrap_err();
        assert_eq!(error.to_string(), "ended with exit status: 7; run it by hand to see why");
        let error = output(&mut Command::new("/nowhere/aws")).await.unwrap_err();
        assert!(error.to_string().starts_with("cannot be started: No such file"), "{error}");
    }

    #[tokio::test]
    async fn an_output_without_end_is_given_up_and_its_command_killed() {
        let started = tempfile::tempdir().unwrap();
        let pid = started.path().join("pid");
        let command = format!("echo $$ > {}; exec yes", pid.display());
        assert!(matches!(output(&mut shell(&command)).await, Err(Failed::TooLong)));
        ends(&pid).await;
    }

    #[tokio::test]
    async fn a_command_that_hangs_ends_with_all_that_it_started_when_it_is_not_waited_for() {
        let started = tempfile::tempdir().unwrap();
        let pid = started.path().join("pid");
        let draft = started.path().join("draft");
        let script = format!(
            "sleep 1000 & echo $! > {draft}; mv {draft} {pid}; wait",
            draft = draft.display(),
            pid = pid.display()
        );
        let waits = tokio::spawn(async move { output(&mut shell(&script)).await });
        while !pid.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        waits.abort();
        ends(&pid).await;
    }
}
