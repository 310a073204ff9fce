//! What the platform says about where this process runs.
//!
//! Each file knows one platform: how to tell that this is it, and what to ask. All answers are
//! bounded; the time limit is the caller's.

pub mod beanstalk;
pub mod ec2;
pub mod ecs;
pub mod kubernetes;
pub mod origin;

/// The environment and the root of the file system that a platform is recognised by.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The value of a variable.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// `/`, but in tests.
    pub root: &'a std::path::Path,
}

impl Surroundings<'_> {
    /// A variable that is set to something.
    pub fn var(&self, name: &str) -> Option<String> {
        (self.env)(name).filter(|value| !value.is_empty())
    }
}

/// Those of this process.
pub fn here() -> Surroundings<'static> {
    Surroundings { env: &|name| std::env::var(name).ok(), root: std::path::Path::new("/") }
}
