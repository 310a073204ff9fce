//! Which release of the application this instance runs: what `once --key auto` is once for.
//!
//! The key names the place as well (the cluster, the environment), because what is done once for
//! production has not been done for staging.

use std::time::Duration;

use crate::election::history::Order;
use crate::platform::beanstalk::{Deployment, DeploymentError};
use crate::platform::ecs::{Metadata, MetadataError};
use crate::platform::kubernetes::UnknownTemplate;
use crate::platform::surroundings::Surroundings;
use crate::platform::{identity, kubernetes};

/// The metadata service is on the same host. Slower than this, it is broken.
const METADATA_LIMIT: Duration = Duration::from_secs(2);

/// How long an instance that needs its release asks a platform that does not respond: the agent of ECS
/// is away for some seconds while it restarts, and rejects requests while the tasks of its host send too
/// many.
const PATIENCE: Duration = Duration::from_secs(20);

/// The pause between two requests: ECS permits each task 40 in a second.
const PAUSE: Duration = Duration::from_millis(500);

/// A release, as the platform knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// The place that releases follow each other in.
    pub work: String,
    /// What differs from release to release, and is the same for all instances of one.
    pub key: String,
    /// A number that grows from release to release, if the platform has one.
    pub order: Option<Order>,
}

/// Why the release is not known.
#[derive(Debug, thiserror::Error)]
pub enum UnknownRelease {
    /// None of the platforms.
    #[error(
        "auto works on ECS, Elastic Beanstalk and Kubernetes only; name the release with --key, \
         such as an image digest or a git commit"
    )]
    NoPlatform,
    /// The platform does not say.
    #[error("auto: {0}; name the release with --key")]
    NoResponse(#[from] NoRelease),
}

