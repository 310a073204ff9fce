//! Who this instance is.

use uuid::Uuid;

use crate::election::lease::Candidate;

/// The longest identity: what fits on a line of a log and in a column of a table.
const MAX_LENGTH: usize = 256;

/// Why a text cannot be an identity.
#[derive(Debug, thiserror::Error)]
#[error("'{0}' cannot be an identity: use 1 to {MAX_LENGTH} printable characters")]
pub struct InvalidIdentity(String);

/// Checks an identity that a person chose.
///
/// # Errors
///
/// When it is empty, too long, or would break the line that shows it.
pub fn parse(text: &str) -> Result<String, InvalidIdentity> {
    let printable = !text.is_empty() && !text.chars().any(char::is_control);
    if printable && text.chars().count() <= MAX_LENGTH {
        Ok(text.to_owned())
    } else {
        Err(InvalidIdentity(text.escape_debug().to_string()))
    }
}

/// The name of this host.
pub fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// A candidate with this identity and an incarnation of its own.
pub fn candidate(identity: String) -> Candidate {
    Candidate { identity, incarnation: Uuid::new_v4().to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_printable() {
        assert_eq!(parse("web-0 (eu)").unwrap(), "web-0 (eu)");
        for bad in ["", "a\nb", "\u{7}", &"x".repeat(257)] {
            assert!(parse(bad).unwrap_err().to_string().contains("printable"));
        }
    }

    #[test]
    fn every_start_is_a_new_incarnation() {
        assert_ne!(candidate(hostname()), candidate(hostname()));
    }
}
