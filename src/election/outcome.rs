//! The outcome of work that is done once: part of the lease record, written by the very write that
//! vacates it, so that it cannot be torn from it.

use serde::{Deserialize, Serialize};

use super::term::Term;
use super::text;

/// How the last attempt at the work of a key ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// Whether the work is done, once and for all.
    pub succeeded: bool,
    /// The command's exit code, 128+n for a signal.
    pub exit_code: u8,
    /// Who ran it.
    pub holder: String,
    /// In which term.
    pub term: Term,
    /// When it began, by the holder's wall clock, RFC 3339.
    pub started: String,
    /// When it ended, by the holder's wall clock, RFC 3339.
    pub finished: String,
    /// How many attempts have ended so far, this one included. One that was cut off by a crash has
    /// no end, and does not count.
    pub attempts: u32,
    /// The last of what the command wrote to standard error, if that was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stderr: Option<String>,
}

impl Outcome {
    /// Whether nobody is to try any more, when `max_attempts` are allowed.
    pub fn is_final(&self, max_attempts: u32) -> bool {
        self.succeeded || self.attempts >= max_attempts
    }

    /// Without control characters for a terminal, in texts from outside.
    #[must_use]
    pub(super) fn checked(self) -> Self {
        Self {
            holder: text::name(&self.holder),
            started: text::line(&self.started),
            finished: text::line(&self.finished),
            stderr: self.stderr.as_deref().map(text::lines),
            ..self
        }
    }

    /// As stores keep it: one JSON object.
    ///
    /// # Errors
    ///
    /// Never for the fields above.
    pub fn encode(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// Reads what [`Outcome::encode`] wrote.
    ///
    /// # Errors
    ///
    /// When it is something else.
    pub fn decode(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(succeeded: bool, attempts: u32) -> Outcome {
        Outcome {
            succeeded,
            exit_code: if succeeded { 0 } else { 3 },
            holder: "web-0".to_owned(),
            term: Term::new(7),
            started: "2026-11-23T07:39:46.125Z".to_owned(),
            finished: "2026-11-23T07:39:48.250Z".to_owned(),
            attempts,
            stderr: Some("no such table\n".to_owned()),
        }
    }

    #[test]
    fn success_is_final_and_failure_after_the_last_attempt() {
        assert!(outcome(true, 1).is_final(3));
        assert!(!outcome(false, 2).is_final(3));
        assert!(outcome(false, 3).is_final(3));
    }

    #[test]
    fn it_survives_being_written_and_read() {
        for written in [outcome(true, 1), Outcome { stderr: None, ..outcome(false, 2) }] {
            assert_eq!(Outcome::decode(&written.encode().unwrap()).unwrap(), written);
        }
        assert!(Outcome::decode("{}").is_err());
    }
}
