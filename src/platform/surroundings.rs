//! What a platform is recognised by.

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
