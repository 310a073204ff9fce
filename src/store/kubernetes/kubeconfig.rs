//! The file that kubectl reads, as far as it describes how to reach an API server.

use std::io;
use std::path::{Path, PathBuf};

use hyper::Uri;
use saphyr::{LoadableYamlNode as _, Scalar, Yaml};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use url::Url;

use super::exec::{Exec, Plugin, UnsupportedVersion};
use crate::store::small_file;

/// A kubeconfig. Its parts stay as they are until one is chosen: kubectl takes a file with others that are incomplete,
/// such as a user without a login.
#[derive(Debug, Deserialize)]
pub struct Kubeconfig {
    #[serde(rename = "current-context")]
    current_context: Option<String>,
    contexts: Option<Vec<Value>>,
    clusters: Option<Vec<Value>>,
    users: Option<Vec<Value>>,
    /// Paths in it are relative to it.
    #[serde(skip)]
    folder: PathBuf,
}

#[derive(Debug, Default, Deserialize)]
struct Context {
    cluster: Option<String>,
    user: Option<String>,
    namespace: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    server: Option<String>,
    certificate_authority: Option<PathBuf>,
    certificate_authority_data: Option<String>,
    insecure_skip_tls_verify: Option<bool>,
    tls_server_name: Option<String>,
    proxy_url: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct User {
    token: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<PathBuf>,
    client_certificate: Option<PathBuf>,
    client_certificate_data: Option<String>,
    client_key: Option<PathBuf>,
    client_key_data: Option<String>,
    exec: Option<Exec>,
    username: Option<String>,
    auth_provider: Option<Value>,
    #[serde(rename = "as")]
    acts_as: Option<String>,
    as_uid: Option<String>,
    as_groups: Option<Vec<String>>,
    as_user_extra: Option<Map<String, Value>>,
}

/// What is missing in a kubeconfig, wrong or not supported. The file has secrets in it: nothing but
/// names and paths is repeated.
#[derive(Debug, thiserror::Error)]
pub enum KubeconfigError {
    #[error("not UTF-8")]
    NotUtf8,
    #[error("it is not a kubeconfig")]
    NotOne,
    #[error("it has no current-context; add ?context=NAME to the store URL")]
    NoContext,
    #[error("it has no {what} '{}'", name.escape_debug())]
    Missing { what: &'static str, name: String },
    #[error("its context '{}' names no cluster", context.escape_debug())]
    NoCluster { context: String },
    #[error("its {what} '{}' has a value of a wrong type, or lacks one", name.escape_debug())]
    Malformed { what: &'static str, name: String },
    #[error("{0} is not supported")]
    Unsupported(&'static str),
    #[error("the 'server' of its cluster is not of the form https://HOST:PORT")]
    Server,
    #[error(transparent)]
    Plugin(#[from] UnsupportedVersion),
    #[error("a certificate in it is not base64")]
    NotBase64,
    #[error("it has a client certificate without a key, or a key without one")]
    HalfIdentity,
    #[error("cannot read {}: {error}", file.display())]
    Unreadable { file: PathBuf, error: io::Error },
}

/// One context, with the parts that it refers to.
#[derive(Debug)]
pub struct Chosen {
    pub server: String,
    pub namespace: Option<String>,
    pub login: Login,
    cluster: Cluster,
    user: User,
    folder: PathBuf,
}

/// A certificate by which a user is known, and its key, as PEM.
pub struct Identity {
    pub certificate: Vec<u8>,
    pub key: Vec<u8>,
}

/// How a user logs in, beside a certificate.
#[derive(Debug)]
pub enum Login {
    None,
    Token(String),
    TokenFile(PathBuf),
    Plugin(Plugin),
}

impl Kubeconfig {
    /// Reads the text of a file in `folder`.
    ///
    /// # Errors
    ///
    /// When it is not a kubeconfig.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, KubeconfigError> {
        let documents = Yaml::load_from_str(text).ok();
        let document = documents.and_then(|documents| documents.into_iter().next());
        let config = document.map(|document| serde_json::from_value(json(&document)));
        match config {
            Some(Ok(config)) => Ok(Self { folder: folder.to_owned(), ..config }),
            Some(Err(_)) | None => Err(KubeconfigError::NotOne),
        }
    }

    /// The context of this name, or the current one.
    ///
    /// # Errors
    ///
    /// What is missing, or not supported.
    pub fn context(self, name: Option<&str>) -> Result<Chosen, KubeconfigError> {
        let current = self.current_context.as_deref();
        let name = name.or(current).filter(|name| !name.is_empty());
        let name = name.ok_or(KubeconfigError::NoContext)?;
        let missing = |what, name: &str| KubeconfigError::Missing { what, name: name.to_owned() };
        let context: Option<Context> = part(self.contexts.as_deref(), "context", name)?;
        let context = context.ok_or_else(|| missing("context", name))?;
        let cluster_name = context.cluster.filter(|cluster| !cluster.is_empty());
        let no_cluster = || KubeconfigError::NoCluster { context: name.to_owned() };
        let cluster_name = cluster_name.ok_or_else(no_cluster)?;
        let cluster: Option<Cluster> = part(self.clusters.as_deref(), "cluster", &cluster_name)?;
        let cluster = cluster.ok_or_else(|| missing("cluster", &cluster_name))?;
        let user_name = context.user.unwrap_or_default();
        let user: User = match part(self.users.as_deref(), "user", &user_name)? {
            Some(user) => user,
            None if user_name.is_empty() => User::default(),
            None => return Err(missing("user", &user_name)),
        };
        let unsupported = |what| Err(KubeconfigError::Unsupported(what));
        if cluster.insecure_skip_tls_verify == Some(true) {
            return unsupported("insecure-skip-tls-verify");
        }
        if given(&cluster.tls_server_name) {
            return unsupported("tls-server-name");
        }
        if given(&cluster.proxy_url) {
            return unsupported("proxy-url");
        }
        let server = cluster.server.clone().unwrap_or_default();
        check_server(&server)?;
        if let Some(what) = user.unsupported() {
            return unsupported(what);
        }
        let folder = self.folder;
        let token = user.token.as_ref().filter(|token| !token.is_empty());
        let token_file = user.token_file.as_ref().filter(|file| !file.as_os_str().is_empty());
        let login = match (token_file, token, &user.exec) {
            (Some(file), ..) => Login::TokenFile(folder.join(file)),
            (None, Some(token), _) => Login::Token(token.clone()),
            (None, None, Some(exec)) => Login::Plugin(Plugin::new(exec.clone().of(&folder))?),
            (None, None, None) => Login::None,
        };
        Ok(Chosen { server, namespace: context.namespace, login, cluster, user, folder })
    }
}

/// The part of this kind and name in a list; one without values is an empty one.
fn part<T: DeserializeOwned + Default>(
    list: Option<&[Value]>,
    what: &'static str,
    name: &str,
) -> Result<Option<T>, KubeconfigError> {
    let is_it = |entry: &&Value| entry.get("name").and_then(Value::as_str) == Some(name);
    let Some(entry) = list.unwrap_or_default().iter().find(is_it) else { return Ok(None) };
    match entry.get(what) {
        None | Some(Value::Null) => Ok(Some(T::default())),
        Some(part) => T::deserialize(part)
            .map(Some)
            .map_err(|_| KubeconfigError::Malformed { what, name: name.to_owned() }),
    }
}

/// Checks the address of a server. Errors of requests repeat it, and the HTTP interface shows them, so it must not
/// contain a password.
fn check_server(server: &str) -> Result<(), KubeconfigError> {
    let unsupported = |what| Err(KubeconfigError::Unsupported(what));
    if server.is_empty() {
        return Err(KubeconfigError::Server);
    }
    if !server.starts_with("https://") {
        return unsupported("a server without https://");
    }
    let url = Url::parse(server).map_err(|_| KubeconfigError::Server)?;
    if !url.username().is_empty() || url.password().is_some() {
        return unsupported("a server with a user name or a password");
    }
    // Requests use the text itself, with a path behind it: the reader of URLs forgives more than they do.
    let is_plain = url.has_host() && url.query().is_none() && url.fragment().is_none();
    let is_usable = server.parse::<Uri>().is_ok();
    if is_plain && is_usable { Ok(()) } else { Err(KubeconfigError::Server) }
}

impl User {
    /// What would make this process another user than kubectl, or none.
    fn unsupported(&self) -> Option<&'static str> {
        let acts_as_another = given(&self.acts_as)
            || given(&self.as_uid)
            || self.as_groups.as_ref().is_some_and(|groups| !groups.is_empty())
            || self.as_user_extra.as_ref().is_some_and(|extra| !extra.is_empty());
        if given(&self.username) {
            Some("a user name with a password")
        } else if self.auth_provider.is_some() {
            Some("auth-provider")
        } else {
            acts_as_another.then_some("impersonation ('as')")
        }
    }
}

/// As kubectl reads it, an empty text is none.
fn given(text: &Option<String>) -> bool {
    text.as_ref().is_some_and(|text| !text.is_empty())
}

impl Chosen {
    /// The certificates that the server's is checked against; none: the public ones.
    ///
    /// # Errors
    ///
    /// Why they cannot be read.
    pub fn authority(&self) -> Result<Option<Vec<u8>>, KubeconfigError> {
        let Cluster { certificate_authority: file, certificate_authority_data: data, .. } =
            &self.cluster;
        self.pem(file.as_deref(), data.as_deref())
    }

    /// The certificate and the key by which the user is known, if there are any.
    ///
    /// # Errors
    ///
    /// Why they cannot be read.
    pub fn client_certificate(&self) -> Result<Option<Identity>, KubeconfigError> {
        let user = &self.user;
        let certificate =
            self.pem(user.client_certificate.as_deref(), user.client_certificate_data.as_deref())?;
        let key = self.pem(user.client_key.as_deref(), user.client_key_data.as_deref())?;
        match (certificate, key) {
            (Some(certificate), Some(key)) => Ok(Some(Identity { certificate, key })),
            (None, None) => Ok(None),
            _ => Err(KubeconfigError::HalfIdentity),
        }
    }

    /// Data in the kubeconfig takes precedence over data in a file.
    fn pem(
        &self,
        file: Option<&Path>,
        data: Option<&str>,
    ) -> Result<Option<Vec<u8>>, KubeconfigError> {
        if let Some(data) = data.filter(|data| !data.is_empty()) {
            return decode_base64(data).map(Some).ok_or(KubeconfigError::NotBase64);
        }
        let Some(file) = file.filter(|file| !file.as_os_str().is_empty()) else { return Ok(None) };
        let file = self.folder.join(file);
        let read = small_file::read(&file);
        read.map(Some).map_err(|error| KubeconfigError::Unreadable { file, error })
    }
}

fn decode_base64(text: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    // A block of YAML may have lines.
    let text: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}

/// YAML as JSON: a kubeconfig can always be written as JSON.
fn json(node: &Yaml<'_>) -> Value {
    match node {
        Yaml::Value(Scalar::Boolean(flag)) => Value::Bool(*flag),
        Yaml::Value(Scalar::Integer(number)) => Value::from(*number),
        Yaml::Value(Scalar::FloatingPoint(number)) => Value::from(number.into_inner()),
        Yaml::Value(Scalar::String(text)) => Value::from(text.as_ref()),
        Yaml::Sequence(nodes) => nodes.iter().map(json).collect(),
        Yaml::Mapping(fields) => {
            let named = |(name, value): (&Yaml<'_>, &Yaml<'_>)| {
                name.as_str().map(|name| (name.to_owned(), json(value)))
            };
            Value::Object(fields.iter().filter_map(named).collect())
        }
        Yaml::Tagged(_, node) => json(node),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As kubectl writes it, with fields that are not used here.
    const TEXT: &str = r#"
apiVersion: v1
kind: Config
preferences: {}
current-context: prod
contexts:
- context: {cluster: prod, user: admin, namespace: shop}
  name: prod
- context:
    cluster: other
    user: ""
  name: other
clusters:
- cluster:
    server: https://10.0.0.1:6443/
    certificate-authority-data: Y2VydA==
  name: prod
- cluster: {server: "https://[::1]:6443", insecure-skip-tls-verify: true}
  name: other
users:
- name: admin
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      command: aws
      args: [eks, get-token]
      env: null
      interactiveMode: IfAvailable
"#;

    fn chosen(context: Option<&str>) -> Result<Chosen, KubeconfigError> {
        Kubeconfig::parse(TEXT, Path::new("/home")).unwrap().context(context)
    }

    #[test]
    fn the_current_context_names_server_namespace_and_login() {
        let prod = chosen(None).unwrap();
        assert_eq!(prod.server, "https://10.0.0.1:6443/");
        assert_eq!(prod.namespace.as_deref(), Some("shop"));
        assert_eq!(prod.authority().unwrap().as_deref(), Some(&b"cert"[..]));
        assert!(matches!(prod.login, Login::Plugin(_)));
        assert!(prod.client_certificate().unwrap().is_none());
    }

    fn of_user(user: &str) -> Result<Chosen, KubeconfigError> {
        let text = format!(
            "current-context: c\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
             clusters: [{{name: c, cluster: {{server: 'https://a', proxy-url: '', tls-server-name: '', certificate-authority: ''}}}}]\n\
             users: [{{name: u, user: {user}}}]"
        );
        Kubeconfig::parse(&text, Path::new("/home")).unwrap().context(None)
    }

    #[test]
    fn an_empty_text_is_none_as_for_kubectl() {
        let exec = "exec: {apiVersion: client.authentication.k8s.io/v1, command: aws}";
        let login = |user: &str| of_user(user).unwrap().login;
        assert!(matches!(login(&format!("{{token: '', {exec}}}")), Login::Plugin(_)));
        assert!(matches!(login(&format!("{{tokenFile: '', {exec}}}")), Login::Plugin(_)));
        assert!(matches!(login("{tokenFile: '', token: t, username: ''}"), Login::Token(_)));
        assert!(matches!(login("{token: t, as: '', as-groups: []}"), Login::Token(_)));
        let nothing = "current-context: c\ncontexts: [{name: c, context: {cluster: c}}]\n\
                       clusters: [{name: c, cluster: {server: 'https://a'}}]\nusers: null";
        let chosen = Kubeconfig::parse(nothing, Path::new("/")).unwrap().context(None).unwrap();
        assert!(matches!(chosen.login, Login::None));
        assert_eq!(decode_base64(" Y2Vy\r\n dA==\n").unwrap(), b"cert");
    }

    #[test]
    fn empty_paths_and_an_empty_impersonation_are_none() {
        let chosen = of_user(
            "{token: t, as-user-extra: {}, client-certificate: '', client-key: '', client-key-data: ''}",
        );
        let chosen = chosen.unwrap();
        assert!(chosen.client_certificate().unwrap().is_none());
        assert!(chosen.authority().unwrap().is_none());
        let env = "{exec: {apiVersion: client.authentication.k8s.io/v1, command: aws, \
                   env: [{name: A, value: null}, {name: B}]}}";
        assert!(matches!(of_user(env).unwrap().login, Login::Plugin(_)));
    }

    #[test]
    fn parts_that_are_not_used_may_be_incomplete() {
        let text = "
current-context: null
contexts:
- {name: unused}
- {name: other, context: {user: u}}
- {name: c, context: {cluster: c, user: u, namespace: null}}
clusters:
- {name: unused, cluster: null}
- {name: odd, cluster: {server: 7}}
- {name: c, cluster: {server: 'https://a', insecure-skip-tls-verify: null}}
users:
- {name: unused, user: null}
- {name: old, user: {exec: {command: aws}}}
- {name: u, user: {token: t}}
";
        let of = |context: Option<&str>| {
            let config = Kubeconfig::parse(text, Path::new("/")).unwrap();
            config.context(context).map(|chosen| chosen.server).map_err(|why| why.to_string())
        };
        assert_eq!(of(Some("c")).unwrap(), "https://a");
        assert!(of(None).unwrap_err().starts_with("it has no current-context"));
        assert_eq!(of(Some("other")).unwrap_err(), "its context 'other' names no cluster");
        assert_eq!(of(Some("unused")).unwrap_err(), "its context 'unused' names no cluster");
    }

    #[test]
    fn the_part_that_is_wrong_is_named_without_its_values() {
        let old = of_user("{exec: {command: aws}}").unwrap_err().to_string();
        assert_eq!(old, "the exec plugin's version '' is not supported");
        let odd = of_user("{token: [hunter2]}").unwrap_err().to_string();
        assert_eq!(odd, "its user 'u' has a value of a wrong type, or lacks one");
        let text = TEXT.replace("https://10.0.0.1:6443/", "''");
        let none = Kubeconfig::parse(&text, Path::new("/")).unwrap().context(None).unwrap_err();
        assert!(none.to_string().starts_with("the 'server' of its cluster"), "{none}");
    }

    #[test]
    fn a_server_with_a_password_is_refused_without_it() {
        let of_server = |server: &str| {
            let text = TEXT.replace("https://10.0.0.1:6443/", server);
            Kubeconfig::parse(&text, Path::new("/")).unwrap().context(None)
        };
        for good in ["https://api.example", "https://[::1]:6443", "https://h/k8s/clusters/c-1/"] {
            assert!(of_server(good).is_ok(), "{good}");
        }
        for (bad, words) in [
            ("https://user:hunter2@h", "a server with a user name or a password is not supported"),
            ("https://hunter2@h:1", "a server with a user name or a password is not supported"),
            ("https:///user:hunter2@h", "a server with a user name or a password is not supported"),
            ("http://user:hunter2@h", "a server without https:// is not supported"),
            ("https://user:hunter2#@h", "the 'server' of its cluster is not of the form"),
            ("https://h?token=hunter2", "the 'server' of its cluster is not of the form"),
            ("https://", "the 'server' of its cluster is not of the form https://HOST:PORT"),
            ("https://h:hunter2", "the 'server' of its cluster is not of the form"),
            ("https://h hunter2", "the 'server' of its cluster is not of the form"),
        ] {
            let refused = of_server(&format!("'{bad}'")).unwrap_err().to_string();
            assert!(refused.starts_with(words), "{bad}: {refused}");
            assert!(!refused.contains("hunter2"), "{refused}");
        }
    }

    #[test]
    fn missing_and_unsupported_settings_are_named() {
        let refusal = |context| chosen(Some(context)).unwrap_err().to_string();
        assert_eq!(refusal("none"), "it has no context 'none'");
        assert_eq!(refusal("other"), "insecure-skip-tls-verify is not supported");
        assert_eq!(
            KubeconfigError::NoContext.to_string(),
            "it has no current-context; add ?context=NAME to the store URL"
        );
        for (user, what) in [
            ("{token: t, as: admin}", "impersonation ('as')"),
            ("{token: t, as-uid: '7'}", "impersonation ('as')"),
            ("{token: t, as-groups: [a]}", "impersonation ('as')"),
            ("{token: t, as-user-extra: {a: [b]}}", "impersonation ('as')"),
            ("{auth-provider: {name: oidc}}", "auth-provider"),
            ("{username: u}", "a user name with a password"),
        ] {
            let refused = of_user(user).unwrap_err().to_string();
            assert_eq!(refused, format!("{what} is not supported"));
        }
        for bad in ["", "just words", "users: 7", "users: null", "a: [", "{"] {
            let parsed = Kubeconfig::parse(bad, Path::new("/")).and_then(|c| c.context(None));
            assert!(parsed.is_err(), "{bad}");
        }
    }
}
