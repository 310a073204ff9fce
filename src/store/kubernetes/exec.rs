//! A program that a kubeconfig names, which prints a token: how EKS, GKE and AKS log in.
//!
//! It may take longer than a call to the API server may. A call must not start it again each time, and must not fail
//! because of it while there is a token. So
//!
//! - a run is a task of its own, one at a time, and continues when a call gives up waiting;
//! - it begins before a token is too old, and that token serves until the server refuses it;
//! - a new session with the same program in its kubeconfig keeps the token;
//! - it has a time limit, and a pause follows a run that brought no new token.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::process::Command;
use tokio::sync::watch;

use crate::election::time::BootTime;
use crate::store::printed;
use crate::time::clock::HostClock;

/// How long it may take: cloud providers' programs start an interpreter and call a service.
const LIMIT: Duration = Duration::from_secs(20);

/// How old a token becomes before the program runs again, whatever lifetime it states: EKS's is valid for 15 minutes.
/// A token that the server refuses is replaced at once.
const RENEWED_AFTER: Duration = Duration::from_secs(10 * 60);

/// The pause after a run that brought no new token.
const PAUSE: Duration = Duration::from_secs(2);

/// The part of a kubeconfig's user that names the program.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exec {
    /// Required, and checked by [`Plugin::new`], whose error says more.
    #[serde(default)]
    api_version: String,
    command: String,
    #[serde(default)]
    args: Option<Vec<String>>,
    #[serde(default)]
    env: Option<Vec<Variable>>,
    /// Where the kubeconfig is: a path of the command with a slash is relative to it.
    #[serde(skip)]
    folder: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Variable {
    name: String,
    value: Option<String>,
}

#[derive(Deserialize)]
struct Credential {
    status: Option<Status>,
}

#[derive(Deserialize)]
struct Status {
    token: Option<String>,
}

/// The program, and its last token. Clones share both.
#[derive(Clone, Debug)]
pub struct Plugin(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    exec: Exec,
    state: watch::Sender<State>,
}

#[derive(Debug, Default)]
struct State {
    token: Option<String>,
    /// The server does not accept the token.
    refused: bool,
    /// When the next one is fetched.
    renews_at: BootTime,
    /// Why the last run brought none.
    failure: Option<Failure>,
    running: bool,
    not_before: BootTime,
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

#[derive(Clone, Debug, thiserror::Error)]
enum Failure {
    #[error("has not printed a token yet")]
    Waiting,
    #[error("printed no token within {}s", LIMIT.as_secs())]
    Late,
    #[error(transparent)]
    Command(#[from] printed::Failed),
    #[error("printed no token")]
    NoToken,
    #[error("printed a token with a line break or another invalid character")]
    Malformed,
}

impl Exec {
    /// As a kubeconfig in this folder names it.
    pub fn of(self, folder: &Path) -> Self {
        Self { folder: folder.to_owned(), ..self }
    }

    fn command(&self) -> PathBuf {
        // A name without a slash is looked up in PATH.
        match self.command.contains('/') {
            true => self.folder.join(&self.command),
            false => PathBuf::from(&self.command),
        }
    }

    async fn run(&self) -> Result<String, Failure> {
        let info = serde_json::json!({
            "apiVersion": self.api_version, "kind": "ExecCredential", "spec": { "interactive": false },
        });
        let mut program = Command::new(self.command());
        program.args(self.args.iter().flatten()).env("KUBERNETES_EXEC_INFO", info.to_string());
        let value = |value: &Option<String>| value.clone().unwrap_or_default();
        program.envs(self.env.iter().flatten().map(|set| (&set.name, value(&set.value))));
        let output = printed::output(&mut program).await?;
        let credential: Result<Credential, _> = serde_json::from_slice(&output);
        let token = credential.ok().and_then(|found| found.status).and_then(|status| status.token);
        let token = token.filter(|token| !token.is_empty()).ok_or(Failure::NoToken)?;
        // Kept, it would fail every request until the next run: it cannot be in a header.
        let is_plain = token.bytes().all(|byte| byte.is_ascii_graphic());
        if is_plain { Ok(token) } else { Err(Failure::Malformed) }
    }
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
        Ok(Self(Arc::new(Shared { exec, state: watch::Sender::default() })))
    }

