//! Releases that follow each other, on a real API server.

use std::sync::Arc;

use support::bellwether;
use support::kubernetes::ApiServer;
use support::releases::Releases;

fn home() -> (Arc<ApiServer>, Releases) {
    let server = ApiServer::shared();
    let releases = Releases::on(&server.url(&server.namespace()), bellwether);
    (server, releases)
}

support::releases_follow_each_other!(home());
