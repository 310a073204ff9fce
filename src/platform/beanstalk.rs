//! Elastic Beanstalk: the files that it leaves on the instance when it deploys.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::surroundings::Surroundings;

/// Where Elastic Beanstalk keeps what it deployed, from the root of the file system.
pub const DEPLOYMENT: &str = "opt/elasticbeanstalk/deployment";

/// The deployment on this instance.
#[derive(Clone, Debug)]
pub struct Deployment(PathBuf);

/// Why the files do not say.
#[derive(Debug, thiserror::Error)]
pub enum DeploymentError {
    /// A file cannot be read.
    #[error("cannot read {}: {error}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// A file is not JSON.
    #[error("cannot read {}: {error}", file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// Where, and what was expected.
        #[source]
        error: serde_json::Error,
    },
    /// The environment's name is not where it is on other platforms.
    #[error("Elastic Beanstalk gives no environment name")]
    NoEnvironment,
    /// Nor is the version's label.
    #[error("Elastic Beanstalk gives no version label")]
    NoLabel,
}

impl Deployment {
    /// The deployment, if this is Elastic Beanstalk.
    pub fn here(surroundings: Surroundings<'_>) -> Option<Self> {
        let folder = surroundings.root.join(DEPLOYMENT);
        folder.is_dir().then_some(Self(folder))
    }

    /// The name of the environment.
    ///
    /// # Errors
    ///
    /// Why it is not known.
    pub fn environment(&self) -> Result<String, DeploymentError> {
        let metadata = read(&self.0.join("cfn-metadata-cache.json"))?;
        let name = metadata
            .get("EbResource")
            .and_then(|resource| resource.get("AWS::ElasticBeanstalk::Metadata"))
            .and_then(|metadata| metadata.get("EnvironmentName"))
            .and_then(Value::as_str);
        name.map(str::to_owned).ok_or(DeploymentError::NoEnvironment)
    }

    /// The label of the version that was deployed.
    ///
    /// # Errors
    ///
    /// Why it is not known.
    pub fn label(&self) -> Result<String, DeploymentError> {
        let manifest = read(&self.0.join("app_version_manifest.json"))?;
        label(&manifest).map(str::to_owned).ok_or(DeploymentError::NoLabel)
    }

    /// The number of the deployment, if the platform gives one: it grows with each.
    pub fn number(&self) -> Option<u64> {
        let manifest = read(&self.0.join("app_version_manifest.json")).ok()?;
        let number = manifest.get("DeploymentId")?;
        number.as_u64().or_else(|| number.as_str()?.parse().ok())
    }
}

/// In one of two places, by the age of the platform.
fn label(manifest: &Value) -> Option<&str> {
    if let Some(label) = manifest.get("VersionLabel").and_then(Value::as_str) {
        return Some(label);
    }
    let application = manifest.get("RuntimeSources")?.as_object()?.values().next()?;
    application.as_object()?.keys().next().map(String::as_str)
}

fn read(file: &Path) -> Result<Value, DeploymentError> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| DeploymentError::Unreadable { file: file.to_owned(), error })?;
    serde_json::from_str(&text)
        .map_err(|error| DeploymentError::Malformed { file: file.to_owned(), error })
}
