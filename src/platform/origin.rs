//! Where this process runs, in a text that is the same for all instances of one environment.

use std::time::Duration;

use super::surroundings::Surroundings;
use super::{beanstalk, ecs, kubernetes};
use crate::election::lease::Origin;

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

/// The ECS cluster, the Kubernetes namespace or the Beanstalk environment; none elsewhere, and none
/// if the platform does not provide it.
pub async fn find(surroundings: Surroundings<'_>) -> Option<Origin> {
    match tokio::time::timeout(LIMIT, detect(surroundings)).await.ok()?? {
        Ok(text) => Origin::new(text),
        Err(why) => {
            let why = why.to_string();
            tracing::debug!(why, "the platform does not say which environment this is");
            None
        }
    }
}

async fn detect(surroundings: Surroundings<'_>) -> Option<Result<String, NoOrigin>> {
    if let Some(metadata) = ecs::Metadata::here(surroundings) {
        let cluster = async { cluster(&metadata?.task().await?).ok_or(NoOrigin::NoCluster) };
        return Some(cluster.await.map(|cluster| format!("ECS cluster {cluster}")));
    }
    if let Some(pod) = kubernetes::pod(surroundings, "") {
        return Some(Ok(format!("Kubernetes namespace {}", pod.namespace?)));
    }
    let deployment = beanstalk::Deployment::here(surroundings)?;
    let environment = deployment.environment().map_err(NoOrigin::from);
    Some(environment.map(|name| format!("Beanstalk environment {name}")))
}

/// The cluster's ARN. Depending on its version, ECS provides it or the short name; the task's ARN,
/// of the form `arn:aws:ecs:REGION:ACCOUNT:task/…`, has the other parts.
fn cluster(task: &ecs::Task) -> Option<String> {
    let cluster = task.cluster.as_deref().filter(|cluster| !cluster.is_empty())?;
    let name = cluster.rsplit('/').next()?;
    let place = task.task_arn.as_deref().and_then(|arn| arn.split_once(":task/"));
    Some(match place {
        Some((place, _)) => format!("{place}:cluster/{name}"),
        None => cluster.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    fn task(cluster: &str) -> ecs::Task {
        let arn = "arn:aws:ecs:eu-west-1:123456789012:task/prod/0a1b";
        let (task_arn, cluster) = (Some(arn.to_owned()), Some(cluster.to_owned()));
        ecs::Task { task_arn, cluster, ..ecs::Task::default() }
    }

    #[test]
    fn a_cluster_has_one_name_whichever_form_ecs_gives() {
        let arn = "arn:aws:ecs:eu-west-1:123456789012:cluster/prod";
        for form in ["prod", arn] {
            assert_eq!(cluster(&task(form)).as_deref(), Some(arn));
        }
        assert_eq!(cluster(&ecs::Task { task_arn: None, ..task(arn) }).as_deref(), Some(arn));
        assert_eq!(cluster(&ecs::Task::default()), None);
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
