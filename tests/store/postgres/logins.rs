//! What a session costs the server.

use bellwether::store::Store as _;

use crate::postgres::stores::{acquired, default, eventually, observed_again, open, won};
use support::postgres::Server;

fn logins(server: &Server) -> usize {
    let log = server.log();
    let ours = |line: &&str| {
        line.contains("connection authorized") && line.contains("application_name=bellwether")
    };
    log.lines().filter(ours).count()
}

#[tokio::test]
async fn a_session_that_is_replaced_logs_in_once() {
    let server = Server::start(&["log_connections = on"]);
    let store = open(&server.url("postgres"));
    store.init().await.unwrap();
    won(&store, None, &acquired("a", 1)).await;
    eventually("the self-test passes", || async { store.pushes().then_some(()) }).await;
    for _ in 0..3 {
        let before = logins(&server);
        let terminate = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                         WHERE application_name = 'bellwether'";
        eventually("one session", || async {
            (server.ask("postgres", terminate).await == "1").then_some(())
        })
        .await;
        observed_again(&store).await;
        eventually("the login is in the log", || async {
            (logins(&server) > before).then_some(())
        })
        .await;
        assert_eq!(logins(&server), before + 1);
    }
}

/// What is counted is what a renewal and a look cost when nothing happens.
#[tokio::test]
async fn a_look_is_one_message_and_a_renewal_two() {
    let server = Server::start(&["log_statement = all"]);
    let store = open(&server.url("postgres"));
    store.init().await.unwrap();
    let mut version = won(&store, None, &acquired("a", 1)).await;
    eventually("the self-test passes", || async { store.pushes().then_some(()) }).await;
    observed_again(&store).await;
    let messages = || server.log().matches("LOG:  statement:").count();
    let settled = eventually("it is quiet", || async {
        let before = messages();
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        (messages() == before).then_some(before)
    })
    .await;
    for _ in 0..10 {
        let renewed = crate::postgres::stores::renewed(&acquired("a", 1));
        version = won(&store, Some(&version), &renewed).await;
        crate::postgres::stores::observed(&store).await;
    }
    // The second announces the renewal.
    assert_eq!(messages(), settled + 30);
}

/// `once` with a key that is done, and `status`, read one record and exit.
#[tokio::test]
async fn the_request_that_opens_a_session_does_not_wait_for_it_to_listen() {
    let server = Server::start(&["log_statement = all", "log_line_prefix = '%p '"]);
    let (first, store) = (open(&server.url("postgres")), open(&server.url("postgres")));
    first.init().await.unwrap();
    store.observe(&default()).await.unwrap();
    eventually("the self-test passes", || async { store.pushes().then_some(()) }).await;
    let log = server.log();
    let read = log.lines().find(|line| line.contains("SELECT 'record'")).unwrap();
    let session = read.split(' ').next().unwrap();
    let in_session = |line: &&str| line.split(' ').next() == Some(session);
    let mut words = log.lines().filter(in_session).skip_while(|line| *line != read);
    assert!(words.any(|line| line.contains("statement: LISTEN \"bellwether_test")), "{log}");
}
