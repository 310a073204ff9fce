//! The Postgres store, on a server of the test's own: direct, and through PgBouncer.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bellwether::election::lease::ElectionName;
use bellwether::store::Store;
use bellwether::store::postgres::{PostgresStore, Target};

use crate::conformance::subject::Subject;
use support::postgres::{Bouncer, Server};

struct Postgres {
    server: Arc<Server>,
    bouncer: Option<Bouncer>,
    database: String,
    url: String,
    store: Arc<PostgresStore>,
}

fn open(url: &str) -> Arc<PostgresStore> {
    let target = Target::parse(url, &|_| None).unwrap();
    Arc::new(PostgresStore::new(target, Duration::from_secs(20)))
}

async fn postgres(through_pooler: bool) -> Postgres {
    on(Server::shared(), through_pooler).await
}

async fn on(server: Arc<Server>, through_pooler: bool) -> Postgres {
    let database = server.database().await;
    let bouncer = through_pooler.then(|| Bouncer::before(&server));
    let url = bouncer.as_ref().map_or_else(|| server.url(&database), |b| b.url(&database));
    let store = open(&url);
    Postgres { server, bouncer, database, url, store }
}

#[async_trait]
impl Subject for Postgres {
    fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    fn from_another_process(&self) -> Arc<dyn Store> {
        open(&self.url)
    }

    fn pushes_hints(&self) -> bool {
        self.bouncer.is_none()
    }

    /// The clock is the server's: instead of it, the end of every lease is moved.
    async fn let_pass(&self, time: Duration) {
        let ms = time.as_millis();
        let sql = format!(
            "UPDATE bellwether.leases SET expires_at = expires_at - interval '{ms} milliseconds'"
        );
        self.server.run_sql(&self.database, &sql).await;
    }

    async fn write_future_shape(&self, election: &ElectionName) -> Option<String> {
        let sql = "ALTER TABLE bellwether.leases ADD COLUMN more text; \
                   UPDATE bellwether.leases SET format = 99, more = 'of the future'";
        self.server.run_sql(&self.database, sql).await;
        Some(self.raw(election).await)
    }

    async fn forget_later_columns(&self) {
        let sql = "ALTER TABLE bellwether.leases DROP COLUMN origin, DROP COLUMN holder_url, \
                   DROP COLUMN pause, DROP COLUMN handover";
        self.server.run_sql(&self.database, sql).await;
    }

    async fn write_as_older_version(&self, election: &ElectionName, incarnation: &str) -> bool {
        let sql = format!(
            "UPDATE bellwether.leases SET incarnation = '{incarnation}' WHERE election = '{election}'"
        );
        self.server.run_sql(&self.database, &sql).await;
        true
    }

    async fn raw(&self, election: &ElectionName) -> String {
        let sql = format!(
            "SELECT string_agg(l::text, '') FROM bellwether.leases l WHERE election = '{election}'"
        );
        self.server.ask(&self.database, &sql).await
    }
}

mod direct {
    crate::conformance::conformance!(super::postgres(false));
}

mod through_pgbouncer {
    crate::conformance::conformance!(super::postgres(true));
}

mod on_a_promoted_standby {
    crate::conformance::conformance!(super::on(support::postgres::Server::promoted(), false));
}
