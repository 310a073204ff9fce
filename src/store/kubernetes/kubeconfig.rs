//! The file that kubectl reads, as far as it describes how to reach an API server.

use std::io;
use std::path::{Path, PathBuf};

use hyper::Uri;
use saphyr::{LoadableYamlNode as _, Scalar, Yaml};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::exec::{Exec, Plugin, UnsupportedVersion};
use crate::store::small_file;

/// A kubeconfig.
#[derive(Debug, Deserialize)]
pub struct Kubeconfig {
    #[serde(rename = "current-context", default)]
    current_context: String,
    #[serde(default)]
    contexts: Option<Vec<NamedContext>>,
    #[serde(default)]
    clusters: Option<Vec<NamedCluster>>,
    #[serde(default)]
    users: Option<Vec<NamedUser>>,
    /// Paths in it are relative to it.
    #[serde(skip)]
    folder: PathBuf,
}

#[derive(Debug, Deserialize)]
struct NamedContext {
    name: String,
    context: Context,
}

#[derive(Debug, Deserialize)]
struct Context {
    cluster: String,
    #[serde(default)]
    user: String,
    #[serde(default)]
    namespace: Option<String>,
}

#[derive(Debug, Deserialize)]
struct NamedCluster {
    name: String,
    cluster: Cluster,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    server: String,
    #[serde(default)]
    certificate_authority: Option<PathBuf>,
    #[serde(default)]
    certificate_authority_data: Option<String>,
    #[serde(default)]
    insecure_skip_tls_verify: bool,
    #[serde(default)]
    tls_server_name: Option<String>,
    #[serde(default)]
    proxy_url: Option<String>,
}

#[derive(Debug, Deserialize)]
struct NamedUser {
    name: String,
    user: User,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct User {
    #[serde(default)]
    token: Option<String>,
    #[serde(default, rename = "tokenFile")]
    token_file: Option<PathBuf>,
    #[serde(default)]
    client_certificate: Option<PathBuf>,
    #[serde(default)]
    client_certificate_data: Option<String>,
    #[serde(default)]
    client_key: Option<PathBuf>,
    #[serde(default)]
    client_key_data: Option<String>,
    #[serde(default)]
    exec: Option<Exec>,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    auth_provider: Option<Value>,
    #[serde(default, rename = "as")]
    acts_as: Option<String>,
    #[serde(default)]
    as_uid: Option<String>,
    #[serde(default)]
    as_groups: Option<Vec<String>>,
    #[serde(default)]
    as_user_extra: Option<Value>,
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
        let name = name.unwrap_or(&self.current_context).to_owned();
        if name.is_empty() {
            return Err(KubeconfigError::NoContext);
        }
        let missing = |what, name: &str| KubeconfigError::Missing { what, name: name.to_owned() };
        let context = self.contexts.into_iter().flatten().find(|context| context.name == name);
        let context = context.ok_or_else(|| missing("context", &name))?.context;
        let cluster =
            self.clusters.into_iter().flatten().find(|cluster| cluster.name == context.cluster);
        let cluster = cluster.ok_or_else(|| missing("cluster", &context.cluster))?.cluster;
        let user = self.users.into_iter().flatten().find(|user| user.name == context.user);
        let user = match user {
            Some(user) => user.user,
            None if context.user.is_empty() => User::default(),
            None => return Err(missing("user", &context.user)),
        };
        let unsupported = |what| Err(KubeconfigError::Unsupported(what));
        if cluster.insecure_skip_tls_verify {
            return unsupported("insecure-skip-tls-verify");
        }
        if given(&cluster.tls_server_name) {
            return unsupported("tls-server-name");
        }
        if given(&cluster.proxy_url) {
            return unsupported("proxy-url");
        }
        check_server(&cluster.server)?;
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
        let (server, namespace) = (cluster.server.clone(), context.namespace);
        Ok(Chosen { server, namespace, login, cluster, user, folder })
    }
}

/// Checks the address of a server. Errors of requests repeat it, and the HTTP interface shows them, so it must not
/// contain a password.
fn check_server(server: &str) -> Result<(), KubeconfigError> {
    let unsupported = |what| Err(KubeconfigError::Unsupported(what));
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
            || self.as_user_extra.is_some();
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
        let Some(file) = file else { return Ok(None) };
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
             clusters: [{{name: c, cluster: {{server: 'https://a', proxy-url: '', tls-server-name: ''}}}}]\n\
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
