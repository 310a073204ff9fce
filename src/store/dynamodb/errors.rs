//! What the service's errors mean to a caller, and to a person.
//!
//! The messages are the same for every attempt, without request ids or times, so that the log has
//! one line a change. None of them has a credential in it: the SDK never shows one, and what the
//! service says is repeated only where it names a right that is missing.

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::result::ConnectorError;

use super::place::Place;
use super::responses::NoResponse;
use crate::election::text;
use crate::store::aws::credentials::NoCredentials;
use crate::store::aws::http::BadResponse;
use crate::store::aws::{cause, innermost};
use crate::store::certificate::out_of_time;
use crate::store::contract::StoreError;

/// The codes that say "not now". An error with a status of 500 or above counts as one of them.
const PASSING: [&str; 13] = [
    // Throttling, of a table, of an account, of the control plane.
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ThrottlingException",
    "LimitExceededException",
    // The item is in a transaction at this moment, or is being written in another region.
    "TransactionConflictException",
    "TransactionInProgressException",
    "ReplicatedWriteConflictException",
    // The table is being created or changed.
    "ResourceInUseException",
    "InternalServerError",
    "ServiceUnavailable",
    // Credentials that are renewed by their issuer.
    "ExpiredTokenException",
    "ExpiredToken",
    "RequestExpired",
];

/// Why a call failed, before it is explained.
#[derive(Debug)]
pub enum DynamoDbError {
    /// There is no such table, or not yet.
    NoTable,
    /// Everything else.
    Explained(StoreError),
}

/// What the service, or the way to it, said.
pub fn failure<E>(place: &Place, error: &SdkError<E, HttpResponse>) -> DynamoDbError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let explained = match error {
        SdkError::ServiceError(service) => {
            let status = service.raw().status().as_u16();
            let code = service.err().code().unwrap_or_default();
            if code == "ResourceNotFoundException" {
                return DynamoDbError::NoTable;
            }
            response_error(place, status, code, service.err().message().unwrap_or_default())
        }
        SdkError::ResponseError(response) => {
            let status = response.raw().status().as_u16();
            let why = match cause::<NoResponse>(error) {
                Some(why) => format!("HTTP {status}: {why}"),
                None => format!("HTTP {status}"),
            };
            no_answer(place, &why)
        }
        SdkError::TimeoutError(_) => place.unavailable("did not respond in time"),
        SdkError::DispatchFailure(failed) => match failed.as_connector_error() {
            Some(error) => unreached(place, error),
            None => place.unavailable("could not be reached"),
        },
        other => credentials(place, other).unwrap_or_else(|| {
            place.unavailable("could not be reached: the request was not built")
        }),
    };
    DynamoDbError::Explained(explained)
}

/// An error that the service answered with.
fn response_error(place: &Place, status: u16, code: &str, message: &str) -> StoreError {
    match code {
        _ if PASSING.contains(&code) || status >= 500 || status == 429 => {
            let code = if code.is_empty() { "no code" } else { code };
            place.unavailable(format!("refused for now: {code} (HTTP {status})"))
        }
        "AccessDeniedException" if message.contains("kms:") => place.misconfigured(format!(
            "{}; the table is encrypted with a key of AWS KMS: its key policy must let this role \
             use it through DynamoDB (kms:Decrypt, kms:DescribeKey, kms:CreateGrant)",
            denied(message)
        )),
        "AccessDeniedException" => place
            .misconfigured(format!("{}; grant deploy/iam/dynamodb-policy.json", denied(message))),
        "RequestTimeTooSkewed" => skewed(place, code),
        "InvalidSignatureException" | "SignatureDoesNotMatch" if is_skew(message) => {
            skewed(place, code)
        }
        "InvalidSignatureException" | "SignatureDoesNotMatch" => place.misconfigured(
            "refused the signature: the secret access key does not belong to the access key id",
        ),
        "UnrecognizedClientException" | "InvalidClientTokenId" => place.misconfigured(
            "does not know the access key or session token; check that they belong to this \
             account's partition and are active",
        ),
        "MissingAuthenticationTokenException" | "MissingAuthenticationToken" => {
            place.misconfigured("needs credentials, and there are none")
        }
        "ValidationException" if is_of_another_key(message) => wrong_key(place),
        // A code that is not known: better tried again than given up.
        _ if code.is_empty() => place.unavailable(format!("responded with HTTP {status}")),
        _ => place.misconfigured(format!(
            "refused the request: {}: {}",
            text::message(code),
            without_session(message)
        )),
    }
}

/// Whether the table lacks the key that the request names. Requests with other errors, and keys of
/// AWS KMS, have other messages.
fn is_of_another_key(message: &str) -> bool {
    [
        "The provided key element does not match the schema",
        "Missing the key ",
        "Type mismatch for key ",
        "The number of conditions on the keys is invalid",
    ]
    .iter()
    .any(|part| message.contains(part))
}

/// The service's message, on one line, and without the name of the session of an assumed role,
/// which changes with each fetch of credentials.
fn without_session(message: &str) -> String {
    let message = text::message(message);
    let Some((before, role)) = message.split_once(":assumed-role/") else { return message };
    let Some((role, session)) = role.split_once('/') else { return message };
    let rest = session.find(' ').and_then(|at| session.get(at..)).unwrap_or_default();
    format!("{before}:assumed-role/{role}{rest}")
}

/// What IAM said, which names the user or role, the action and the resource.
fn denied(message: &str) -> String {
    match without_session(message).trim_end_matches('.') {
        "" => "denied the request: a permission of dynamodb:* is missing".to_owned(),
        message => format!("denied the request: {message}"),
    }
}

fn is_skew(message: &str) -> bool {
    ["expired", "not yet current", "is now earlier", "is now later"]
        .iter()
        .any(|part| message.contains(part))
}

