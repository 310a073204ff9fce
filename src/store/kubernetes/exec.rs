//! A program that a kubeconfig names, which prints a token: how EKS, GKE and AKS log in.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde::Deserialize;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::sync::Mutex;

use crate::election::time::BootTime;
use crate::time::clock::HostClock;

/// How long it may take: cloud providers' programs start an interpreter and call a service.
const LIMIT: Duration = Duration::from_secs(20);

/// The longest output: tokens are a few kilobytes long.
const MAX_OUTPUT: u64 = 64 * 1024;

/// How long a token is used, whatever lifetime it states: EKS's is valid for 15 minutes, and a
/// token that the server refuses is replaced by a new one.
const KEPT: Duration = Duration::from_secs(10 * 60);

/// The part of a kubeconfig's user that names the program.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exec {
    api_version: String,
    command: String,
    #[serde(default)]
    args: Option<Vec<String>>,
    #[serde(default)]
    env: Option<Vec<Variable>>,
}

#[derive(Clone, Debug, Deserialize)]
struct Variable {
    name: String,
    value: String,
}

#[derive(Deserialize)]
struct Credential {
    status: Option<Status>,
}

#[derive(Deserialize)]
struct Status {
    token: Option<String>,
}

/// The program, and its last token.
#[derive(Debug)]
pub struct Plugin {
    exec: Exec,
    last: Mutex<Option<(String, BootTime)>>,
}

/// A version of the protocol that is not spoken here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the exec plugin's version '{}' is not supported", .0.escape_debug())]
pub struct UnsupportedVersion(String);

/// A program printed no token. Its output is not repeated: it may be the token.
#[derive(Debug, thiserror::Error)]
#[error("'{}' {failure}", command.escape_debug())]
pub struct NoToken {
    command: String,
    #[source]
    failure: Failure,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("printed no token within {}s", LIMIT.as_secs())]
    Late,
    #[error("cannot be started: {0}")]
    Start(#[source] io::Error),
    #[error("cannot be read: {0}")]
    Read(#[source] io::Error),
    #[error("cannot be waited for: {0}")]
    Wait(#[source] io::Error),
    #[error("failed: {0}")]
    Exit(ExitStatus),
    #[error("printed no token")]
    NoToken,
}

impl Plugin {
    /// Does not run the program yet.
    ///
    /// # Errors
    ///
    /// When it speaks another version of the protocol.
    pub fn new(exec: Exec) -> Result<Self, UnsupportedVersion> {
        let known = ["client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"];
        if !known.contains(&exec.api_version.as_str()) {
            return Err(UnsupportedVersion(exec.api_version));
        }
        Ok(Self { exec, last: Mutex::new(None) })
    }

    /// The last token, or a new one. One run at a time: the others wait for it.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub async fn token(&self) -> Result<String, NoToken> {
        let mut last = self.last.lock().await;
        let now = HostClock::boot();
        if let Some((token, since)) = &*last
            && now < *since + KEPT
        {
            return Ok(token.clone());
        }
        let token = tokio::time::timeout(LIMIT, self.run()).await;
        let token = token.unwrap_or(Err(Failure::Late));
        let token =
            token.map_err(|failure| NoToken { command: self.exec.command.clone(), failure })?;
        *last = Some((token.clone(), now));
        Ok(token)
    }

    /// Requests a new one the next time.
    pub async fn forget(&self) {
        *self.last.lock().await = None;
    }

    async fn run(&self) -> Result<String, Failure> {
        let Exec { api_version, command, args, env } = &self.exec;
        let info = serde_json::json!({
            "apiVersion": api_version, "kind": "ExecCredential", "spec": { "interactive": false },
        });
        let mut program = Command::new(command);
        program.args(args.iter().flatten()).env("KUBERNETES_EXEC_INFO", info.to_string());
        program.envs(env.iter().flatten().map(|Variable { name, value }| (name, value)));
        program.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = program.kill_on_drop(true).spawn().map_err(Failure::Start)?;
        let mut output = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            let read = stdout.take(MAX_OUTPUT).read_to_end(&mut output).await;
            read.map_err(Failure::Read)?;
        }
        let status = child.wait().await.map_err(Failure::Wait)?;
        if !status.success() {
            return Err(Failure::Exit(status));
        }
        let credential: Result<Credential, _> = serde_json::from_slice(&output);
        let token = credential.ok().and_then(|found| found.status).and_then(|status| status.token);
        token.filter(|token| !token.is_empty()).ok_or(Failure::NoToken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugin(script: &str) -> Plugin {
        let version = "client.authentication.k8s.io/v1".to_owned();
        let args = Some(vec!["-c".to_owned(), script.to_owned()]);
        let exec = Exec { api_version: version, command: "sh".to_owned(), args, env: None };
        Plugin::new(exec).unwrap()
    }

    #[tokio::test]
    async fn the_error_about_a_token_does_not_contain_the_output() {
        for (script, words) in [
            ("echo hunter2; exit 7", "'sh' failed: exit status: 7"),
            ("echo hunter2", "'sh' printed no token"),
            (r#"echo '{"status":{"token":""}}'"#, "'sh' printed no token"),
        ] {
            assert_eq!(plugin(script).token().await.unwrap_err().to_string(), words);
        }
        let mut missing = plugin("");
        missing.exec.command = "/nowhere/aws\n".to_owned();
        let error = missing.token().await.unwrap_err().to_string();
        let words = r"'/nowhere/aws\n' cannot be started: No such file or directory";
        assert!(error.starts_with(words), "{error}");
        let late = NoToken { command: "aws".to_owned(), failure: Failure::Late };
        assert_eq!(late.to_string(), "'aws' printed no token within 20s");
        let other = Plugin::new(Exec { api_version: "v2\n".to_owned(), ..plugin("").exec });
        let words = r"the exec plugin's version 'v2\n' is not supported";
        assert_eq!(other.unwrap_err().to_string(), words);
    }
}
