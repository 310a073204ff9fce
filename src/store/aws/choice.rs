//! What a URL says of region and credentials.

/// What a URL says of region and credentials. The standard chain fills the gaps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// The region.
    pub region: Option<String>,
    /// The profile of the shared configuration files.
    pub profile: Option<String>,
}
