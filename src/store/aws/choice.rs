//! What a URL says of region and credentials.

/// What a URL says of region and credentials. The standard chain fills the gaps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// The region.
    pub region: Option<String>,
    /// The profile of the shared configuration files.
    pub profile: Option<String>,
}

/// Whether a text can be the name of a region: it becomes a part of a host name and of signatures.
pub fn is_region(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}
