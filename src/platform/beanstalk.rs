//! Elastic Beanstalk: the files that it leaves on the instance when it deploys.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::surroundings::Surroundings;

/// Where Elastic Beanstalk keeps what it deployed, from the root of the file system.
pub const DEPLOYMENT: &str = "opt/elasticbeanstalk/deployment";

/// The deployment on this instance.
#[derive(Clone, Debug)]
pub struct Deployment(PathBuf);

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
    /// Why it is not known, in words.
    pub fn environment(&self) -> Result<String, String> {
        let metadata = read(&self.0.join("cfn-metadata-cache.json"))?;
        let name = metadata
            .get("EbResource")
            .and_then(|resource| resource.get("AWS::ElasticBeanstalk::Metadata"))
            .and_then(|metadata| metadata.get("EnvironmentName"))
            .and_then(Value::as_str);
        name.map(str::to_owned)
            .ok_or_else(|| "Elastic Beanstalk gives no environment name".to_owned())
    }

    /// The label of the version that was deployed.
    ///
    /// # Errors
    ///
    /// Why it is not known, in words.
    pub fn label(&self) -> Result<String, String> {
        let manifest = read(&self.0.join("app_version_manifest.json"))?;
        let label = label(&manifest).map(str::to_owned);
        label.ok_or_else(|| "Elastic Beanstalk gives no version label".to_owned())
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

fn read(file: &Path) -> Result<Value, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("cannot read {}: {error}", file.display());
    let text = std::fs::read_to_string(file).map_err(|error| wrong(&error))?;
    serde_json::from_str(&text).map_err(|error| wrong(&error))
}
