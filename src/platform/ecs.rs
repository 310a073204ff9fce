//! ECS: the task metadata endpoint, version 4.

use hyper::{Method, StatusCode};
use serde::Deserialize;

use super::surroundings::Surroundings;
use crate::http_client::{self, HttpError, HttpUrl, InvalidUrl};

/// Set by ECS in every container, to a URL of that container's own.
pub const VARIABLE: &str = "ECS_CONTAINER_METADATA_URI_V4";

/// The longest description of a task that is read. A task has ten containers at most, and each
/// takes a few kilobytes, most of them labels.
const MAX_TASK: usize = 256 * 1024;

/// The metadata endpoint of this task.
#[derive(Clone, Debug)]
pub struct Metadata(HttpUrl);

/// Why the endpoint does not say.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// Its address is no URL.
    #[error("{VARIABLE} is not a URL that can be used")]
    Address(#[source] InvalidUrl),
    /// It does not answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// It answers with this status.
    #[error("status {0}")]
    Status(StatusCode),
    /// Its answer is not one about a task.
    #[error("its response is not valid: {0}")]
    Malformed(#[source] serde_json::Error),
}

impl MetadataError {
    /// Whether a later request may succeed: the agent that responds may restart, or be overloaded.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Http(HttpError::Request(_) | HttpError::TooLong(_)) => false,
            Self::Http(_) => true,
            Self::Status(status) => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            Self::Address(_) | Self::Malformed(_) => false,
        }
    }
}

/// What the endpoint says of the task. Nothing of it is always there.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Task {
    /// The name of the task in all of AWS.
    #[serde(rename = "TaskARN")]
    pub task_arn: Option<String>,
    /// The cluster, as an ARN or a short name.
    pub cluster: Option<String>,
    /// The task definition's family.
    pub family: Option<String>,
    /// The task definition's revision.
    pub revision: Option<String>,
    /// The containers of the task, this one included.
    #[serde(default)]
    pub containers: Vec<Container>,
}

/// What the endpoint says of the container that this process runs in.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Own {
    /// The digest of its image.
    #[serde(rename = "ImageID")]
    pub image_id: Option<String>,
}

/// A container of the task.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Container {
    /// Its name in the task definition.
    #[serde(default)]
    pub name: String,
    /// `RUNNING`, `STOPPED` and others.
    #[serde(default)]
    pub known_status: String,
    /// If it has a health check.
    #[serde(alias = "health")]
    pub health: Option<Health>,
}

/// What is wrong with a container.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContainerFailure {
    /// The task has none of that name.
    #[error(
        "the task has no container '{}', it has: {}",
        name.escape_debug(),
        known.join(", ").escape_debug()
    )]
    Missing {
        /// The name.
        name: String,
        /// Those that it has.
        known: Vec<String>,
    },
    /// It does not run.
    #[error("container '{name}' is {}", shown(status))]
    NotRunning {
        /// Its name.
        name: String,
        /// What ECS says instead.
        status: String,
    },
    /// It runs, and its health check does not succeed.
    #[error("container '{name}' runs, but is {}", shown(status))]
    Unhealthy {
        /// Its name.
        name: String,
        /// What ECS says of the health check.
        status: String,
    },
}

fn shown(status: &str) -> String {
    if status.is_empty() {
        "of unknown status".to_owned()
    } else {
        status.escape_debug().to_string()
    }
}

/// How a container's health check went.
#[derive(Clone, Debug, Deserialize)]
pub struct Health {
    /// `HEALTHY`, `UNHEALTHY` or `UNKNOWN`.
    #[serde(alias = "Status", default)]
    pub status: String,
}

impl Metadata {
    /// The endpoint, if this is ECS.
    ///
    /// # Errors
    ///
    /// When the variable is not a URL.
    pub fn here(surroundings: Surroundings<'_>) -> Option<Result<Self, MetadataError>> {
        let url = surroundings.var(VARIABLE)?;
        Some(url.parse().map(Self).map_err(MetadataError::Address))
    }

    /// Asks for this container.
    ///
    /// # Errors
    ///
    /// Why there is no answer.
    pub async fn container(&self) -> Result<Own, MetadataError> {
        self.get("").await
    }

    /// Asks for the task.
    ///
    /// # Errors
    ///
    /// Why there is no answer.
    pub async fn task(&self) -> Result<Task, MetadataError> {
        self.get("/task").await
    }

    async fn get<A: serde::de::DeserializeOwned>(&self, path: &str) -> Result<A, MetadataError> {
        let request = http_client::request(Method::GET, &self.0.below(path));
        let response = http_client::fetch(&self.0, request, String::new(), MAX_TASK).await?;
        if !response.status.is_success() {
            return Err(MetadataError::Status(response.status));
        }
        serde_json::from_slice(&response.body).map_err(MetadataError::Malformed)
    }
}

