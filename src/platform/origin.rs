//! Where this process runs: its environment, and on ECS its task there.

use std::time::Duration;

use super::surroundings::Surroundings;
use super::{beanstalk, ecs, kubernetes};
use crate::election::lease::{ECS_TASK, Origin};

/// How long the platform may take to answer: its services are on the same host, and a start waits
/// no longer than this for a text that is only used for a warning.
const LIMIT: Duration = Duration::from_millis(1_500);

/// Why a platform does not say which environment this is.
#[derive(Debug, thiserror::Error)]
enum NoOrigin {
    #[error(transparent)]
    Ecs(#[from] ecs::MetadataError),
    #[error("no cluster")]
    NoCluster,
    #[error(transparent)]
    Beanstalk(#[from] beanstalk::DeploymentError),
}

/// The ECS task, the Kubernetes namespace or the Beanstalk environment; none elsewhere, and none
/// if the platform does not provide it.
pub async fn find(surroundings: Surroundings<'_>) -> Option<Origin> {
    match tokio::time::timeout(LIMIT, detect(surroundings)).await.ok()?? {
        Ok(text) => Origin::new(text),
        Err(why) => {
            let why = why.to_string();
            tracing::debug!(why, "the platform does not name the environment");
            None
        }
    }
}

async fn detect(surroundings: Surroundings<'_>) -> Option<Result<String, NoOrigin>> {
    if let Some(metadata) = ecs::Metadata::here(surroundings) {
        return Some(async { of_task(&metadata?.task().await?).ok_or(NoOrigin::NoCluster) }.await);
    }
    if let Some(pod) = kubernetes::pod(surroundings, "") {
        return Some(Ok(format!("Kubernetes namespace {}", pod.namespace?)));
    }
    let deployment = beanstalk::Deployment::here(surroundings)?;
    let environment = deployment.environment().map_err(NoOrigin::from);
    Some(environment.map(|name| format!("Beanstalk environment {name}")))
}

/// The task's ARN, of the form that has the cluster in it, which older accounts do not use.
fn of_task(task: &ecs::Task) -> Option<String> {
    let cluster = task.cluster_arn()?;
    Some(match (task.id(), cluster.split_once(":cluster/")) {
        (Some(id), Some((place, name))) => format!("{ECS_TASK}{place}:task/{name}/{id}"),
        _ => format!("ECS cluster {cluster}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    #[test]
    fn a_task_is_named_whole_and_its_environment_is_the_cluster() {
        let place = "arn:aws:ecs:eu-west-1:123456789012";
        let origin = |task_arn: Option<&str>| {
            let task_arn = task_arn.map(|end| format!("{place}:{end}"));
            let cluster = Some(format!("{place}:cluster/prod"));
            Origin::new(of_task(&ecs::Task { task_arn, cluster, ..ecs::Task::default() })?)
        };
        let (whole, short) = (origin(Some("task/prod/0a1b")), origin(Some("task/0a1b")));
        assert_eq!(whole.as_ref().unwrap().as_str(), format!("ECS task {place}:task/prod/0a1b"));
        assert_eq!(whole, short);
        let another = origin(Some("task/prod/2c3d")).unwrap();
        assert_eq!(another.environment(), whole.unwrap().environment());
        let nameless = origin(None).unwrap();
        assert_eq!(nameless.environment(), format!("ECS cluster {place}:cluster/prod"));
        assert_eq!(of_task(&ecs::Task::default()), None);
    }

    async fn found(variables: &[(&str, &str)], root: &Path) -> Option<String> {
        let env = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        find(Surroundings { env: &env, root }).await.map(|origin| origin.to_string())
    }

    #[tokio::test]
    async fn namespaces_and_environments_are_named() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(found(&[], root.path()).await, None);
        let pod = [("POD_NAME", "web-0"), ("POD_NAMESPACE", "staging")];
        let named = found(&pod, root.path()).await;
        assert_eq!(named.as_deref(), Some("Kubernetes namespace staging"));
        let folder = root.path().join("opt/elasticbeanstalk/deployment");
        fs::create_dir_all(&folder).unwrap();
        assert_eq!(found(&[], root.path()).await, None, "it does not say");
        let metadata =
            r#"{"EbResource":{"AWS::ElasticBeanstalk::Metadata":{"EnvironmentName":"web-prod"}}}"#;
        fs::write(folder.join("cfn-metadata-cache.json"), metadata).unwrap();
        let named = found(&[], root.path()).await;
        assert_eq!(named.as_deref(), Some("Beanstalk environment web-prod"));
    }
}
