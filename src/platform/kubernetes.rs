//! Kubernetes: the pod, by the downward API or by what every pod has.

use std::fs;

use super::surroundings::Surroundings;

/// By the downward API, as most manifests name them.
const POD_NAME: &str = "POD_NAME";
const POD_NAMESPACE: &str = "POD_NAMESPACE";

/// Set by Kubernetes in every container.
pub const SERVICE_HOST: &str = "KUBERNETES_SERVICE_HOST";

/// Mounted into every pod that has a service account, from the root of the file system.
const NAMESPACE_FILE: &str = "var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Where it is, if that can be told.
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