/// In the ARN of a task: `arn:aws:ecs:REGION:ACCOUNT:task/CLUSTER/ID`, in older accounts `task/ID`.
const IN_ARN: &str = ":task/";

impl Task {
    /// The last part of its ARN, which ECS makes at random: no two tasks share it, of whatever cluster.
    pub fn id(&self) -> Option<&str> {
        let (_, path) = self.task_arn.as_deref()?.split_once(IN_ARN)?;
        path.rsplit('/').next()
    }

    /// The cluster's ARN. Depending on its version, ECS provides it or the short name; the task's ARN
    /// has the other parts.
    pub fn cluster_arn(&self) -> Option<String> {
        let cluster = self.cluster.as_deref().filter(|cluster| !cluster.is_empty())?;
        let name = cluster.rsplit('/').next()?;
        let place = self.task_arn.as_deref().and_then(|arn| arn.split_once(IN_ARN));
        Some(match place {
            Some((place, _)) => format!("{place}:cluster/{name}"),
            None => cluster.to_owned(),
        })
    }

    /// Whether the container of that name runs and is well.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn is_well(&self, name: &str) -> Result<(), ContainerFailure> {
        let found = self.containers.iter().find(|container| container.name == name);
        let name = name.to_owned();
        let Some(Container { known_status, health, .. }) = found else {
            let known = self.containers.iter().map(|container| container.name.clone()).collect();
            return Err(ContainerFailure::Missing { name, known });
        };
        if known_status != "RUNNING" {
            return Err(ContainerFailure::NotRunning { name, status: known_status.clone() });
        }
        match health {
            Some(Health { status }) if status != "HEALTHY" => {
                Err(ContainerFailure::Unhealthy { name, status: status.clone() })
            }
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_agent_does_not_say_for_now_may_pass() {
        let status = |code: u16| MetadataError::Status(StatusCode::from_u16(code).unwrap());
        for code in [429, 500, 503] {
            assert!(status(code).may_pass(), "{code}");
        }
        for code in [400, 403, 404] {
            assert!(!status(code).may_pass(), "{code}");
        }
        assert!(!MetadataError::from(HttpError::TooLong(1)).may_pass());
    }

    #[test]
    fn a_task_has_a_short_name_and_its_cluster_one_whichever_form_ecs_gives() {
        let cluster = "arn:aws:ecs:eu-west-1:123456789012:cluster/prod";
        for (arn, form) in
            [("task/prod/0a1b", "prod"), ("task/prod/0a1b", cluster), ("task/0a1b", "prod")]
        {
            let arn = format!("arn:aws:ecs:eu-west-1:123456789012:{arn}");
            let (task_arn, cluster_given) = (Some(arn), Some(form.to_owned()));
            let task = Task { task_arn, cluster: cluster_given, ..Task::default() };
            assert_eq!(task.id(), Some("0a1b"));
            assert_eq!(task.cluster_arn().as_deref(), Some(cluster));
        }
        let nameless = Task { cluster: Some(cluster.to_owned()), ..Task::default() };
        assert_eq!((nameless.id(), nameless.cluster_arn().as_deref()), (None, Some(cluster)));
        assert_eq!(Task::default().cluster_arn(), None);
    }

    fn well(container: &str) -> Result<(), ContainerFailure> {
        let task = format!(r#"{{"Containers":[{{"Name":"sidecar"}},{container}]}}"#);
        serde_json::from_str::<Task>(&task).unwrap().is_well("app")
    }

    #[test]
    fn a_container_is_well_if_it_runs_and_its_health_check_says_so() {
        well(r#"{"Name":"app","KnownStatus":"RUNNING"}"#).unwrap();
        well(r#"{"Name":"app","KnownStatus":"RUNNING","Health":{"status":"HEALTHY"}}"#).unwrap();
        for (container, word) in [
            (
                r#"{"Name":"app","KnownStatus":"STOPPED","ExitCode":1}"#,
                "container 'app' is STOPPED",
            ),
            (r#"{"Name":"app","KnownStatus":"STOPPED","Health":{"status":"HEALTHY"}}"#, "STOPPED"),
            (
                r#"{"Name":"app","KnownStatus":"RUNNING","Health":{"status":"UNHEALTHY"}}"#,
                "container 'app' runs, but is UNHEALTHY",
            ),
            (r#"{"Name":"app","KnownStatus":"RUNNING","Health":{"status":"UNKNOWN"}}"#, "UNKNOWN"),
            (
                r#"{"Name":"app","KnownStatus":"RUNNING","Health":{}}"#,
                "container 'app' runs, but is of unknown status",
            ),
            (r#"{"Name":"app"}"#, "container 'app' is of unknown status"),
            (
                r#"{"Name":"web","KnownStatus":"RUNNING"}"#,
                "the task has no container 'app', it has: sidecar, web",
            ),
        ] {
            let error = well(container).unwrap_err().to_string();
            assert!(error.contains(word), "{container}: {error}");
        }
    }
}