/// What a platform does not say of the release.
#[derive(Debug, thiserror::Error)]
pub enum NoRelease {
    /// The endpoint of ECS, or what is missing in its answer.
    #[error("the ECS metadata service: {0}")]
    Ecs(#[from] NoTask),
    /// The files of Elastic Beanstalk.
    #[error(transparent)]
    Beanstalk(#[from] DeploymentError),
    /// The downward API of Kubernetes.
    #[error(transparent)]
    Kubernetes(#[from] UnknownTemplate),
}

/// What is missing on ECS.
#[derive(Debug, thiserror::Error)]
pub enum NoTask {
    /// No answer.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// None in time.
    #[error("no response")]
    Slow,
    /// A field of it.
    #[error("it gives no {0}")]
    NoField(&'static str),
    /// The revision.
    #[error("its Revision is not a number")]
    Revision,
}

impl UnknownRelease {
    /// Whether a later request may succeed.
    pub fn may_pass(&self) -> bool {
        let Self::NoResponse(NoRelease::Ecs(why)) = self else { return false };
        match why {
            NoTask::Slow => true,
            NoTask::Metadata(error) => error.may_pass(),
            NoTask::NoField(_) | NoTask::Revision => false,
        }
    }
}

/// Asks the platform, and again for as long as it does not respond.
///
/// # Errors
///
/// When there is no platform to ask, or it does not say; what may pass has not passed in 20 seconds.
pub async fn await_found(surroundings: Surroundings<'_>) -> Result<Release, UnknownRelease> {
    await_for(PATIENCE, surroundings).await
}

async fn await_for(
    patience: Duration,
    surroundings: Surroundings<'_>,
) -> Result<Release, UnknownRelease> {
    let mut last = None;
    let found = async {
        loop {
            match find(surroundings).await {
                Err(why) if why.may_pass() => {
                    if last.is_none() {
                        tracing::warn!(
                            %why, event = "release_awaited",
                            "the platform does not name the release; trying again"
                        );
                    }
                    last = Some(why);
                }
                found => return found,
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    let found = tokio::time::timeout(patience, found).await;
    found.unwrap_or_else(|_| Err(last.unwrap_or(NoRelease::from(NoTask::Slow).into())))
}

/// Asks the platform once.
///
/// # Errors
///
/// When there is no platform to ask, or it does not say.
pub async fn find(surroundings: Surroundings<'_>) -> Result<Release, UnknownRelease> {
    if let Some(metadata) = Metadata::here(surroundings) {
        return Ok(ecs(metadata).await.map_err(NoRelease::from)?);
    }
    if let Some(deployment) = Deployment::here(surroundings) {
        return Ok(beanstalk(&deployment).map_err(NoRelease::from)?);
    }
    let template = kubernetes::template(surroundings, &identity::hostname());
    let template = template.ok_or(UnknownRelease::NoPlatform)?.map_err(NoRelease::from)?;
    let work = format!("kubernetes:{}/{}", template.namespace, template.workload);
    Ok(Release { key: format!("{work}@{}", template.hash), work, order: template.revision })
}

/// The image that runs: a tag that moves is another release, and an old image in a new revision of
/// the task definition is the old one.
async fn ecs(metadata: Result<Metadata, MetadataError>) -> Result<Release, NoTask> {
    let metadata = metadata?;
    let answers = async { tokio::join!(metadata.task(), metadata.container()) };
    let answers = tokio::time::timeout(METADATA_LIMIT, answers).await;
    let (task, container) = answers.map_err(|_| NoTask::Slow)?;
    let (task, container) = (task?, container?);
    let field = |name: &'static str, value: Option<String>| {
        value.filter(|text| !text.is_empty()).ok_or(NoTask::NoField(name))
    };
    let cluster = field("Cluster", task.cluster)?;
    // An ARN or a short name.
    let cluster = cluster.rsplit('/').next().unwrap_or_default();
    let (family, revision) = (field("Family", task.family)?, field("Revision", task.revision)?);
    let image = field("ImageID", container.image_id)?;
    let order = revision.parse().map_err(|_| NoTask::Revision)?;
    let work = format!("ecs:{cluster}/{family}");
    Ok(Release { key: format!("{work}@{image}"), work, order: Some(order) })
}

fn beanstalk(deployment: &Deployment) -> Result<Release, DeploymentError> {
    let (environment, label) = (deployment.environment()?, deployment.label()?);
    // A label may have spaces, a key may not.
    let work = format!("beanstalk:{environment}").replace(char::is_whitespace, "_");
    let key = format!("{work}/{label}").replace(char::is_whitespace, "_");
    Ok(Release { work, key, order: deployment.number() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::ecs::VARIABLE;
    use std::fs;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::path::Path;

    /// A metadata service that says this of the task and of the container.
    fn service(task: &'static str, container: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v4/abc", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming().take(2) {
                let (mut stream, mut head) = (stream.unwrap(), [0; 1024]);
                let read = stream.read(&mut head).unwrap();
                let answer = match &head[..read] {
                    head if head.starts_with(b"GET /v4/abc/task HTTP/1.1") => task,
                    head if head.starts_with(b"GET /v4/abc HTTP/1.1") => container,
                    other => panic!("{}", String::from_utf8_lossy(other)),
                };
                let length = answer.len();
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
                stream.write_all(format!("{head}{answer}").as_bytes()).unwrap();
            }
        });
        url
    }

    async fn found_on(vars: &[(&str, &str)], root: &Path) -> Result<Release, UnknownRelease> {
        let env = |name: &str| {
            vars.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        find(Surroundings { env: &env, root }).await
    }

    const CONTAINER: &str = r#"{"Image":"web:latest","ImageID":"sha256:00ff"}"#;

    async fn on_ecs(
        task: &'static str,
        container: &'static str,
    ) -> Result<Release, UnknownRelease> {
        found_on(&[(VARIABLE, &service(task, container))], Path::new("/nowhere")).await
    }

    fn release(work: &str, key: &str, order: Option<u64>) -> Release {
        Release { work: work.to_owned(), key: key.to_owned(), order }
    }

    #[tokio::test]
    async fn on_ecs_it_is_the_image_of_this_container_and_the_revision_is_its_order() {
        let arn =
            r#"{"Cluster":"arn:aws:ecs:eu-west-1:1:cluster/prod","Family":"web","Revision":"7"}"#;
        let name = r#"{"Cluster":"prod","Family":"web","Revision":"7"}"#;
        for task in [arn, name] {
            let found = on_ecs(task, CONTAINER).await.unwrap();
            assert_eq!(found, release("ecs:prod/web", "ecs:prod/web@sha256:00ff", Some(7)));
        }
    }

    #[tokio::test]
    async fn the_error_names_what_ecs_leaves_out() {
        let error = on_ecs(r#"{"Cluster":"prod","Family":"web"}"#, CONTAINER).await.unwrap_err();
        assert!(error.to_string().contains("gives no Revision"), "{error}");
        let task = r#"{"Cluster":"prod","Family":"web","Revision":"7"}"#;
        let error = on_ecs(task, "{}").await.unwrap_err();
        assert!(error.to_string().contains("gives no ImageID"), "{error}");
        let error = on_ecs("<html>", CONTAINER).await.unwrap_err();
        assert!(error.to_string().contains("name the release with --key"), "{error}");
        assert!(!error.may_pass());
        let error = found_on(&[(VARIABLE, "no URL")], Path::new("/nowhere")).await.unwrap_err();
        assert!(error.to_string().contains("is not a URL"), "{error}");
        assert!(!error.may_pass());
        let closed = [(VARIABLE, "http://127.0.0.1:1/v4/abc")];
        let error = found_on(&closed, Path::new("/nowhere")).await.unwrap_err();
        assert!(error.to_string().contains("connection refused"), "{error}");
        assert!(error.may_pass());
    }

    /// The reason is that of the last response, and not that time has passed.
    #[tokio::test]
    async fn a_platform_that_does_not_respond_is_given_up_in_the_end() {
        let env = |name: &str| (name == VARIABLE).then(|| "http://127.0.0.1:1/v4/abc".to_owned());
        let surroundings = Surroundings { env: &env, root: Path::new("/nowhere") };
        let error = await_for(PAUSE * 3, surroundings).await.unwrap_err();
        assert!(error.to_string().contains("connection refused"), "{error}");
        assert!(error.may_pass());
    }

    fn on_beanstalk(manifest: &str, metadata: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let deployment = root.path().join("opt/elasticbeanstalk/deployment");
        fs::create_dir_all(&deployment).unwrap();
        fs::write(deployment.join("app_version_manifest.json"), manifest).unwrap();
        fs::write(deployment.join("cfn-metadata-cache.json"), metadata).unwrap();
        root
    }

    const ENVIRONMENT: &str =
        r#"{"EbResource":{"AWS::ElasticBeanstalk::Metadata":{"EnvironmentName":"web-prod"}}}"#;

    #[tokio::test]
    async fn on_beanstalk_it_is_the_version_label_and_the_deployment_is_its_order() {
        for (manifest, order) in [
            (r#"{"VersionLabel":"app 12-ab","Serial":14,"DeploymentId":9}"#, Some(9)),
            (
                r#"{"RuntimeSources":{"web":{"app 12-ab":{"s3url":""}}},"DeploymentId":"9"}"#,
                Some(9),
            ),
            (r#"{"VersionLabel":"app 12-ab"}"#, None),
        ] {
            let root = on_beanstalk(manifest, ENVIRONMENT);
            let found = found_on(&[], root.path()).await.unwrap();
            assert_eq!(found, release("beanstalk:web-prod", "beanstalk:web-prod/app_12-ab", order));
        }
        let root = on_beanstalk("{}", ENVIRONMENT);
        let error = found_on(&[], root.path()).await.unwrap_err();
        assert!(error.to_string().contains("no version label"), "{error}");
    }

    #[tokio::test]
    async fn on_kubernetes_it_is_the_template_of_the_pod() {
        let root = tempfile::tempdir().unwrap();
        let mut vars = vec![
            ("POD_NAME", "web-7d9f8c6b5d-x2x4q"),
            ("POD_NAMESPACE", "shop"),
            ("BELLWETHER_POD_TEMPLATE_HASH", "7d9f8c6b5d"),
        ];
        let key = "kubernetes:shop/web@7d9f8c6b5d";
        let found = found_on(&vars, root.path()).await.unwrap();
        assert_eq!(found, release("kubernetes:shop/web", key, None));
        vars.push(("BELLWETHER_REVISION", "12"));
        vars.push(("BELLWETHER_WORKLOAD", "api"));
        let found = found_on(&vars, root.path()).await.unwrap();
        let key = "kubernetes:shop/api@7d9f8c6b5d";
        assert_eq!(found, release("kubernetes:shop/api", key, Some(12)));
        let error = found_on(&vars[..2], root.path()).await.unwrap_err();
        assert!(error.to_string().contains("set BELLWETHER_POD_TEMPLATE_HASH"), "{error}");
    }

    #[tokio::test]
    async fn elsewhere_a_key_has_to_be_given() {
        let root = tempfile::tempdir().unwrap();
        let error = found_on(&[], root.path()).await.unwrap_err();
        assert!(error.to_string().contains("name the release with --key"), "{error}");
    }
}
