//! Pictures of the page as real processes make it, at the widths of a telephone and of two screens, by
//! day and by night. With `BELLWETHER_WRITE_DOCS` they are written: the best of them to `docs`, all to
//! the folder that it names, if it names one.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::page::browser::Browser;
use crate::page::scene::{LONGER, arn, elections, flags, leading, leading_all, wide};
use support::lock::Lock;
use support::{Flock, Pasture, eventually};

const WIDTHS: [u32; 3] = [390, 1024, 1280];

/// What is in the pages of `docs`.
const IN_DOCS: [&str; 4] =
    ["healthy-1280-light", "crash-390-dark", "outage-1024-light", "forty-1280-dark"];

/// Elements that are wider than the page, other than what is moved out of sight.
const TOO_WIDE: &str = "[...document.querySelectorAll('body *')].filter(it =>
    it.checkVisibility() && it.getBoundingClientRect().right > innerWidth + 0.5).map(it => it.outerHTML.slice(0, 200))";

/// Looks at the page in every width and scheme.
fn picture(browser: &Browser, scene: &str) {
    for width in WIDTHS {
        wide(browser, width);
        for scheme in ["light", "dark"] {
            let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
            browser.call("Emulation.setEmulatedMedia", json!({"features": features}));
            let drawn =
                "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))";
            browser.eval(drawn);
            let name = format!("{scene}-{width}-{scheme}");
            let overflow =
                "document.documentElement.scrollWidth - document.documentElement.clientWidth";
            assert_eq!(browser.eval(overflow), 0, "{name}");
            assert_eq!(browser.eval(TOO_WIDE), json!([]), "{name}");
            for folder in folders(&name) {
                let taken = browser.call("Page.captureScreenshot", json!({"format": "png"}));
                let bytes = decoded(browser, taken["data"].as_str().unwrap());
                fs::write(folder.join(format!("page-{name}.png")), bytes).unwrap();
            }
        }
    }
}

/// Where a picture is written to.
fn folders(name: &str) -> Vec<PathBuf> {
    let Some(wanted) = std::env::var_os("BELLWETHER_WRITE_DOCS") else { return Vec::new() };
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let in_docs = IN_DOCS.contains(&name).then_some(docs);
    let all = Some(PathBuf::from(wanted)).filter(|wanted| wanted.is_dir());
    in_docs.into_iter().chain(all).collect()
}

/// The bytes of a picture, as the browser reads them.
fn decoded(browser: &Browser, picture: &str) -> Vec<u8> {
    let bytes =
        browser.eval(&format!("[...Uint8Array.from(atob('{picture}'), it => it.charCodeAt(0))]"));
    let bytes = bytes.as_array().unwrap().iter();
    bytes.map(|byte| u8::try_from(byte.as_u64().unwrap()).unwrap()).collect()
}

#[test]
fn four_elections_that_are_well() {
    let pasture = Pasture::new();
    let names = ["billing", "cron", "mail-digest", "search-index"].map(str::to_owned);
    let _other = leading_all(&pasture, "web-6b7f9c5d8-x2k8p", &flags(&names[2..]));
    let own = leading(&pasture, "web-6b7f9c5d8-h4tzq", &flags(&names));
    let resign = format!("{}/elections/cron/resign", own.url);
    assert_eq!(ureq::post(&resign).send_json(json!({"cooldown": "1h"})).unwrap().status(), 200);
    let _third = leading(&pasture, "web-6b7f9c5d8-9vwlm", &flags(&names[1..2]));
    let browser = Browser::start();
    browser.open(&format!("{}/", own.url));
    browser.reads("#timeline", "web-6b7f9c5d8-9vwlm leads");
    browser.reads("#list", "resigned");
    picture(&browser, "healthy");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn after_a_crash() {
    let pasture = Pasture::new();
    let names =
        ["ip-10-0-1-17.eu-west-1.compute.internal", "ip-10-0-2-23.eu-west-1.compute.internal"];
    let mut flock = Flock::start_with(&names, &pasture.store(), &LONGER);
    let leads = flock.settled();
    let browser = Browser::start();
    browser.open(&format!("{}/", flock.members[1 - leads].url));
    browser.reads("#timeline", "leads");
    flock.members[leads].kill();
    browser.reads(".election .state", "leads");
    browser.reads("#timeline", "took over after the lease ran out");
    picture(&browser, "crash");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn forty_elections_and_an_outage_of_their_store() {
    let pasture = Pasture::new();
    let names = elections(40);
    let (mine, others) =
        (arn("158d1c8083dd49d6b527399fd6414f5c"), arn("9c2b7e9f14f34b0c8f5f4a7de2a7f0a1"));
    let flags = flags(&names);
    let _other = leading_all(&pasture, &others, &flags[34..]);
    let own = leading(&pasture, &mine, &flags);
    let resign = format!("{}/elections/{}/resign", own.url, names[5]);
    assert_eq!(ureq::post(&resign).send_json(json!({"cooldown": "1h"})).unwrap().status(), 200);
    let browser = Browser::start();
    browser.open(&format!("{}/", own.url));
    browser.reads("#kinds", "standing by23");
    browser.reads("#kinds", "stood down1");
    picture(&browser, "forty");
    let lock = Lock::take(&pasture);
    eventually("no leader is known", || {
        let none = "[...document.querySelectorAll('.election .who')].every(who => who.hidden)";
        (browser.eval(none) == true).then_some(())
    });
    browser.reads("#banner", "In 39 of 40 elections");
    picture(&browser, "outage");
    drop(lock);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
