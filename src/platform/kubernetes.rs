//! Kubernetes: the pod, by the downward API or by what every pod has.

use std::fs;

use super::surroundings::Surroundings;

/// By the downward API, as most manifests name them.
const POD_NAME: &str = "POD_NAME";
const POD_NAMESPACE: &str = "POD_NAMESPACE";

/// The label `pod-template-hash`, by the downward API.
pub const TEMPLATE_HASH: &str = "BELLWETHER_POD_TEMPLATE_HASH";
/// What the pod belongs to, if that is not in its name.
pub const WORKLOAD: &str = "BELLWETHER_WORKLOAD";
/// The revision of it, if the deployment knows that.
pub const REVISION: &str = "BELLWETHER_REVISION";

/// Set by Kubernetes in every container.
pub const SERVICE_HOST: &str = "KUBERNETES_SERVICE_HOST";

/// Mounted into every pod that has a service account, from the root of the file system.
const NAMESPACE_FILE: &str = "var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Where it is, if that is known.
    pub namespace: Option<String>,
}

/// The pod that this process runs in, if it does.
///
/// Without the downward API the name is the host's: right unless the pod uses the node's network or
/// sets a name of its own.
pub fn pod(surroundings: Surroundings<'_>, hostname: &str) -> Option<Pod> {
    let named = surroundings.var(POD_NAME);
    if named.is_none() && surroundings.var(SERVICE_HOST).is_none() {
        return None;
    }
    let from_file = || fs::read_to_string(surroundings.root.join(NAMESPACE_FILE)).ok();
    let namespace = surroundings.var(POD_NAMESPACE).or_else(from_file);
    let namespace = namespace.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    Some(Pod { name: named.unwrap_or_else(|| hostname.to_owned()), namespace })
}

/// The template that a pod was made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Where it is.
    pub namespace: String,
    /// What it belongs to.
    pub workload: String,
    /// Another one for each template.
    pub hash: String,
    /// A number that grows with each, if it was given.
    pub revision: Option<u64>,
}

/// What has to be set, so that the template of a pod is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownTemplate {
    /// The label.
    #[error(
        "Kubernetes: set BELLWETHER_POD_TEMPLATE_HASH by the downward API, from \
         metadata.labels['pod-template-hash']"
    )]
    NoHash,
    /// What the pod belongs to.
    #[error("Kubernetes: set BELLWETHER_WORKLOAD, or POD_NAME")]
    NoWorkload,
    /// Where it is.
    #[error("Kubernetes: set POD_NAMESPACE")]
    NoNamespace,
    /// Its order.
    #[error("Kubernetes: BELLWETHER_REVISION is not a number")]
    Revision,
}

/// The template of the pod that this process runs in, if this is Kubernetes.
///
/// # Errors
///
/// What has to be set.
pub fn template(
    surroundings: Surroundings<'_>,
    hostname: &str,
) -> Option<Result<Template, UnknownTemplate>> {
    let pod = pod(surroundings, hostname)?;
    let found = || {
        let hash = surroundings.var(TEMPLATE_HASH).ok_or(UnknownTemplate::NoHash)?;
        // A pod of a Deployment is called WORKLOAD-HASH-RANDOM.
        let of_name = pod.name.rsplit_once(&format!("-{hash}-")).map(|(name, _)| name.to_owned());
        let workload = surroundings.var(WORKLOAD).or(of_name);
        let workload = workload.ok_or(UnknownTemplate::NoWorkload)?;
        let namespace = pod.namespace.ok_or(UnknownTemplate::NoNamespace)?;
        let revision = surroundings.var(REVISION).map(|number| number.parse()).transpose();
        let revision = revision.map_err(|_| UnknownTemplate::Revision)?;
        Ok(Template { namespace, workload, hash, revision })
    };
    Some(found())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_pod(variables: &[(&str, &str)], file: Option<&str>) -> Option<Pod> {
        let root = tempfile::tempdir().unwrap();
        if let Some(namespace) = file {
            let path = root.path().join(NAMESPACE_FILE);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, namespace).unwrap();
        }
        let env = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        pod(Surroundings { env: &env, root: root.path() }, "web-0")
    }

    #[test]
    fn the_downward_api_comes_before_what_every_pod_has() {
        let kubernetes = (SERVICE_HOST, "10.0.0.1");
        let pod = |name: &str, namespace: Option<&str>| {
            Some(Pod { name: name.to_owned(), namespace: namespace.map(str::to_owned) })
        };
        assert_eq!(in_pod(&[], Some("prod")), None, "elsewhere");
        assert_eq!(in_pod(&[kubernetes], None), pod("web-0", None));
        assert_eq!(in_pod(&[kubernetes], Some("prod\n")), pod("web-0", Some("prod")));
        let both = [kubernetes, (POD_NAME, "api-1"), (POD_NAMESPACE, "shop")];
        assert_eq!(in_pod(&both, Some("prod")), pod("api-1", Some("shop")));
        assert_eq!(in_pod(&both[1..2], Some("prod")), pod("api-1", Some("prod")));
        let empty = [kubernetes, (POD_NAME, ""), (POD_NAMESPACE, "")];
        assert_eq!(in_pod(&empty, None), pod("web-0", None));
    }
}
