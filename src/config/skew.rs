//! The tolerance for the clock in the answers of a service.

use std::time::Duration;

use crate::election::duration;

/// How far a service's clock may be off; none: leases are not judged by it.
///
/// A type of its own, because an option in the arguments would mean a flag that was not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxClockSkew(pub Option<Duration>);

/// Reads it.
///
/// # Errors
///
/// See [`duration::parse`].
pub fn parse_skew(text: &str) -> Result<MaxClockSkew, String> {
    match text {
        "off" => Ok(MaxClockSkew(None)),
        _ => duration::parse(text).map(|skew| MaxClockSkew(Some(skew))),
    }
}
