//! A container of the same ECS task: it has to run and, if it has a health check, to be healthy.
//!
//! ECS knows of a container that crashed without a check of the application.

use std::time::Duration;

use super::CheckFailure;
use crate::platform::ecs::{ContainerFailure, Metadata, MetadataError};

/// Why the container does not count as healthy.
#[derive(Debug, thiserror::Error)]
enum Unwell {
    #[error("ECS task metadata: {0}")]
    Unknown(#[from] MetadataError),
    #[error("ECS task metadata: no response within {}", humantime::format_duration(*.0))]
    Late(Duration),
    #[error(transparent)]
    Failed(#[from] ContainerFailure),
}

/// See the module.
#[derive(Clone, Debug)]
pub struct ContainerCheck {
    /// Its name in the task definition.
    name: String,
    metadata: Metadata,
}

impl ContainerCheck {
    /// The container of that name, as the task's metadata shows it.
    pub fn new(name: String, metadata: Metadata) -> Self {
        Self { name, metadata }
    }

    pub(super) async fn check(&self, within: Duration) -> Result<(), CheckFailure> {
        self.ask(within).await.map_err(|why| CheckFailure::new(why.to_string()))
    }

    async fn ask(&self, within: Duration) -> Result<(), Unwell> {
        let task = tokio::time::timeout(within, self.metadata.task()).await;
        let task = task.map_err(|_| Unwell::Late(within))??;
        Ok(task.is_well(&self.name)?)
    }
}
