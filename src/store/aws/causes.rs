//! What the chain of causes in an error of the SDK says.

use std::error::Error;

use aws_smithy_runtime_api::client::result::ConnectorError;

use crate::election::text;

/// Whether a server accepted the connection and does not answer, as opposed to no server at all.
pub fn is_slow(error: &(dyn Error + 'static)) -> bool {
    cause::<ConnectorError>(error).is_some_and(ConnectorError::is_timeout)
}

/// The first error of a kind in the chain of causes.
pub fn cause<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// The innermost reason, in one short line: the outer ones only name the parts of the chain.
pub fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut reason = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    text::message(&reason.to_string())
}