/// The next request is signed with the service's own time, which came with the refusal.
fn skewed(place: &Place, code: &str) -> StoreError {
    place.unavailable(format!(
        "refused the signature: the clock of this host is off by minutes ({code}); the next \
         request goes by the service's clock"
    ))
}

/// The table has other keys than ours.
pub fn wrong_key(place: &Place) -> StoreError {
    place.misconfigured(
        "has another key schema than bellwether needs: a partition key named 'election' of type S, \
         and no sort key; use a table of its own, which `bellwether serve` creates",
    )
}

fn no_answer(place: &Place, why: &str) -> StoreError {
    place.unavailable(format!(
        "sent a response that is not DynamoDB's ({why}); look for a proxy that responds in its \
         place"
    ))
}

/// No answer came from the service.
fn unreached(place: &Place, error: &ConnectorError) -> StoreError {
    if let Some(explained) = credentials(place, error) {
        return explained;
    }
    if error.is_timeout() {
        return place.unavailable("did not respond in time");
    }
    if let Some(bad) = cause::<BadResponse>(error) {
        return no_answer(place, &bad.to_string());
    }
    let reason = out_of_time(error).map_or_else(|| innermost(error), |why| why.to_string());
    place.unavailable(format!("cannot be reached: {reason}"))
}

/// The trouble is with credentials, if it is.
fn credentials(place: &Place, error: &(dyn std::error::Error + 'static)) -> Option<StoreError> {
    if let Some(none) = cause::<NoCredentials>(error) {
        return Some(match none {
            NoCredentials::None => no_credentials(place),
            NoCredentials::Invalid(_) | NoCredentials::Malformed { .. } => place.misconfigured(
                format!("cannot be used: {none}; check the AWS_ variables and the files in ~/.aws"),
            ),
            NoCredentials::Waiting(_) => place.unavailable(format!("cannot be used yet: {none}")),
            NoCredentials::Failed { .. } => place.unavailable(format!("cannot be used: {none}")),
        });
    }
    Some(match cause::<CredentialsError>(error)? {
        CredentialsError::CredentialsNotLoaded(_) => no_credentials(place),
        CredentialsError::InvalidConfiguration(_) => place.misconfigured(
            "cannot be used: the AWS configuration for credentials is not valid; check the AWS_ \
             variables and the files in ~/.aws",
        ),
        _ => {
            place.unavailable("cannot be used: the issuer of the AWS credentials does not respond")
        }
    })
}

fn no_credentials(place: &Place) -> StoreError {
    place.misconfigured(
        "cannot be used: there are no AWS credentials; give the task, pod or instance a role with \
         deploy/iam/dynamodb-policy.json, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or \
         name a profile with ?profile=",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::dynamodb::Target;

    fn place() -> Place {
        Place::new(&Target::parse("dynamodb://leases?region=eu-west-1").unwrap())
    }

    fn explained(status: u16, code: &str, message: &str) -> StoreError {
        response_error(&place(), status, code, message)
    }

    #[test]
    fn an_error_that_passes_is_unavailable() {
        for code in PASSING.iter().copied().chain(["RequestTimeTooSkewed"]) {
            let error = explained(400, code, "");
            assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
            assert!(error.to_string().contains(code), "{error}");
        }
        for status in [429, 500, 502, 503] {
            assert!(matches!(explained(status, "", ""), StoreError::Unavailable(_)));
        }
        let skew = "Signature expired: 20261123T050000Z is now earlier than 20261123T074500Z";
        let error = explained(400, "InvalidSignatureException", skew);
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
        assert!(!error.to_string().contains("2026"), "the same for every attempt: {error}");
    }

    #[test]
    fn a_refusal_is_the_same_in_each_session() {
        let text = |session: &str| {
            let message =
                format!("User: arn:aws:sts::1:assumed-role/web/{session} is not authorized");
            explained(400, "AccessDeniedException", &message)
        };
        assert_eq!(text("aws-sdk-rust-1764166451"), text("aws-sdk-rust-1764170051"));
        assert!(text("x").to_string().contains("assumed-role/web is not authorized"));
    }

    #[test]
    fn what_a_person_must_fix_is_misconfigured() {
        let message = "User: arn:aws:sts::1:assumed-role/web is not authorized to perform: \
                       dynamodb:PutItem on resource: arn:aws:dynamodb:eu-west-1:1:table/leases";
        for (code, message, expected) in [
            ("AccessDeniedException", message, "dynamodb:PutItem"),
            ("AccessDeniedException", "", "dynamodb-policy.json"),
            (
                "AccessDeniedException",
                "User: u is not authorized to perform: kms:Decrypt on resource: k",
                "key policy",
            ),
            (
                "ValidationException",
                "KMS key is disabled",
                "ValidationException: KMS key is disabled",
            ),
            ("ValidationException", "Missing the key election in the item", "'election'"),
            ("Some\nthing", "of\u{1b}[2J tomorrow", "Some thing: of\u{fffd}[2J tomorrow"),
            ("InvalidSignatureException", "does not match", "secret access key"),
            ("UnrecognizedClientException", "", "access key"),
            (
                "ValidationException",
                "The provided key element does not match the schema",
                "'election'",
            ),
            ("SomethingNew", "of tomorrow", "SomethingNew: of tomorrow"),
        ] {
            let error = explained(400, code, message);
            assert!(matches!(error, StoreError::Misconfigured(_)), "{error:?}");
            let text = error.to_string();
            assert!(text.contains(expected) && text.contains("'leases' in eu-west-1"), "{text}");
            assert_eq!(text.contains("another key schema"), expected == "'election'", "{text}");
        }
    }
}
