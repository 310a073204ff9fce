//! The source of credentials, in the order of the SDK's standard chain: for messages, and for the
//! one part of that chain that this program implements itself, `credential_process`.

use std::fmt;
use std::path::PathBuf;
use std::time::SystemTime;

use aws_config::profile::{self, Profile, ProfileSet};
use aws_credential_types::Credentials;
use aws_runtime::env_config::file::{
    EnvConfigFileKind as ProfileFileKind, EnvConfigFiles as ProfileFiles,
};
use aws_types::os_shim_internal::{Env, Fs};

/// The name of the profile with a command's output. No user's file has this name.
const PRINTED: &str = "bellwether-credential-process";

/// The issuer of the credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialsSource {
    /// `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`.
    Environment,
    /// The shared files.
    Profile {
        /// Which of their profiles.
        name: String,
        /// The command that it, or the one that its role is assumed from, names.
        process: Option<Process>,
    },
    /// A token of the cluster's, for which STS gives credentials.
    WebIdentity,
    /// ECS, or EKS pod identity.
    Container,
    /// EC2.
    Instance,
}

/// A `credential_process`.
#[derive(Clone, PartialEq, Eq)]
pub struct Process {
    /// The command, which may have secrets in it.
    pub command: String,
    /// The profile that assumes a role with its output; none if the output is used directly.
    pub assumed_by: Option<String>,
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").finish_non_exhaustive()
    }
}

impl fmt::Display for CredentialsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment => f.write_str("the environment"),
            Self::Profile { name, process } => {
                let what = if process.is_some() { "the credential_process of " } else { "" };
                write!(f, "{what}profile '{}'", name.escape_debug())
            }
            Self::WebIdentity => f.write_str("AWS_WEB_IDENTITY_TOKEN_FILE and STS"),
            Self::Container => f.write_str("the container credentials endpoint"),
            Self::Instance => f.write_str("the instance metadata service"),
        }
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Determines the issuer of the credentials. `profile` is the profile that the URL names.
pub async fn find(profile: Option<&str>) -> CredentialsSource {
    if variable("AWS_ACCESS_KEY_ID").is_some() && variable("AWS_SECRET_ACCESS_KEY").is_some() {
        return CredentialsSource::Environment;
    }
    let named = profile.map(str::to_owned).or_else(|| variable("AWS_PROFILE"));
    let name = named.clone().unwrap_or_else(|| "default".to_owned());
    let files = ProfileFiles::default();
    let selected = Some(name.clone().into());
    match profile::load(&Fs::real(), &Env::real(), &files, selected).await {
        Ok(profiles) => {
            let has_credentials = profiles.get_profile(&name).is_some_and(has_credentials);
            if named.is_some() || has_credentials {
                let process = process(&profiles, &name);
                return CredentialsSource::Profile { name, process };
            }
        }
        // The SDK reports the error in it.
        Err(_) => return CredentialsSource::Profile { name, process: None },
    }
    if variable("AWS_WEB_IDENTITY_TOKEN_FILE").is_some() {
        return CredentialsSource::WebIdentity;
    }
    let container =
        ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"];
    if container.iter().any(|name| variable(name).is_some()) {
        return CredentialsSource::Container;
    }
    CredentialsSource::Instance
}

fn has_credentials(profile: &Profile) -> bool {
    ["aws_access_key_id", "role_arn", "credential_process", "sso_session", "sso_start_url"]
        .iter()
        .any(|key| profile.get(key).is_some())
}

/// The command at the end of a chain of roles, found as the SDK finds it.
fn process(profiles: &ProfileSet, name: &str) -> Option<Process> {
    let (mut name, mut assumed_by) = (name.to_owned(), None);
    // Longer chains are loops.
    for _ in 0..16 {
        let profile = profiles.get_profile(&name)?;
        let has = |key: &str| profile.get(key).is_some();
        let static_keys = has("aws_access_key_id") && has("aws_secret_access_key");
        if has("credential_source") || (assumed_by.is_some() && static_keys) {
            return None;
        }
        let source = profile.get("source_profile").unwrap_or_default().to_owned();
        let is_role = has("role_arn") && !has("web_identity_token_file");
        let is_last = !is_role || assumed_by.as_deref() == Some(name.as_str());
        if is_last {
            let comes_first = ["web_identity_token_file", "sso_session", "sso_start_url"];
            if comes_first.iter().any(|key| has(key)) {
                return None;
            }
            let command = profile.get("credential_process")?.to_owned();
            return Some(Process { command, assumed_by });
        }
        assumed_by = Some(name);
        name = source;
    }
    None
}

