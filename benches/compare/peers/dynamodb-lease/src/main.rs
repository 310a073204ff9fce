//! A candidate of dynamodb-lease, as its README has it: it leads while its lease is healthy.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::signal::unix::{SignalKind, signal};

/// Prints what this candidate believes, as `report.go` does.
fn report(what: &str) {
    let now = clock_gettime(ClockId::Boottime);
    println!("{} {what}", now.tv_sec * 1_000_000_000 + now.tv_nsec);
}

fn setting(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

#[tokio::main]
async fn main() {
    let mut stop_signal = signal(SignalKind::terminate()).expect("signals can be received");
    let seconds = setting("LEASE").trim_end_matches('s').parse().expect("LEASE is in seconds");
    let config = aws_config::load_from_env().await;
    let client = dynamodb_lease::Client::builder()
        .table_name("leases")
        .lease_ttl_seconds(seconds)
        .build_and_check_db(aws_sdk_dynamodb::Client::new(&config))
        .await
        .expect("the table is there");
    let lease = tokio::select! {
        lease = client.acquire(setting("ELECTION")) => lease.expect("a lease"),
        _ = stop_signal.recv() => return,
    };
    report("lead");
    let works = std::env::var_os("WORK").is_some();
    let pause = Duration::from_millis(if works { 5 } else { 500 });
    while lease.is_healthy() {
        if works {
            report("act");
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stop_signal.recv() => {
                report("stop");
                lease.release().await.expect("the lease is released");
                return;
            }
        }
    }
    report("stop");
}
