//! Whether a response of success is an answer of DynamoDB to this request.
//!
//! On the network path to the service there may be a cache, a captive portal, a mesh with a
//! fallback, a maintenance page. The SDK takes an empty body for an answer without members, and
//! ignores unknown members: the result is "there is no item", or "written". So this checks
//! everything that all answers of DynamoDB have: a status of 200, the content type, a request id,
//! and an object that has the members of this operation and no others.
//!
//! That is still no proof. [`swap`](super::DynamoDbStore) has the further checks of a write.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_smithy_runtime_api::client::orchestrator::{HttpResponse, Metadata};
use serde::de::IgnoredAny;

/// The content type of all answers.
const CONTENT_TYPE: &str = "application/x-amz-json-1.0";

/// The operations in use: the members that their answers have, and those that they can have.
const OPERATIONS: [(&str, &[&str], &[&str]); 5] = [
    ("GetItem", &[], &["Item", "ConsumedCapacity"]),
    ("PutItem", &[], &["Attributes", "ConsumedCapacity", "ItemCollectionMetrics"]),
    (
        "Scan",
        &["Items", "Count"],
        &["Items", "Count", "ScannedCount", "LastEvaluatedKey", "ConsumedCapacity"],
    ),
    ("DescribeTable", &["Table"], &["Table"]),
    ("CreateTable", &["TableDescription"], &["TableDescription"]),
];

/// Why it is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoResponse {
    /// A page for people, or a redirect that was followed.
    #[error("another status than 200")]
    Status,
    /// It is not the protocol of DynamoDB.
    #[error("another content type")]
    ContentType,
    /// AWS counts every request.
    #[error("no request id")]
    NoRequestId,
    /// It is empty, cut off, or no JSON.
    #[error("no JSON object")]
    NoObject,
    /// Nothing here asks for that.
    #[error("an unknown operation")]
    UnknownOperation,
    /// It answers another question.
    #[error("the members of something else")]
    Members,
}

/// Lets only answers of DynamoDB through.
#[derive(Debug)]
pub struct ChecksResponses;

impl Intercept for ChecksResponses {
    fn name(&self) -> &'static str {
        "ChecksResponses"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let operation = config.load::<Metadata>().map(Metadata::name).unwrap_or_default();
        Ok(check(operation, context.response())?)
    }
}

/// Refusals pass: their code identifies them, and none of them shows a success.
fn check(operation: &str, response: &HttpResponse) -> Result<(), NoResponse> {
    let status = response.status();
    if !status.is_success() {
        return Ok(());
    }
    if status.as_u16() != 200 {
        return Err(NoResponse::Status);
    }
    let headers = response.headers();
    let content_type = headers.get("content-type").unwrap_or_default();
    if content_type.split(';').next().unwrap_or_default().trim() != CONTENT_TYPE {
        return Err(NoResponse::ContentType);
    }
    if headers.get("x-amzn-requestid").is_none_or(str::is_empty) {
        return Err(NoResponse::NoRequestId);
    }
    let body = response.body().bytes().unwrap_or_default();
    let members: BTreeMap<String, IgnoredAny> =
        serde_json::from_slice(body).map_err(|_| NoResponse::NoObject)?;
    let known = OPERATIONS.iter().find(|(name, ..)| *name == operation);
    let Some((_, must, can)) = known else { return Err(NoResponse::UnknownOperation) };
    let complete = must.iter().all(|name| members.contains_key(*name));
    if complete && members.keys().all(|name| can.contains(&name.as_str())) {
        Ok(())
    } else {
        Err(NoResponse::Members)
    }
}

#[cfg(test)]
mod tests {
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;

    use super::*;

    fn response(status: u16, content_type: &str, body: &str) -> HttpResponse {
        let status = StatusCode::try_from(status).unwrap();
        let mut response = HttpResponse::new(status, SdkBody::from(body));
        response.headers_mut().insert("content-type", content_type.to_owned());
        response.headers_mut().insert("x-amzn-requestid", "1");
        response
    }

    fn verdict(operation: &str, body: &str) -> Result<(), NoResponse> {
        check(operation, &response(200, CONTENT_TYPE, body))
    }

    #[test]
    fn answers_of_each_operation_pass() {
        for (operation, body) in [
            ("GetItem", "{}"),
            ("GetItem", r#"{"Item":{"election":{"S":"a"}}}"#),
            ("PutItem", "{}"),
            ("PutItem", r#"{"Attributes":{"election":{"S":"a"}}}"#),
            ("Scan", r#"{"Items":[],"Count":0,"ScannedCount":0}"#),
            ("DescribeTable", r#"{"Table":{"TableName":"leases"}}"#),
            ("CreateTable", r#"{"TableDescription":{}}"#),
        ] {
            assert_eq!(verdict(operation, body), Ok(()), "{operation}: {body}");
        }
        let charset = response(200, "application/x-amz-json-1.0; charset=utf-8", "{}");
        assert_eq!(check("GetItem", &charset), Ok(()));
        assert_eq!(check("PutItem", &response(503, "text/html", "")), Ok(()), "a refusal");
    }

    #[test]
    fn a_response_that_dynamodb_never_sends_is_no_answer() {
        for (operation, body) in [
            ("GetItem", ""),
            ("GetItem", "[]"),
            ("GetItem", "null"),
            ("GetItem", "<html>down for maintenance</html>"),
            ("GetItem", r#"{"message":"Rate exceeded"}"#),
            ("GetItem", r#"{"Attributes":{}}"#),
            ("PutItem", ""),
            ("PutItem", r#"{"Item":{}}"#),
            ("PutItem", r#"{"__type":"InternalServerError"}"#),
            ("Scan", "{}"),
            ("DescribeTable", "{}"),
            ("DeleteItem", "{}"),
        ] {
            assert!(verdict(operation, body).is_err(), "{operation}: {body}");
        }
        assert!(check("PutItem", &response(204, CONTENT_TYPE, "")).is_err());
        assert!(check("PutItem", &response(202, CONTENT_TYPE, "{}")).is_err());
        assert!(check("GetItem", &response(200, "application/json", "{}")).is_err());
        let mut nameless = response(200, CONTENT_TYPE, "{}");
        nameless.headers_mut().remove("x-amzn-requestid");
        assert_eq!(check("GetItem", &nameless), Err(NoResponse::NoRequestId));
    }
}
