//! `credential_process`: a command of the user's that prints credentials.
//!
//! The SDK's own runner leaves a hanging command behind, and reads output of any length.

use aws_credential_types::Credentials;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format::DateTimeWithOffset;
use serde::Deserialize;
use tokio::process::Command;

use crate::store::printed;

/// Why a command gave no credentials. Its output is not repeated, because it may contain secrets.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// It printed nothing, or failed.
    #[error("its command {0}")]
    Command(#[from] printed::Failed),
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
    let output = printed::output(Command::new("sh").args(["-c", command])).await?;
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
}