/// The shared files, with a command's output in place of the command.
pub fn files_with(printed: &Credentials, assumed_by: &str) -> ProfileFiles {
    let keys = [
        ("aws_access_key_id", Some(printed.access_key_id())),
        ("aws_secret_access_key", Some(printed.secret_access_key())),
        ("aws_session_token", printed.session_token()),
    ];
    let mut text = format!("[profile {PRINTED}]\n");
    for (key, value) in keys {
        if let Some(value) = value {
            text.push_str(&format!("{key} = {value}\n"));
        }
    }
    text.push_str(&format!("[profile {assumed_by}]\nsource_profile = {PRINTED}\n"));
    ProfileFiles::builder()
        .include_default_config_file(true)
        .include_default_credentials_file(true)
        .with_contents(ProfileFileKind::Config, text)
        .build()
}

/// The signs that one of the shared files has changed.
pub type Stamp = Vec<Option<(SystemTime, u64, u64)>>;

/// Checks the shared files. Blocks, on a network file system for long.
pub fn stamp() -> Stamp {
    use std::os::unix::fs::MetadataExt as _;
    let home = variable("HOME").map(PathBuf::from).unwrap_or_default();
    let at = |name: &str, usual: &str| {
        let path = variable(name).map_or_else(|| home.join(usual), PathBuf::from);
        let rest = path.strip_prefix("~").map(|rest| home.join(rest));
        rest.unwrap_or(path)
    };
    [("AWS_CONFIG_FILE", ".aws/config"), ("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials")]
        .into_iter()
        .map(|(name, usual)| {
            let metadata = std::fs::metadata(at(name, usual)).ok()?;
            Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn profiles(files: &ProfileFiles) -> ProfileSet {
        let env = Env::from_slice(&[]);
        profile::load(&Fs::from_slice(&[]), &env, files, None).await.unwrap()
    }

    async fn found(text: &str, name: &str) -> Option<(String, Option<String>)> {
        let files = ProfileFiles::builder().with_contents(ProfileFileKind::Config, text).build();
        let found = process(&profiles(&files).await, name)?;
        Some((found.command, found.assumed_by))
    }

    #[tokio::test]
    async fn a_command_is_found_where_the_sdk_would_run_it() {
        let direct = "[profile a]\ncredential_process = cmd x\naws_access_key_id = 1\n\
                      aws_secret_access_key = 2\n";
        assert_eq!(found(direct, "a").await, Some(("cmd x".to_owned(), None)));
        assert_eq!(found(direct, "b").await, None);
        let role = "[profile a]\nrole_arn = r\nsource_profile = b\n";
        let base = "[profile b]\ncredential_process = cmd\n";
        let chained = found(&format!("{role}{base}"), "a").await;
        assert_eq!(chained, Some(("cmd".to_owned(), Some("a".to_owned()))));
        let keys = format!("{role}{base}aws_access_key_id = 1\naws_secret_access_key = 2\n");
        assert_eq!(found(&keys, "a").await, None, "keys come first in a source");
        let itself = "[profile a]\nrole_arn = r\nsource_profile = a\ncredential_process = cmd\n";
        assert_eq!(found(itself, "a").await, Some(("cmd".to_owned(), Some("a".to_owned()))));
        let turn = "[profile a]\nrole_arn = r\nsource_profile = b\n\
                    [profile b]\nrole_arn = r\nsource_profile = a\n";
        assert_eq!(found(turn, "a").await, None);
        let sso = "[profile a]\nsso_session = s\ncredential_process = cmd\n";
        assert_eq!(found(sso, "a").await, None);
    }

    #[tokio::test]
    async fn the_output_of_a_command_replaces_the_command() {
        let printed = Credentials::new("id", "secret", Some("token".to_owned()), None, "test");
        let set = profiles(&files_with(&printed, "a")).await;
        assert_eq!(set.get_profile("a").unwrap().get("source_profile"), Some(PRINTED));
        let keys = set.get_profile(PRINTED).unwrap();
        assert_eq!(keys.get("aws_access_key_id"), Some("id"));
        assert_eq!(keys.get("aws_session_token"), Some("token"));
    }
}
