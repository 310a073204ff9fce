//! `credential_process`: a command of the user's that prints credentials.
//!
//! The SDK's own runner leaves a hanging command behind, and reads output of any length. This one
//! gives the command a process group of its own, which is killed when no caller waits for it any
//! more.

use std::io;
use std::process::Stdio;

use aws_credential_types::Credentials;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format::DateTimeWithOffset;
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};

/// The longest output that is read: that of any command is a few kilobytes.
const LONGEST_OUTPUT: usize = 64 * 1024;

/// Why a command gave no credentials. Its output is not repeated, because it may contain secrets.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// It did not start.
    #[error("its command cannot be started: {0}")]
    Start(io::Error),
    /// It failed.
    #[error("its command ended with {0}; run it by hand to see why")]
    Status(std::process::ExitStatus),
    /// Its output could not be read.
    #[error("its command printed more than {LONGEST_OUTPUT} bytes")]
    TooLong,
    /// It printed an unexpected text.
    #[error(
        "its command printed no credentials: a JSON object with Version 1, AccessKeyId and \
         SecretAccessKey"
    )]
    Output,
}

/// The output of a command, by the documentation of the AWS CLI.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Printed {
    version: u64,
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
    expiration: Option<String>,
}

/// Runs the command once. Dropping this ends it, with all that it has started.
///
/// # Errors
///
/// See [`Failed`].
pub async fn credentials(command: &str) -> Result<Credentials, Failed> {
    let mut group = Group::start(command).map_err(Failed::Start)?;
    let mut output = Vec::new();
    if let Some(stdout) = group.child.stdout.take() {
        // One byte more shows that there is more.
        let read = stdout.take(LONGEST_OUTPUT as u64 + 1).read_to_end(&mut output).await;
        read.map_err(|_| Failed::Output)?;
    }
    if output.len() > LONGEST_OUTPUT {
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
    parse(&output).ok_or(Failed::Output)
}

fn parse(output: &[u8]) -> Option<Credentials> {
    let printed: Printed = serde_json::from_slice(output).ok()?;
    if printed.version != 1 {
        return None;
    }
    let time = |text: String| {
        let time = DateTime::from_str(&text, DateTimeWithOffset).ok()?;
        std::time::SystemTime::try_from(time).ok()
    };
    let expiration = match printed.expiration {
        Some(text) => Some(time(text)?),
        None => None,
    };
    let Printed { access_key_id, secret_access_key, session_token, .. } = printed;
    let name = "CredentialProcess";
    Some(Credentials::new(access_key_id, secret_access_key, session_token, expiration, name))
}

/// A command and all that it starts, killed together.
struct Group {
    child: Child,
    id: Option<Pid>,
}

impl Group {
    fn start(command: &str) -> io::Result<Self> {
        let child = Command::new("sh")
            .args(["-c", command])
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
    use super::*;

    #[test]
    fn what_a_command_prints_is_read_as_the_cli_reads_it() {
        let parsed = |text: &str| parse(text.as_bytes());
        let long = r#"{"Version":1,"AccessKeyId":"a","SecretAccessKey":"s","SessionToken":"t",
            "Expiration":"2026-11-26T15:00:00+01:00","AccountId":"1"}"#;
        let credentials = parsed(long).unwrap();
        assert_eq!(credentials.access_key_id(), "a");
        assert_eq!(credentials.session_token(), Some("t"));
        let since =
            std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_795_701_600);
        assert_eq!(credentials.expiry(), Some(since));
        let short = r#"{"Version":1,"AccessKeyId":"a","SecretAccessKey":"s"}"#;
        assert_eq!(parsed(short).unwrap().expiry(), None);
        for bad in [
            "",
            "{}",
            "null",
            r#"{"Version":2,"AccessKeyId":"a","SecretAccessKey":"s"}"#,
            r#"{"Version":1,"AccessKeyId":"a"}"#,
            r#"{"Version":1,"AccessKeyId":"a","SecretAccessKey":"s","Expiration":"soon"}"#,
        ] {
            assert!(parsed(bad).is_none(), "{bad}");
        }
    }

    #[tokio::test]
    async fn an_output_without_end_is_given_up_and_its_command_killed() {
        let started = tempfile::tempdir().unwrap();
        let pid = started.path().join("pid");
        let command = format!("echo $$ > {}; exec yes", pid.display());
        assert!(matches!(credentials(&command).await, Err(Failed::TooLong)));
        let pid = std::fs::read_to_string(pid).unwrap();
        let state = format!("/proc/{}/stat", pid.trim());
        for _ in 0..1_000 {
            let gone = std::fs::read_to_string(&state).map_or(true, |stat| stat.contains(") Z "));
            if gone {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("{state} is still there");
    }
}
