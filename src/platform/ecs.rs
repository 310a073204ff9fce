//! ECS: the task metadata endpoint, version 4.

use hyper::Method;
use serde::Deserialize;

use super::surroundings::Surroundings;
use crate::http_client::{self, HttpUrl};

/// Set by ECS in every container, to a URL of that container's own.
pub const VARIABLE: &str = "ECS_CONTAINER_METADATA_URI_V4";

/// The longest description of a task that is read. A task has ten containers at most, and each
/// takes a few kilobytes, most of them labels.
const MAX_TASK: usize = 256 * 1024;

/// The metadata endpoint of this task.
#[derive(Clone, Debug)]
pub struct Metadata(HttpUrl);

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
    pub fn here(surroundings: Surroundings<'_>) -> Option<Result<Self, String>> {
        let url = surroundings.var(VARIABLE)?;
        Some(
            url.parse().map(Self).map_err(|_| format!("{VARIABLE} is not a URL that can be asked")),
        )
    }

    /// Asks for the task.
    ///
    /// # Errors
    ///
    /// Why there is no answer, in words.
    pub async fn task(&self) -> Result<Task, String> {
        let request = http_client::request(Method::GET, &self.0.below("/task"));
        let response = http_client::fetch(&self.0, request, String::new(), MAX_TASK).await?;
        if !response.status.is_success() {
            return Err(format!("status {}", response.status));
        }
        serde_json::from_slice(&response.body)
            .map_err(|error| format!("it does not make sense: {error}"))
    }
}

impl Task {
    /// Whether the container of that name runs and is well.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words.
    pub fn is_well(&self, name: &str) -> Result<(), String> {
        let Some(container) = self.containers.iter().find(|container| container.name == name)
        else {
            let known: Vec<_> = self.containers.iter().map(|c| c.name.as_str()).collect();
            return Err(format!(
                "the task has no container '{}', it has: {}",
                name.escape_debug(),
                known.join(", ").escape_debug()
            ));
        };
        if container.known_status != "RUNNING" {
            return Err(format!("container '{name}' is {}", shown(&container.known_status)));
        }
        match &container.health {
            Some(health) if health.status != "HEALTHY" => {
                Err(format!("container '{name}' runs, but is {}", shown(&health.status)))
            }
            Some(_) | None => Ok(()),
        }
    }
}

fn shown(status: &str) -> String {
    if status.is_empty() {
        "of unknown status".to_owned()
    } else {
        status.escape_debug().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn well(container: &str) -> Result<(), String> {
        let task = format!(r#"{{"Containers":[{{"Name":"sidecar"}},{container}]}}"#);
        serde_json::from_str::<Task>(&task).unwrap().is_well("app")
    }

    #[test]
    fn a_container_is_well_if_it_runs_and_its_health_check_says_so() {
        well(r#"{"Name":"app","KnownStatus":"RUNNING"}"#).unwrap();
        well(r#"{"Name":"app","KnownStatus":"RUNNING","Health":{"status":"HEALTHY"}}"#).unwrap();
        for (container, word) in [
            (r#"{"Name":"app","KnownStatus":"STOPPED","ExitCode":1}"#, "STOPPED"),
            (r#"{"Name":"app","KnownStatus":"STOPPED","Health":{"status":"HEALTHY"}}"#, "STOPPED"),
            (
                r#"{"Name":"app","KnownStatus":"RUNNING","Health":{"status":"UNHEALTHY"}}"#,
                "UNHEALTHY",
            ),
            (r#"{"Name":"app","KnownStatus":"RUNNING","Health":{"status":"UNKNOWN"}}"#, "UNKNOWN"),
            (r#"{"Name":"app","KnownStatus":"RUNNING","Health":{}}"#, "of unknown status"),
            (r#"{"Name":"app"}"#, "of unknown status"),
            (r#"{"Name":"web","KnownStatus":"RUNNING"}"#, "it has: sidecar, web"),
        ] {
            let error = well(container).unwrap_err();
            assert!(error.contains(word), "{container}: {error}");
        }
    }
}
