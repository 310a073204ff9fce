//! Notes when the service refuses the credentials, so that the next call uses new ones.

use aws_sdk_dynamodb::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use serde::Deserialize;

use crate::store::aws::credentials::CredentialsCache;

/// The codes for credentials that have expired, were changed, or never had the rights. Includes
/// `AccessDeniedException`, because rotated keys and changed policies look the same.
const CODES: [&str; 12] = [
    "AccessDeniedException",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignatureException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationTokenException",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
    "UnrecognizedClientException",
];

/// Notifies the keeper of the credentials.
#[derive(Debug)]
pub struct NotesRefusals(pub CredentialsCache);

#[derive(Deserialize)]
struct Refusal {
    #[serde(rename = "__type")]
    kind: String,
}

impl Intercept for NotesRefusals {
    fn name(&self) -> &'static str {
        "NotesRefusals"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response();
        if !response.status().is_success()
            && response.body().bytes().is_some_and(refuses_credentials)
        {
            self.0.refused();
        }
        Ok(())
    }
}

fn refuses_credentials(body: &[u8]) -> bool {
    let refusal = serde_json::from_slice::<Refusal>(body);
    refusal.is_ok_and(|refusal| {
        refusal.kind.rsplit('#').next().is_some_and(|code| CODES.contains(&code))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_credentials_are_distinct_from_other_refusals() {
        let body =
            |code: &str| format!(r#"{{"__type":"com.amazonaws.dynamodb.v20120810#{code}"}}"#);
        for code in CODES {
            assert!(refuses_credentials(body(code).as_bytes()), "{code}");
        }
        for code in ["ConditionalCheckFailedException", "ThrottlingException"] {
            assert!(!refuses_credentials(body(code).as_bytes()), "{code}");
        }
        assert!(!refuses_credentials(b"<html>") && !refuses_credentials(b"{}"));
    }
}
