//! Who this instance is.

use std::time::Duration;

use uuid::Uuid;

use crate::election::lease::Candidate;
use crate::election::text::{self, MAX_LINE};
use crate::platform::kubernetes::{self, Pod};
use crate::platform::surroundings::Surroundings;
use crate::platform::{ec2, ecs};

/// How long the platform may take to name this instance. Its metadata services are on the same host
/// and answer in milliseconds; a start is never held up for two seconds by a name.
const LIMIT: Duration = Duration::from_millis(1_500);

/// Why a text cannot be an identity.
#[derive(Debug, thiserror::Error)]
#[error("'{0}' cannot be an identity; use 1 to {MAX_LINE} printable characters")]
pub struct InvalidIdentity(String);

/// Checks an identity that a person chose.
///
/// # Errors
///
/// When it is empty, too long, or would break the line that shows it.
pub fn parse(text: &str) -> Result<String, InvalidIdentity> {
    let printable = !text.trim().is_empty() && text::is_line(text);
    if printable && text.chars().count() <= text::MAX_LINE {
        Ok(text.to_owned())
    } else {
        Err(InvalidIdentity(text::given(text)))
    }
}

/// The identity of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// As it stands in answers and records.
    pub name: String,
    /// Who gave it, if it was not a person.
    pub from: Option<IdentitySource>,
}

/// Who gave an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentitySource {
    /// The id of the ECS task.
    Ecs {
        /// Its whole ARN.
        task: String,
        /// What it was made from: `FAMILY:REVISION`, as far as ECS reports it.
        definition: String,
    },
    /// The pod's name.
    Kubernetes {
        /// Where the pod is, if that is known.
        namespace: Option<String>,
    },
    /// The EC2 instance's id.
    Ec2,
    /// The host's name.
    Host,
}

impl Identity {
    /// What a person chose, or what the surroundings show. Takes less than two seconds.
    pub async fn settle(chosen: Option<String>, surroundings: Surroundings<'_>) -> Self {
        match chosen {
            Some(name) => Self { name, from: None },
            None => find(surroundings, &hostname()).await,
        }
    }

    /// Logs where it was found. Texts of a platform are printable: see [`find`].
    pub fn announce(&self) {
        let Some(source) = &self.from else { return };
        let (mut task, mut definition, mut namespace) = (None, None, None);
        let from = match source {
            IdentitySource::Ecs { task: arn, definition: made_from } => {
                (task, definition) = (Some(arn.as_str()), Some(made_from.as_str()));
                "ECS task"
            }
            IdentitySource::Kubernetes { namespace: place } => {
                namespace = place.as_deref();
                "Kubernetes pod"
            }
            IdentitySource::Ec2 => "EC2 instance",
            IdentitySource::Host => "host name",
        };
        tracing::info!(
            identity = self.name,
            from,
            task,
            definition,
            namespace,
            event = "identity_found",
            "identity found"
        );
    }
}

/// Why a platform does not name this instance.
#[derive(Debug, thiserror::Error)]
enum NoIdentity {
    #[error("ECS: {0}")]
    Ecs(#[from] ecs::MetadataError),
    #[error("ECS: it gives no TaskARN")]
    NoTaskArn,
    #[error("EC2: {0}")]
    Ec2(#[from] ec2::MetadataError),
    #[error("its metadata service did not respond within {}", humantime::format_duration(LIMIT))]
    Late,
    #[error("its response is not a valid identity")]
    NotPrintable,
}

/// Asks the first platform that this is. If it does not name this instance, the host's name has to
/// do: another platform would name something else, such as the EC2 instance of an ECS task.
async fn find(surroundings: Surroundings<'_>, hostname: &str) -> Identity {
    let found = tokio::time::timeout(LIMIT, detect(surroundings, hostname)).await;
    let found = match found {
        Ok(None) => None,
        Ok(Some(Ok(found))) if parse(&found.name).is_ok() => Some(Ok(found)),
        Ok(Some(Ok(_))) => Some(Err(NoIdentity::NotPrintable)),
        Ok(Some(Err(why))) => Some(Err(why)),
        Err(_) => Some(Err(NoIdentity::Late)),
    };
    let found = found.and_then(|found| found.inspect_err(warn).ok());
    found.unwrap_or_else(|| Identity {
        name: named_by_host(hostname),
        from: Some(IdentitySource::Host),
    })
}

/// In containers and on phones, the name of a host can be any text, or empty.
fn named_by_host(hostname: &str) -> String {
    parse(hostname).unwrap_or_else(|_| {
        let name = format!("host-{:08x}", fastrand::u32(..));
        tracing::warn!(
            name,
            event = "identity_random",
            "using a random identity, because the name of this host is not a valid one; choose \
             another with --identity"
        );
        name
    })
}

fn warn(why: &NoIdentity) {
    tracing::warn!(
        why = why.to_string(),
        event = "identity_fallback",
        "using the host name, because the platform gives no identity; choose another with \
         --identity"
    );
}

/// What the platform reports, if there is one.
async fn detect(
    surroundings: Surroundings<'_>,
    hostname: &str,
) -> Option<Result<Identity, NoIdentity>> {
    if let Some(metadata) = ecs::Metadata::here(surroundings) {
        return Some(on_ecs(metadata).await);
    }
    if let Some(Pod { name, namespace }) = kubernetes::pod(surroundings, hostname) {
        let namespace = namespace.as_deref().map(text::line);
        return Some(Ok(Identity { name, from: Some(IdentitySource::Kubernetes { namespace }) }));
    }
    let metadata = ec2::Metadata::here(surroundings)?;
    Some(on_ec2(metadata).await)
}

async fn on_ecs(
    metadata: Result<ecs::Metadata, ecs::MetadataError>,
) -> Result<Identity, NoIdentity> {
    let task = metadata?.task().await?;
    let name = task.id().ok_or(NoIdentity::NoTaskArn)?.to_owned();
    let arn = text::line(task.task_arn.as_deref().unwrap_or_default());
    let definition = [task.family, task.revision].into_iter().flatten().collect::<Vec<_>>();
    let definition = text::line(&definition.join(":"));
    Ok(Identity { name, from: Some(IdentitySource::Ecs { task: arn, definition }) })
}

async fn on_ec2(
    metadata: Result<ec2::Metadata, ec2::MetadataError>,
) -> Result<Identity, NoIdentity> {
    Ok(Identity { name: metadata?.instance_id().await?, from: Some(IdentitySource::Ec2) })
}

/// The name of this host.
pub fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// A candidate with this identity and an incarnation of its own.
pub fn candidate(identity: String) -> Candidate {
    Candidate { identity, incarnation: incarnation() }
}

/// Random, from the system's own source: the state of this process may have been copied.
pub fn incarnation() -> String {
    Uuid::new_v4().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_printable() {
        assert_eq!(parse("web-0 (eu)").unwrap(), "web-0 (eu)");
        for bad in ["", "a\nb", "\u{7}", &"x".repeat(257)] {
            assert!(parse(bad).unwrap_err().to_string().contains("printable"));
        }
    }

    #[test]
    fn every_start_is_a_new_incarnation() {
        assert_ne!(candidate(hostname()), candidate(hostname()));
    }
}
