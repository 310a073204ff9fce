//! A term that was handed out survives a crash of the server.

use crate::postgres::stores::{acquired, open, renewed, won};
use support::postgres::{Bouncer, Server};

/// Notes `synchronous_commit` as it is at the commit of every write.
const WITNESS: &str = "
    CREATE TABLE seen (setting text);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER witness AFTER INSERT OR UPDATE ON bellwether.leases
      DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note();";

async fn settings_seen(default: &str, through_pooler: bool) -> String {
    let server = Server::shared();
    let database = server.database().await;
    let bouncer = through_pooler.then(|| Bouncer::before(&server));
    let url = bouncer.as_ref().map_or_else(|| server.url(&database), |b| b.url(&database));
    let alter = format!("ALTER DATABASE {database} SET synchronous_commit = {default}");
    server.run_sql("postgres", &alter).await;
    assert_eq!(server.ask(&database, "current_setting('synchronous_commit')").await, default);
    let store = open(&url);
    bellwether::store::Store::init(&*store).await.unwrap();
    server.run_sql(&database, WITNESS).await;
    let first = won(&store, None, &acquired("a", 1)).await;
    won(&store, Some(&first), &renewed(&acquired("a", 1))).await;
    server.ask(&database, "SELECT string_agg(setting, ',') FROM seen").await
}

#[tokio::test]
async fn a_commit_that_does_not_wait_for_the_disk_is_overruled() {
    assert_eq!(settings_seen("off", false).await, "on,on");
}

#[tokio::test]
async fn it_is_overruled_behind_a_pooler_too() {
    assert_eq!(settings_seen("off", true).await, "on,on");
}

#[tokio::test]
async fn a_stricter_commit_is_left_alone() {
    assert_eq!(settings_seen("remote_apply", false).await, "remote_apply,remote_apply");
}
