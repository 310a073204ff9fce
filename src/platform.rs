//! What the platform reports about where this process runs.
//!
//! Each file knows one platform: how to recognize it, and what to read from it. All answers are
//! bounded; the time limit is the caller's.

pub mod address;
pub mod beanstalk;
pub mod ec2;
pub mod ecs;
pub mod identity;
pub mod kubernetes;
pub mod origin;
pub mod release;
pub mod surroundings;

use surroundings::Surroundings;

/// A place where every instance has its own file system, which is gone at its next start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shared {
    /// Recognised by a variable.
    Variable(&'static str, &'static str),
    /// Recognised by a file.
    File(&'static str, &'static str),
}

impl std::fmt::Display for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Variable(place, name) => write!(f, "{place} ({name} is set)"),
            Self::File(place, path) => write!(f, "{place} (/{path} is there)"),
        }
    }
}

/// The signs of such a place. Container engines set the last variable, as systemd does.
const SHARED: [Shared; 9] = [
    Shared::Variable(
        "a command of another bellwether, which does not inherit its store",
        "BELLWETHER_GUARD",
    ),
    Shared::Variable("ECS", ecs::VARIABLE),
    Shared::Variable("ECS", "ECS_CONTAINER_METADATA_URI"),
    Shared::Variable("Kubernetes", kubernetes::SERVICE_HOST),
    Shared::File("Elastic Beanstalk", beanstalk::DEPLOYMENT),
    Shared::File("Elastic Beanstalk", "etc/elasticbeanstalk"),
    Shared::File("a container", ".dockerenv"),
    Shared::File("a container", "run/.containerenv"),
    Shared::Variable("a container", "container"),
];

/// The place of this process, if it is such a place.
pub fn shared(surroundings: Surroundings<'_>) -> Option<Shared> {
    let is_here = |place: &Shared| match place {
        Shared::Variable(_, name) => surroundings.var(name).is_some(),
        Shared::File(_, path) => surroundings.root.join(path).exists(),
    };
    SHARED.into_iter().find(is_here)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_without_a_file_of_their_own_are_known() {
        let root = tempfile::tempdir().unwrap();
        let here = |variable: Option<&str>| {
            let env = |name: &str| (Some(name) == variable).then(|| "x".to_owned());
            shared(Surroundings { env: &env, root: root.path() }).map(|place| place.to_string())
        };
        assert_eq!(here(None), None);
        for (variable, place) in [
            ("ECS_CONTAINER_METADATA_URI_V4", "ECS"),
            ("KUBERNETES_SERVICE_HOST", "Kubernetes"),
            ("container", "a container"),
        ] {
            assert_eq!(here(Some(variable)), Some(format!("{place} ({variable} is set)")));
        }
        for file in ["run/.containerenv", ".dockerenv", "opt/elasticbeanstalk/deployment"] {
            std::fs::create_dir_all(root.path().join(file)).unwrap();
            assert!(here(None).unwrap().contains(&format!("(/{file} is there)")));
        }
    }
}