    /// Whether both are the same program.
    pub fn is_like(&self, other: &Self) -> bool {
        self.0.exec == other.0.exec
    }

    /// The last token, or the first that arrives within this time.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub async fn token(&self, within: Duration) -> Result<String, NoToken> {
        let (now, mut begins) = (HostClock::boot(), false);
        self.0.state.send_modify(|state| begins = state.begins(now));
        if begins {
            let shared = Arc::clone(&self.0);
            tokio::spawn(async move { shared.run().await });
        }
        let mut states = self.0.state.subscribe();
        // Without it the answer says what was waited for.
        let _ = tokio::time::timeout(within, states.wait_for(State::is_settled)).await;
        let token = self.0.state.borrow().token();
        token.map_err(|failure| NoToken { command: self.0.exec.command.clone(), failure })
    }

    /// The server does not accept the last token.
    pub fn refused(&self) {
        self.0.state.send_modify(|state| state.refused = true);
    }
}

impl Shared {
    async fn run(&self) {
        let token = tokio::time::timeout(LIMIT, self.exec.run()).await;
        let token = token.unwrap_or(Err(Failure::Late));
        let now = HostClock::boot();
        self.state.send_modify(|state| state.take_in(token, now));
    }
}

impl State {
    fn begins(&mut self, now: BootTime) -> bool {
        let due = self.token.is_none() || self.refused || now >= self.renews_at;
        let begins = due && !self.running && now >= self.not_before;
        self.running |= begins;
        begins
    }

    fn take_in(&mut self, token: Result<String, Failure>, now: BootTime) {
        self.running = false;
        let is_new = token.as_ref().is_ok_and(|token| self.token.as_ref() != Some(token));
        self.not_before = if is_new { now } else { now + PAUSE };
        match token {
            Ok(token) => {
                (self.token, self.renews_at) = (Some(token), now + RENEWED_AFTER);
                (self.refused, self.failure) = (false, None);
            }
            Err(failure) => self.failure = Some(failure),
        }
    }

    /// Whether there is nothing to wait for.
    fn is_settled(&self) -> bool {
        !self.running || self.usable().is_some()
    }

    fn usable(&self) -> Option<&String> {
        self.token.as_ref().filter(|_| !self.refused)
    }

