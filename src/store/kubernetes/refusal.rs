//! The meaning of the API server's refusals, with what to do.

use super::api::ApiResponse;
use super::lease::object_name;
use crate::election::lease::ElectionName;
use crate::election::text;
use crate::store::contract::StoreError;

/// The requested operation, for the rule that grants it.
pub enum Right<'a> {
    /// To list the APIs: every user who has logged in may do it.
    Discover,
    /// To read and write the Lease of one election.
    Use(&'a ElectionName),
    /// To create Leases: a right that cannot be limited to a name.
    Create,
    /// To list them, for `status`.
    List,
}

impl Right<'_> {
    /// The rule of a Role, on one line of YAML.
    fn rule(&self) -> String {
        let names = |name: String| format!(", resourceNames: ['{name}']");
        let (names, verbs) = match self {
            Self::Discover => return String::new(),
            Self::Use(election) => (names(object_name(election)), "get, update, watch"),
            Self::Create => (String::new(), "create"),
            Self::List => (String::new(), "list"),
        };
        format!(
            "{{apiGroups: [coordination.k8s.io], resources: [leases]{names}, verbs: [{verbs}]}}"
        )
    }
}

/// The failure that an answer means.
pub fn explain(namespace: &str, right: &Right<'_>, response: &ApiResponse) -> StoreError {
    let status = response.failure();
    let code = response.status;
    let message = text::message(&status.message);
    match (code.as_u16(), status.reason.as_str()) {
        (403, _) if status.message.contains("being terminated") => StoreError::Misconfigured(
            format!("the namespace '{namespace}' is being deleted: no Lease can be created in it"),
        ),
        (403, _) => StoreError::Misconfigured(format!(
            "a right is missing in the namespace '{namespace}': {message}; grant it by this rule \
             in a Role that is bound to the pod's service account: {}",
            right.rule()
        )),
        (404, _) if status.details.kind == "namespaces" => StoreError::Misconfigured(format!(
            "the namespace '{namespace}' does not exist; create it, or name another in the store \
             URL"
        )),
        (429, _) => {
            StoreError::Unavailable("the API server asks for fewer requests (429)".to_owned())
        }
        (400 | 404 | 405 | 413 | 422, _) => StoreError::Misconfigured(format!(
            "the API server refuses the Lease ({code}): {message}"
        )),
        _ => StoreError::Unavailable(format!("the API server fails ({code}): {message}")),
    }
}
