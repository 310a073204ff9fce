//! How instances and elections are named.

use serde_json::{Value, json};

use crate::page::browser::Browser;
use crate::page::scene::{arn, elections, flags, leading, leading_all, wide};
use support::{Pasture, eventually};

/// The height of the highest row, in pixels.
const HIGHEST: &str = "Math.max(...[...document.querySelectorAll('.election')].map(row => row.getBoundingClientRect().height))";

/// What is wider than its place, other than by a sign that it is cut, and what a name shows.
const WIDER: &str = "document.documentElement.scrollWidth - document.documentElement.clientWidth";

/// What is painted of the names of the holders: not what a style sheet cuts off.
const HOLDERS: &str = "[...document.querySelectorAll('.election .who')].map(who =>
    [who.innerText, who.title, who.scrollWidth > who.clientWidth])";

#[test]
fn forty_elections_with_arns_have_one_line_each_and_show_what_differs() {
    let pasture = Pasture::new();
    let names = elections(40);
    let (mine, others) =
        (arn("158d1c8083dd49d6b527399fd6414f5c"), arn("9c2b7e9f14f34b0c8f5f4a7de2a7f0a1"));
    let flags = flags(&names);
    let _other = leading_all(&pasture, &others, &flags[40..]);
    let own = leading(&pasture, &mine, &flags);
    eventually("all are decided", || {
        let all = own.get("/elections")?.body["elections"].as_array()?.clone();
        all.iter().all(|one| one["holderIdentity"].is_string()).then_some(())
    });
    let browser = Browser::start();
    for width in [1280, 1024] {
        wide(&browser, width);
        browser.open(&format!("{}/", own.url));
        let rows = || browser.eval("document.querySelectorAll('.election').length");
        eventually("all are there", || (rows() == 40).then_some(()));
        browser.reads(".election:last-child .who", "…");
        let highest = browser.eval(HIGHEST).as_f64().unwrap();
        assert!(highest <= 44.0, "{highest} px at {width}");
        assert_eq!(browser.eval(WIDER), 0, "at {width}");
        let holders = eventually("all are led", || {
            let holders = browser.eval(HOLDERS);
            holders.as_array()?.iter().all(|holder| holder[0] != "").then_some(holders)
        });
        for holder in holders.as_array().unwrap() {
            let [short, title, cut] = [&holder[0], &holder[1], &holder[2]];
            let whole = [&mine, &others].into_iter().find(|name| *title == name.as_str());
            let whole = whole.unwrap_or_else(|| panic!("the title is a whole name: {holder}"));
            let end = short.as_str().unwrap().strip_prefix('…').expect("a part of it");
            assert!(whole.ends_with(end) && end.len() >= 12, "{holder}");
            assert_eq!(*cut, false, "{holder}");
        }
    }
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_name_is_copied_whole_by_click_and_by_keyboard() {
    let pasture = Pasture::new();
    let name = arn("158d1c8083dd49d6b527399fd6414f5c");
    let sidecar = leading(&pasture, &name, &[]);
    let browser = Browser::start();
    browser.call(
        "Browser.grantPermissions",
        json!({"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}),
    );
    browser.open(&format!("{}/", sidecar.url));
    browser.reads(".election .who", "158d1c8083dd49d6b527399fd6414f5c");
    let clipboard = || browser.eval("navigator.clipboard.readText()");
    let cleared = || browser.eval("navigator.clipboard.writeText('').then(() => true)");

    browser.click(".election .who");
    eventually("it is copied", || (clipboard() == name.as_str()).then_some(()));
    browser.reads("#copied", &name);
    for place in [".election .who", "#timeline .who", "#me"] {
        assert_eq!(cleared(), true);
        browser.eval(&format!("document.querySelector('{place}').focus()"));
        browser.key("Enter");
        eventually(place, || (clipboard() == name.as_str()).then_some(()));
    }
    assert_eq!(cleared(), true);
    browser.click(".election .name");
    eventually("the election's name as well", || (clipboard() == "default").then_some(()));

    // What is served without TLS from another host has no clipboard.
    browser.eval("Object.defineProperty(navigator, 'clipboard', {value: undefined})");
    browser.eval("window.copied = ''; document.addEventListener('copy', () => { copied = String(getSelection()) })");
    browser.click("#me");
    eventually("the older way", || (browser.eval("copied") == name.as_str()).then_some(()));
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

/// The rules, tried in the page itself: each case has the names to load and the names to show.
#[test]
fn short_names_stay_distinct() {
    let pasture = Pasture::new();
    let sidecar = leading(&pasture, "alice", &[]);
    let browser = Browser::start();
    browser.open(&format!("{}/page.js", sidecar.url));
    let script = "fetch('page.js').then(answer => answer.text()).then(text => {
        // Only the last part of the script does anything: without it, its functions can be called.
        const functions = text.slice(0, text.indexOf('// The status page:'));
        window.shorten = (names, width, endFirst) => {
            const shown = new Function(functions + '; return shortened')()(names, width, endFirst);
            return names.map(shown);
        };
        return true;
    })";
    assert_eq!(browser.eval(script), true);
    // `status` and the log are tested with the same cases.
    let cases = include_str!("../../../src/http/page/names.cases.json");
    for case in serde_json::from_str::<Vec<Value>>(cases).unwrap() {
        let (names, width, end) = (&case["names"], &case["width"], case["distinct"] == "end");
        let shown = browser.eval(&format!("shorten({names}, {width}, {end})"));
        assert_eq!(shown, case["short"], "{case}");
    }
    // The page counts characters, and a terminal columns.
    let wide = browser.eval("shorten(['羊の群れのリーダー'], 5, true)");
    assert_eq!(wide, json!(["…リーダー"]));
}
