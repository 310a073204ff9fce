//! The page shows what happened, in the moments that count: a crash, an outage, a restart.

use crate::page::browser::Browser;
use crate::page::scene::LONGER;
use support::network::{Mode, Proxy};
use support::postgres::{self, Server};
use support::{Flock, Pasture, Sidecar, eventually};

const HERE: &str = ".election .here";
const LEFT: &str = ".election .left";
const REASON: &str = ".election .reason";
const NEWEST: &str = "#timeline .change:first-child";

/// How many pieces of the strip are of this kind and can be seen.
fn pieces(browser: &Browser, kind: &str) -> u64 {
    let wide = "piece => piece.getBoundingClientRect().width > 1";
    let all = format!("[...document.querySelectorAll('.strip .{kind}')]");
    browser.eval(&format!("{all}.filter({wide}).length")).as_u64().unwrap()
}

#[test]
fn a_crash_is_not_shown_as_a_hand_over() {
    let pasture = Pasture::new();
    let mut flock = Flock::start_with(&["alice", "bob"], &pasture.store(), &LONGER);
    let leads = flock.settled();
    let browser = Browser::start();
    browser.open(&format!("{}/", flock.members[1 - leads].url));
    let old = flock.members[leads].name.clone();
    browser.reads("#timeline", &format!("{old} leads"));
    flock.members[leads].kill();
    browser.reads(NEWEST, "took over after the lease ran out (last renewal ");
    let timeline = browser.text("#timeline");
    assert!(!timeline.contains("handed over"), "{timeline}");
    eventually("the strip shows the time without a leader", || {
        (pieces(&browser, "vacant") > 0).then_some(())
    });

    let third = Sidecar::start_with(&old, &pasture.store(), &LONGER);
    eventually("it follows", || third.leader().holder().map(drop));
    flock.members[1 - leads].signal("TERM");
    eventually("it leads", || third.leader().leads().then_some(()));
    browser.open(&format!("{}/", third.url));
    browser.reads(NEWEST, "handed over in ");
    assert!(!browser.text(NEWEST).contains("ran out"));
}

#[test]
fn an_outage_of_the_sidecars_own_is_no_time_without_a_leader() {
    let server = Server::shared();
    let proxy = Proxy::in_background(server.port());
    let within = [&LONGER[..], &["--namespace", "page-outage"]].concat();
    let leader = Sidecar::start_with("alice", &server.url("postgres"), &within);
    eventually("it leads", || leader.leader().leads().then_some(()));
    let url = postgres::url(proxy.port(), "postgres", "postgres");
    let standby = Sidecar::start_with("bob", &url, &within);
    let browser = Browser::start();
    browser.open(&format!("{}/", standby.url));
    browser.reads(LEFT, "ready to take over");
    browser.reads("#timeline", "alice leads");
    proxy.set(Mode::Cut);
    browser.reads(REASON, "the store");
    browser.reads(".election .holder", "the leader is not known");
    proxy.set(Mode::Pass);
    browser.reads(NEWEST, "alice known again after ");
    let tone = browser.eval(&format!("document.querySelector('{NEWEST}').dataset.tone"));
    assert_eq!(tone, "quiet");
    let timeline = browser.text("#timeline");
    assert!(
        !timeline.contains("without a leader") && !timeline.contains("no instance leads"),
        "{timeline}"
    );
    assert_eq!(pieces(&browser, "vacant"), 0);
    eventually("the strip shows the outage", || (pieces(&browser, "unknown") > 0).then_some(()));
    browser.reads(LEFT, "ready to take over");
    assert_eq!(browser.text(REASON), "");
}

#[test]
fn a_sidecar_that_was_away_ended_no_leadership_of_another() {
    let pasture = Pasture::new();
    let leader = Sidecar::start_with("alice", &pasture.store(), &LONGER);
    eventually("it leads", || leader.leader().leads().then_some(()));
    let mut standby = Sidecar::start_with("bob", &pasture.store(), &LONGER);
    let address = standby.url.trim_start_matches("http://").to_owned();
    let browser = Browser::start();
    browser.open(&format!("{}/", standby.url));
    browser.reads("#timeline", "alice leads");
    standby.kill();
    browser.reads("#contact", "no contact");
    let more = [&LONGER[..], &["--listen", &address]].concat();
    let again = Sidecar::start_with("bob", &pasture.store(), &more);
    eventually("it follows", || again.leader().holder().map(drop));
    browser.reads("#timeline", "alice known again after ");
    assert_eq!(pieces(&browser, "vacant"), 0);
    eventually("the strip shows the gap", || (pieces(&browser, "unknown") > 0).then_some(()));
}

#[test]
fn an_earlier_run_is_not_this_instance() {
    let pasture = Pasture::new();
    let long = ["--lease-duration", "15s", "--renew-deadline", "10s"];
    let mut first = Sidecar::start_with("alice", &pasture.store(), &long);
    eventually("it leads", || first.leader().leads().then_some(()));
    let browser = Browser::start();
    browser.open(&format!("{}/", first.url));
    browser.reads(HERE, "this instance");
    first.kill();
    let second = Sidecar::start_with("alice", &pasture.store(), &long);
    browser.open(&format!("{}/", second.url));
    browser.reads(HERE, "an earlier run of this instance; its lease runs out in ");
    assert_eq!(browser.text(LEFT), "this instance waits for that lease to run out");
    assert_eq!(pieces(&browser, "hue-own"), 0, "it does not lead");
    browser.reads(".election .state", "leads");
    browser.reads(HERE, "this instance");
    assert!(!browser.text(HERE).contains("earlier"));
    browser.reads(NEWEST, "took over after the lease ran out");
}

#[test]
fn a_standby_shows_an_overdue_leader_and_the_page_names_store_and_durations() {
    let pasture = Pasture::new();
    // Overdue begins after half of the lease: the rest of it has to last on a busy machine.
    let long = ["--lease-duration", "20s", "--renew-deadline", "9s", "--retry-period", "1s"];
    let leader = Sidecar::start_with("alice", &pasture.store(), &long);
    eventually("it leads", || leader.leader().leads().then_some(()));
    let standby = Sidecar::start_with("bob", &pasture.store(), &long);
    let browser = Browser::start();
    browser.open(&format!("{}/", standby.url));
    let file = pasture.store().replacen("sqlite://", "SQLite file ", 1);
    browser.reads("#settings", &file);
    assert!(!browser.text("#settings").contains("sqlite:"), "{}", browser.text("#settings"));
    browser.reads("#settings", "lease 20\u{a0}s, renew deadline 9\u{a0}s, retry period 1\u{a0}s");
    browser.reads(LEFT, "ready to take over");
    leader.signal("STOP");
    eventually("the page says since when", || {
        let left = browser.text(LEFT);
        (left.contains("last renewal ") && left.contains("; takes over in ")).then_some(())
    });
    browser.reads(".election .state", "leads");
    leader.signal("CONT");
}
