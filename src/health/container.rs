//! A container of the same ECS task: it has to run and, if it has a health check, to be healthy.
//!
//! ECS knows of a container that crashed without anybody asking the application.

use std::time::Duration;

use super::CheckFailure;
use crate::platform::ecs::Metadata;

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
        let task = match tokio::time::timeout(within, self.metadata.task()).await {
            Ok(task) => task.map_err(|why| format!("ECS task metadata: {why}")),
            Err(_) => {
                let within = humantime::format_duration(within);
                Err(format!("ECS task metadata: no answer within {within}"))
            }
        };
        task.and_then(|task| task.is_well(&self.name)).map_err(CheckFailure::new)
    }
}
