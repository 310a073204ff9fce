//! Which release of the application this instance runs: what `once --key auto` is once for.
//!
//! The key names the place as well (the cluster, the environment), because what is done once for
//! production has not been done for staging.

use std::time::Duration;

use crate::platform::beanstalk::Deployment;
use crate::platform::ecs::Metadata;
use crate::platform::surroundings::Surroundings;

/// The metadata service is on the same host. Slower than this, it is broken.
const METADATA_LIMIT: Duration = Duration::from_secs(2);

/// Why the release is not known.
#[derive(Debug, thiserror::Error)]
pub enum UnknownRelease {
    /// Neither platform.
    #[error(
        "--key auto knows the release on ECS and Elastic Beanstalk only, and this is neither: \
         name it with --key, such as an image digest or a git commit"
    )]
    NoPlatform,
    /// The platform does not say.
    #[error("--key auto: {0}: name the release with --key instead")]
    NoResponse(String),
}

/// Asks the platform.
///
/// # Errors
///
/// When there is no platform to ask, or it does not say.
pub async fn key(surroundings: Surroundings<'_>) -> Result<String, UnknownRelease> {
    if let Some(metadata) = Metadata::here(surroundings) {
        let metadata = metadata.map_err(|error| error.to_string());
        return ecs(metadata).await.map_err(|what| {
            UnknownRelease::NoResponse(format!("the ECS metadata service: {what}"))
        });
    }
    let deployment = Deployment::here(surroundings).ok_or(UnknownRelease::NoPlatform)?;
    beanstalk(&deployment).map_err(UnknownRelease::NoResponse)
}

/// `ecs:CLUSTER/FAMILY:REVISION`.
async fn ecs(metadata: Result<Metadata, String>) -> Result<String, String> {
    let answer = tokio::time::timeout(METADATA_LIMIT, metadata?.task()).await;
    let task = answer.map_err(|_| "no answer".to_owned())?.map_err(|error| error.to_string())?;
    let field = |name: &str, value: Option<String>| {
        value.filter(|text| !text.is_empty()).ok_or_else(|| format!("it gives no {name}"))
    };
    let cluster = field("Cluster", task.cluster)?;
    // An ARN or a short name.
    let cluster = cluster.rsplit('/').next().unwrap_or_default();
    let (family, revision) = (field("Family", task.family)?, field("Revision", task.revision)?);
    Ok(format!("ecs:{cluster}/{family}:{revision}"))
}

/// `beanstalk:ENVIRONMENT/LABEL`.
fn beanstalk(deployment: &Deployment) -> Result<String, String> {
    let environment = deployment.environment().map_err(|error| error.to_string())?;
    let label = deployment.label().map_err(|error| error.to_string())?;
    // A label may have spaces, a key may not.
    Ok(format!("beanstalk:{environment}/{label}").replace(char::is_whitespace, "_"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::ecs::VARIABLE;
    use std::fs;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::path::Path;

    /// A metadata service that gives one answer, whatever it is asked.
    fn service(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v4/abc", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = [0; 1024];
            let read = stream.read(&mut head).unwrap();
            assert!(head[..read].starts_with(b"GET /v4/abc/task HTTP/1.1"));
            let length = answer.len();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
            stream.write_all(format!("{head}{answer}").as_bytes()).unwrap();
        });
        url
    }

    async fn asked(url: Option<&str>, root: &Path) -> Result<String, UnknownRelease> {
        let env = |name: &str| url.filter(|_| name == VARIABLE).map(str::to_owned);
        key(Surroundings { env: &env, root }).await
    }

    async fn on_ecs(answer: &'static str) -> Result<String, UnknownRelease> {
        asked(Some(&service(answer)), Path::new("/nowhere")).await
    }

    #[tokio::test]
    async fn on_ecs_it_is_the_task_definition_in_its_cluster() {
        let arn =
            r#"{"Cluster":"arn:aws:ecs:eu-west-1:1:cluster/prod","Family":"web","Revision":"7"}"#;
        let name = r#"{"Cluster":"prod","Family":"web","Revision":"7"}"#;
        for answer in [arn, name] {
            assert_eq!(on_ecs(answer).await.unwrap(), "ecs:prod/web:7");
        }
    }

    #[tokio::test]
    async fn what_ecs_does_not_say_is_said() {
        let error = on_ecs(r#"{"Cluster":"prod","Family":"web"}"#).await.unwrap_err();
        assert!(error.to_string().contains("gives no Revision"), "{error}");
        let error = on_ecs("<html>").await.unwrap_err();
        assert!(error.to_string().contains("with --key instead"), "{error}");
        let closed = "http://127.0.0.1:1/v4/abc";
        let error = asked(Some(closed), Path::new("/nowhere")).await.unwrap_err();
        assert!(error.to_string().contains("connection refused"), "{error}");
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
    async fn on_beanstalk_it_is_the_version_label_in_its_environment() {
        for manifest in [
            r#"{"VersionLabel":"app 12-ab","Serial":14}"#,
            r#"{"RuntimeSources":{"web":{"app 12-ab":{"s3url":""}}},"Serial":14}"#,
        ] {
            let root = on_beanstalk(manifest, ENVIRONMENT);
            assert_eq!(asked(None, root.path()).await.unwrap(), "beanstalk:web-prod/app_12-ab");
        }
        let root = on_beanstalk("{}", ENVIRONMENT);
        let error = asked(None, root.path()).await.unwrap_err();
        assert!(error.to_string().contains("no version label"), "{error}");
    }

    #[tokio::test]
    async fn elsewhere_a_key_has_to_be_given() {
        let root = tempfile::tempdir().unwrap();
        let error = asked(None, root.path()).await.unwrap_err();
        assert!(error.to_string().contains("name it with --key"), "{error}");
    }
}
