//! What the tests of the page share.

use serde_json::json;

use crate::page::browser::Browser;
use support::{Pasture, Sidecar, eventually};

/// So long that a busy machine does not make a leader lose its lease: the page would show it.
pub const LONGER: [&str; 6] =
    ["--lease-duration", "6s", "--renew-deadline", "4s", "--retry-period", "500ms"];

/// The task of an ECS service, as its ARN.
pub fn arn(task: &str) -> String {
    format!("arn:aws:ecs:eu-central-1:123456789012:task/shop-production/{task}")
}

/// The names of so many elections.
pub fn elections(count: usize) -> Vec<String> {
    let jobs = ["invoices", "mail-digest", "search-index", "stock-sync"];
    let tenants =
        ["aachen", "bergen", "cork", "delft", "espoo", "faro", "ghent", "hull", "izmir", "jena"];
    let all = tenants.iter().flat_map(|tenant| jobs.map(|job| format!("{job}-{tenant}")));
    all.take(count).collect()
}

/// A sidecar that leads in all of its elections.
pub fn leading_all(pasture: &Pasture, name: &str, more: &[&str]) -> Sidecar {
    let sidecar = Sidecar::start_with(name, &pasture.store(), &[&LONGER, more].concat());
    eventually("it leads everywhere", || {
        let all = sidecar.get("/elections")?.body["elections"].as_array()?.clone();
        all.iter().all(|one| one["leader"] == true).then_some(())
    });
    sidecar
}

/// A sidecar that leads in its first election.
pub fn leading(pasture: &Pasture, name: &str, more: &[&str]) -> Sidecar {
    let sidecar = Sidecar::start_with(name, &pasture.store(), &[&LONGER, more].concat());
    eventually("it leads", || sidecar.leader().leads().then_some(()));
    sidecar
}

/// Gives the page this width.
pub fn wide(browser: &Browser, width: u32) {
    let metrics =
        json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500});
    browser.call("Emulation.setDeviceMetricsOverride", metrics);
}

/// The flags of a sidecar that stands in these elections.
pub fn flags(names: &[String]) -> Vec<&str> {
    names.iter().flat_map(|name| ["--election", name.as_str()]).collect()
}
