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
    /// The rule of a Role, on one line of YAML; none for a right that every user has.
    fn rule(&self) -> Option<String> {
        let names = |name: String| format!(", resourceNames: ['{name}']");
        let (names, verbs) = match self {
            Self::Discover => return None,
            Self::Use(election) => (names(object_name(election)), "get, update, watch"),
            Self::Create => (String::new(), "create"),
            Self::List => (String::new(), "list"),
        };
        Some(format!(
            "{{apiGroups: [coordination.k8s.io], resources: [leases]{names}, verbs: [{verbs}]}}"
        ))
    }
}

/// Whether a refusal means that a rule is missing: quotas, admission webhooks and policies refuse with 403, too.
/// Authorization says which user "cannot" do what.
pub fn is_missing_right(message: &str) -> bool {
    message.contains(" cannot ")
}

/// The failure that an answer means. `from` is the source of the login.
pub fn explain(
    namespace: &str,
    from: &str,
    right: &Right<'_>,
    response: &ApiResponse,
) -> StoreError {
    let status = response.failure();
    let code = response.status;
    let message = text::message(&status.message);
    match (code.as_u16(), status.reason.as_str()) {
        (403, _) if status.message.contains("being terminated") => StoreError::Misconfigured(
            format!("the namespace '{namespace}' is being deleted: no Lease can be created in it"),
        ),
        (403, _) => StoreError::Misconfigured(match right.rule() {
            None => format!(
                "{message}; the login from {from} is not known to the cluster: check the user of \
                 the context or the service account's token"
            ),
            Some(rule) if is_missing_right(&status.message) => format!(
                "a right is missing in the namespace '{namespace}': {message}; grant it by this \
                 rule in a Role that is bound to the pod's service account: {rule}"
            ),
            Some(_) => format!(
                "the API server refuses the Lease in the namespace '{namespace}' (403): {message}"
            ),
        }),
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

#[cfg(test)]
mod tests {
    use hyper::StatusCode;

    use super::*;

    fn forbidden(right: &Right<'_>, message: &str) -> String {
        let status = serde_json::json!({
            "kind": "Status", "reason": "Forbidden", "code": 403, "message": message,
        });
        let body = status.to_string().into();
        let response = ApiResponse { status: StatusCode::FORBIDDEN, body, date: None };
        let error = explain("shop", "the pod's service account", right, &response);
        assert!(matches!(error, StoreError::Misconfigured(_)), "{error:?}");
        error.to_string()
    }

    #[test]
    fn a_rule_is_advised_only_where_one_is_missing() {
        let missing = "leases.coordination.k8s.io is forbidden: User \"u\" cannot create resource \
                       \"leases\" in API group \"coordination.k8s.io\" in the namespace \"shop\"";
        let text = forbidden(&Right::Create, missing);
        assert!(text.contains(missing) && text.contains("verbs: [create]}"), "{text}");
        for other in [
            "leases.coordination.k8s.io \"default\" is forbidden: exceeded quota: leases",
            "admission webhook \"policy.example\" denied the request: no Leases here",
        ] {
            let text = forbidden(&Right::Create, other);
            let words = "the API server refuses the Lease in the namespace 'shop' (403): ";
            assert_eq!(text, format!("{words}{other}"));
        }
    }

    #[test]
    fn a_login_that_is_not_known_is_no_missing_rule() {
        let message = "forbidden: User \"system:anonymous\" cannot get path \"/apis\"";
        let text = forbidden(&Right::Discover, message);
        let words = "; the login from the pod's service account is not known to the cluster";
        assert!(text.starts_with(&format!("{message}{words}")), "{text}");
        assert!(!text.contains("rule"), "{text}");
    }
}
