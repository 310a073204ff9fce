//! What a sidecar may do, how it reports a missing right, and how it authenticates.

use std::fs;
use std::net::TcpListener;
use std::process::Stdio;

use support::kubernetes::{ApiServer, USER_NAME, url};
use support::tools::must;
use support::{Sidecar, bellwether, eventually};

/// The least rights: those that the documents name.
fn grant(server: &ApiServer, namespace: &str, verbs: &str, create: bool) {
    let create = if create {
        "- {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [create]}\n"
    } else {
        ""
    };
    server.apply(&format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {{name: bellwether, \
         namespace: {namespace}}}\nrules:\n- {{apiGroups: [coordination.k8s.io], resources: \
         [leases], resourceNames: [default], verbs: [{verbs}]}}\n{create}---\napiVersion: \
         rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: bellwether, namespace: \
         {namespace}}}\nroleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: \
         bellwether}}\nsubjects:\n- {{kind: User, name: {USER_NAME}, apiGroup: \
         rbac.authorization.k8s.io}}\n"
    ));
}

#[test]
fn the_least_rights_are_enough() {
    let server = ApiServer::shared();
    let namespace = server.namespace();
    grant(&server, &namespace, "get, update, watch", true);
    let sidecar = Sidecar::start("a", &url(&namespace, &server.user()));
    eventually("it leads", || sidecar.leader().leads().then_some(()));
}

/// Those of an operator: `list` is for `status` only, and `watch` for instances.
#[test]
fn get_and_update_are_enough_for_pause_and_resume() {
    let server = ApiServer::shared();
    let namespace = server.namespace();
    let operator = url(&namespace, &server.user());
    let operates = |command: &str| {
        let output = bellwether().args([command, "--store", &operator]).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    };
    let (code, printed) = operates("pause");
    assert_eq!(code, Some(69), "{printed}");
    assert!(printed.contains("resourceNames: ['default'], verbs: [get"), "{printed}");
    let sidecar = Sidecar::start("a", &server.url(&namespace));
    eventually("it leads", || sidecar.leader().leads().then_some(()));
    grant(&server, &namespace, "get", false);
    eventually("the error demands the right to update", || {
        let (code, printed) = operates("pause");
        (code == Some(69) && printed.contains("update")).then_some(())
    });
    grant(&server, &namespace, "get, update", false);
    eventually("it is paused", || (operates("pause").0 == Some(0)).then_some(()));
    assert!(!sidecar.leader().leads());
    assert_eq!(operates("resume").0, Some(0));
    eventually("it leads again", || sidecar.leader().leads().then_some(()));
}

#[test]
fn a_missing_right_is_named_with_the_rule_that_grants_it() {
    let server = ApiServer::shared();
    let namespace = server.namespace();
    let sidecar = Sidecar::start("a", &url(&namespace, &server.user()));
    let rule = "resources: [leases], resourceNames: ['default'], verbs: [get, update, watch]}";
    eventually("it says what is missing", || (sidecar.log().count(rule) > 0).then_some(()));
    grant(&server, &namespace, "get, update, watch", false);
    let rule = "resources: [leases], verbs: [create]}";
    eventually("it says what is still missing", || (sidecar.log().count(rule) > 0).then_some(()));
    grant(&server, &namespace, "get, update, watch", true);
    eventually("it leads", || sidecar.leader().leads().then_some(()));
}

/// Projected tokens are replaced in their file from time to time.
#[test]
fn a_token_that_was_rotated_is_read_again() {
    let server = ApiServer::shared();
    let namespace = server.namespace();
    must(server.kubectl().args(["create", "serviceaccount", "app", "-n", &namespace]));
    let account = format!("--serviceaccount={namespace}:app");
    let bound = ["create", "rolebinding", "app", "--clusterrole=admin", &account, "-n", &namespace];
    must(server.kubectl().args(bound));
    grant(&server, &namespace, "get", false);
    let more = "- {apiGroups: [coordination.k8s.io], resources: [leases], verbs: ['*']}";
    server.apply(&format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {{name: app, namespace: \
         {namespace}}}\nrules:\n{more}\n---\napiVersion: rbac.authorization.k8s.io/v1\nkind: \
         RoleBinding\nmetadata: {{name: leases, namespace: {namespace}}}\nroleRef: {{apiGroup: \
         rbac.authorization.k8s.io, kind: Role, name: app}}\nsubjects:\n- {{kind: ServiceAccount, \
         name: app, namespace: {namespace}}}\n"
    ));
    let token = || must(server.kubectl().args(["create", "token", "app", "-n", &namespace]));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, token()).unwrap();
    let user = format!("tokenFile: {}", file.display());
    let kubeconfig = server.kubeconfig_for(&format!("{namespace}-token"), server.port(), &user);
    let sidecar = Sidecar::start("a", &url(&namespace, &kubeconfig));
    eventually("it leads", || sidecar.leader().leads().then_some(()));
    fs::write(&file, "an unknown token").unwrap();
    eventually("it leads no more", || (!sidecar.leader().leads()).then_some(()));
    fs::write(&file, token()).unwrap();
    eventually("it leads again", || sidecar.leader().leads().then_some(()));
}

#[test]
fn a_program_of_the_kubeconfig_gives_the_token() {
    let server = ApiServer::shared();
    let namespace = server.namespace();
    let token = r#"echo '{"status":{"token":"token-of-the-administrator"}}'"#;
    let user = format!(
        "exec:\n      apiVersion: client.authentication.k8s.io/v1\n      command: sh\n      args: \
         [-c, {}]\n      interactiveMode: Never",
        serde_json::to_string(token).unwrap()
    );
    let kubeconfig = server.kubeconfig_for(&format!("{namespace}-exec"), server.port(), &user);
    let sidecar = Sidecar::start("a", &url(&namespace, &kubeconfig));
    eventually("it leads", || sidecar.leader().leads().then_some(()));
}

/// As a load balancer does that has lost what is behind it.
#[test]
fn a_server_that_never_responds_is_left_for_the_one_that_the_kubeconfig_names_then() {
    let server = ApiServer::shared();
    let namespace = server.namespace();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let (file, login) = (format!("{namespace}-moved"), "token: token-of-the-administrator");
    let kubeconfig = server.kubeconfig_for(&file, silent.local_addr().unwrap().port(), login);
    let sidecar = Sidecar::start("a", &url(&namespace, &kubeconfig));
    eventually("it does not know", || {
        let state = sidecar.leader();
        (!state.leads() && state.body["storeError"].is_string()).then_some(())
    });
    server.kubeconfig_for(&file, server.port(), login);
    eventually("it leads", || sidecar.leader().leads().then_some(()));
}

#[test]
fn outside_of_a_cluster_the_error_demands_a_way_to_one() {
    let mut status = bellwether();
    status
        .args(["status", "--store", "kubernetes://shop"])
        .env_remove("HOME")
        .env_remove("KUBECONFIG");
    let output = status.stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(69));
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(printed.contains("set KUBECONFIG"), "{printed}");
}