    fn token(&self) -> Result<String, Failure> {
        let failure = || self.failure.clone().unwrap_or(Failure::Waiting);
        self.usable().cloned().ok_or_else(failure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(60);

    fn plugin(script: &str) -> Plugin {
        let version = "client.authentication.k8s.io/v1".to_owned();
        let args = Some(vec!["-c".to_owned(), script.to_owned()]);
        Plugin::new(exec(&version, "sh", args)).unwrap()
    }

    fn exec(version: &str, command: &str, args: Option<Vec<String>>) -> Exec {
        let (api_version, command) = (version.to_owned(), command.to_owned());
        Exec { api_version, command, args, env: None, folder: PathBuf::new() }
    }

    fn at(seconds: u64) -> BootTime {
        BootTime::from_duration(Duration::from_secs(seconds))
    }

    #[tokio::test]
    async fn the_error_about_a_token_does_not_contain_the_output() {
        for (script, words) in [
            ("echo hunter2; exit 7", "'sh' ended with exit status: 7; run it by hand to see why"),
            ("echo hunter2", "'sh' printed no token"),
            (r#"echo '{"status":{"token":""}}'"#, "'sh' printed no token"),
            (
                r#"printf '%s' '{"status":{"token":"hunter2\n"}}'"#,
                "'sh' printed a token with a line break or another invalid character",
            ),
        ] {
            assert_eq!(plugin(script).token(SOON).await.unwrap_err().to_string(), words);
        }
        let known = "client.authentication.k8s.io/v1";
        let missing = Plugin::new(exec(known, "/nowhere/aws\n", None)).unwrap();
        let error = missing.token(SOON).await.unwrap_err().to_string();
        let words = r"'/nowhere/aws\n' cannot be started: No such file or directory";
        assert!(error.starts_with(words), "{error}");
        let late = NoToken { command: "aws".to_owned(), failure: Failure::Late };
        assert_eq!(late.to_string(), "'aws' printed no token within 20s");
        let other = Plugin::new(exec("v2\n", "sh", None));
        let words = r"the exec plugin's version 'v2\n' is not supported";
        assert_eq!(other.unwrap_err().to_string(), words);
    }

    #[tokio::test]
    async fn a_token_that_cannot_be_sent_is_not_kept() {
        for token in [r"a\n", r"a\r\nb", "a b", "ä"] {
            let plugin = plugin(&format!(r#"printf '%s' '{{"status":{{"token":"{token}"}}}}'"#));
            assert!(plugin.token(SOON).await.is_err(), "{token}");
            let mut state = State::default();
            plugin.0.state.send_modify(|shared| std::mem::swap(shared, &mut state));
            assert!(state.token.is_none() && state.not_before > BootTime::ZERO, "{token}");
            let again = state.not_before;
            assert!(state.begins(again), "after a pause, and not after ten minutes");
        }
    }

    #[tokio::test]
    async fn a_call_that_gives_up_does_not_end_the_program() {
        let folder = tempfile::tempdir().unwrap();
        let (go, runs) = (folder.path().join("go"), folder.path().join("runs"));
        let script = format!(
            r#"echo run >> {}; until [ -e {} ]; do sleep 0.01; done; echo '{{"status":{{"token":"t"}}}}'"#,
            runs.display(),
            go.display()
        );
        let plugin = plugin(&script);
        for _ in 0..3 {
            let error = plugin.token(Duration::from_millis(1)).await.unwrap_err().to_string();
            assert_eq!(error, "'sh' has not printed a token yet");
        }
        std::fs::write(&go, "").unwrap();
        assert_eq!(plugin.token(SOON).await.unwrap(), "t");
        assert_eq!(plugin.token(Duration::ZERO).await.unwrap(), "t");
        assert_eq!(std::fs::read_to_string(&runs).unwrap(), "run\n");
    }

    #[test]
    fn a_token_is_replaced_before_it_ends_and_serves_until_it_is_refused() {
        let mut state = State::default();
        assert!(state.begins(at(1)) && !state.begins(at(1)), "one at a time");
        state.take_in(Ok("a".to_owned()), at(5));
        assert!(!state.begins(at(604)) && state.begins(at(605)));
        assert!(state.is_settled() && state.token().is_ok_and(|token| token == "a"));
        state.take_in(Err(Failure::Late), at(625));
        assert!(state.token().is_ok_and(|token| token == "a"), "it may be valid for longer");
        assert!(!state.begins(at(626)) && state.begins(at(627)), "after a pause");
        state.take_in(Ok("b".to_owned()), at(630));
        state.refused = true;
        assert!(state.begins(at(631)) && !state.is_settled(), "calls wait for the next one");
        state.take_in(Ok("b".to_owned()), at(632));
        state.refused = true;
        assert!(!state.begins(at(633)) && state.begins(at(634)), "the same again");
    }

    #[test]
    fn a_command_with_a_slash_is_relative_to_its_kubeconfig() {
        let folder = Path::new("/home/me/.kube");
        for (command, path) in [
            ("aws", "aws"),
            ("./bin/token", "/home/me/.kube/./bin/token"),
            ("../token", "/home/me/.kube/../token"),
            ("/usr/bin/aws", "/usr/bin/aws"),
        ] {
            assert_eq!(exec("v1", command, None).of(folder).command(), Path::new(path));
        }
    }
}
