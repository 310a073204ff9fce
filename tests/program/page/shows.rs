//! What the page shows.

use serde_json::json;

use crate::page::browser::Browser;
use crate::page::scene::{LONGER, elections, flags, leading, leading_all, wide};
use support::lock::Lock;
use support::{Flock, Pasture, Sidecar, bellwether, eventually};

/// The only election, as cards show it.
const STATE: &str = ".election .state";
const HOLDER: &str = ".election .holder";

#[test]
fn the_page_shows_the_leader_and_changes_alone_at_a_hand_over() {
    let pasture = Pasture::new();
    let flock = Flock::start_with(&["alice", "bob"], &pasture.store(), &LONGER);
    let browser = Browser::start();
    let leads = flock.settled();
    let (old, new) = (&flock.members[leads], &flock.members[1 - leads]);
    browser.open(&format!("{}/", new.url));
    browser.reads(STATE, "stands by");
    browser.reads(HOLDER, &old.name);
    browser.reads("#contact", "live");
    browser.reads("#timeline", &format!("{} leads", old.name));
    let loaded = browser.eval("performance.timeOrigin");

    old.signal("TERM");
    browser.reads(HOLDER, &new.name);
    browser.reads(STATE, "leads");
    let change = format!("{} leads", new.name);
    browser.reads("#timeline .change:first-child", &change);
    browser.reads("#spoken", &change);
    let meter = || browser.eval("Number(document.querySelector('[role=meter]').ariaValueNow)");
    eventually("the validity is shown", || (meter().as_f64() > Some(0.0)).then_some(()));
    assert_eq!(browser.eval("performance.timeOrigin"), loaded, "the page was not loaded again");
    let link = browser.eval("document.querySelector('footer p a').href");
    assert_eq!(link, concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/README.md"));
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn the_page_claims_nothing_of_a_sidecar_that_does_not_answer() {
    let pasture = Pasture::new();
    let mut sidecar = leading(&pasture, "alice", &[]);
    let browser = Browser::start();
    browser.open(&format!("{}/", sidecar.url));
    browser.reads(STATE, "leads");

    // A frozen process keeps its connections: only the page's own patience ends this claim.
    sidecar.signal("STOP");
    browser.reads(STATE, "unknown");
    browser.reads("#alarm", "No contact with the sidecar");
    assert_eq!(browser.text(".election .meter"), "");
    assert_eq!(browser.eval("document.querySelector('.meter').checkVisibility()"), false);
    sidecar.signal("CONT");
    browser.reads("#contact", "live");
    browser.reads(STATE, "leads");
    assert_eq!(browser.text("#alarm"), "");

    // A page that is not looked at does not ask: it must not claim anything when it is seen again.
    let title = || browser.eval("document.title").as_str().unwrap().to_owned();
    eventually("the title says it", || title().starts_with("leads · alice").then_some(()));
    let look = |state: &str| {
        browser.eval(&format!(
            "Object.defineProperty(document, 'visibilityState', {{ value: '{state}', configurable: true }});
             document.dispatchEvent(new Event('visibilitychange'))"
        ));
    };
    look("hidden");
    assert_eq!(browser.text(STATE), "unknown");
    assert_eq!(title(), "alice · bellwether");
    look("visible");
    browser.reads(STATE, "leads");

    sidecar.kill();
    browser.reads(STATE, "unknown");
    browser.reads("#contact", "no contact");
}

#[test]
fn a_browser_gets_a_page_that_may_do_little_and_a_program_gets_json() {
    let pasture = Pasture::new();
    let sidecar = leading(&pasture, "alice", &[]);
    assert_eq!(sidecar.get("/").unwrap().body["name"], "alice");
    let browser = Browser::start();
    browser.open(&format!("{}/", sidecar.url));
    browser.reads(STATE, "leads");
    let policy = browser.eval(
        "fetch('', {headers: {accept: 'text/html'}}).then(r => r.headers.get('content-security-policy'))",
    );
    let policy = policy.as_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(browser.complaints(), Vec::<String>::new());
    // The policy is in force: what it forbids fails, and the page complains.
    let refused = browser
        .eval("try { document.querySelector('#me').innerHTML = '<b>x</b>'; false } catch { true }");
    assert_eq!(refused, true);
    assert_ne!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn names_are_shown_as_they_are_and_never_become_markup() {
    let pasture = Pasture::new();
    let name = "<img src=x onerror=alert(1)>&amp;";
    let sidecar = leading(&pasture, name, &[]);
    let browser = Browser::start();
    browser.open(&format!("{}/", sidecar.url));
    browser.reads(HOLDER, name);
    browser.reads("#timeline", name);
    assert_eq!(browser.eval("document.querySelectorAll('main img').length"), 0);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn two_hundred_elections_can_be_filtered() {
    let pasture = Pasture::new();
    let names: Vec<_> = (0..200).map(|n| format!("tenant-{n:03}")).collect();
    let more: Vec<_> = names.iter().flat_map(|name| ["--election", name]).collect();
    let sidecar = leading(&pasture, "alice", &more);
    let browser = Browser::start();
    browser.call(
        "Emulation.setDeviceMetricsOverride",
        json!({"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": true}),
    );
    browser.open(&format!("{}/", sidecar.url));
    let shown = || browser.eval("document.querySelectorAll('.election:not([hidden])').length");
    eventually("all are shown", || (shown() == 200).then_some(()));
    browser.reads("#kinds", "leading here");
    browser.eval("document.querySelector('#filter').focus()");
    browser.call("Input.insertText", json!({"text": "Tenant-12"}));
    eventually("ten are left", || (shown() == 10).then_some(()));
    // On a busy machine one of them may be in trouble for a moment, and is the first then.
    browser.reads(".election:not([hidden]) h3", "tenant-120");
    browser.call("Input.insertText", json!({"text": "x"}));
    browser.reads("#none", "No election matches");
    let overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
    assert_eq!(browser.eval(overflow), 0, "nothing is wider than a phone");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

/// Words whose contrast to what is behind them is less than the 4.5 to 1 that WCAG asks for (AA).
///
/// Colours are drawn one over the other, from the root to the words, with their filters, and read
/// back: so it does not matter how a style sheet names or mixes them.
const FAINT_WORDS: &str = "(() => {
    const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
    const drawn = colors => {
        for (const [color, alpha, filter] of [['white', 1, 'none'], ...colors]) {
            canvas.filter = filter;
            canvas.globalAlpha = alpha;
            canvas.fillStyle = color;
            canvas.fillRect(0, 0, 1, 1);
        }
        const linear = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map(byte => {
            const part = byte / 255;
            return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
    };
    const faint = [];
    const visit = (element, behind, alpha, filter) => {
        const style = getComputedStyle(element);
        alpha *= Number(style.opacity);
        if (style.filter !== 'none') filter = style.filter;
        behind = [...behind, [style.backgroundColor, alpha, filter]];
        const words = [...element.childNodes].filter(node => node.nodeType === Node.TEXT_NODE)
            .map(node => node.data.trim()).join('');
        if (words && element.checkVisibility()) {
            const [dark, light] = [drawn(behind), drawn([...behind, [style.color, alpha, filter]])].sort((a, b) => a - b);
            const ratio = (light + 0.05) / (dark + 0.05);
            seen.add(element.closest('[data-tone]')?.dataset.tone);
            count++;
            if (ratio < 4.5) faint.push(`${words}: ${ratio.toFixed(2)}`);
        }
        for (const child of element.children) visit(child, behind, alpha, filter);
    };
    let count = 0;
    const seen = new Set();
    visit(document.documentElement, [['Canvas', 1, 'none']], 1, 'none');
    return { count, faint, tones: [...seen].filter(Boolean) };
})()";

/// Reads the page in both colour schemes, and returns the tones of what it shows.
#[track_caller]
fn by_day_and_night(browser: &Browser, state: &str) -> Vec<String> {
    let mut tones = Vec::new();
    for scheme in ["light", "dark"] {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        browser.call("Emulation.setEmulatedMedia", json!({"features": features}));
        let found = browser.eval(FAINT_WORDS);
        assert!(found["count"].as_u64() > Some(10), "{state}, {scheme}: {found}");
        assert_eq!(found["faint"], json!([]), "{state}, {scheme}");
        tones = serde_json::from_value(found["tones"].clone()).unwrap();
    }
    tones
}

#[test]
fn every_word_can_be_read_by_day_and_by_night_in_every_state() {
    let pasture = Pasture::new();
    let mut leader = leading(&pasture, "alice", &["--election", "a", "--election", "b"]);
    let more = [&LONGER[..], &["--election", "a"]].concat();
    let standby = Sidecar::start_with("bob", &pasture.store(), &more);
    let browser = Browser::start();
    browser.open(&format!("{}/", standby.url));
    browser.reads(STATE, "stands by");
    by_day_and_night(&browser, "a standby");
    browser.open(&format!("{}/", leader.url));
    browser.reads(STATE, "leads");
    by_day_and_night(&browser, "a leader");
    leader.kill();
    browser.reads(STATE, "unknown");
    by_day_and_night(&browser, "no response");
}

#[test]
fn every_word_of_the_list_of_many_elections_can_be_read_in_every_state() {
    let pasture = Pasture::new();
    let names = elections(12);
    let flags = flags(&names);
    let _other = leading_all(&pasture, "bob", &flags[16..]);
    let mut own = leading(&pasture, "alice", &flags);
    let browser = Browser::start();
    wide(&browser, 1280);
    browser.open(&format!("{}/", own.url));
    browser.reads("#kinds", "leading here8");
    browser.reads("#kinds", "standing by4");
    let resign = format!("{}/elections/{}/resign", own.url, names[0]);
    assert_eq!(ureq::post(&resign).send_json(json!({"cooldown": "1h"})).unwrap().status(), 200);
    browser.reads("#kinds", "stood down1");
    browser.click(".election .name");
    browser.reads("#copied", "Cop");
    let tones = by_day_and_night(&browser, "leader, standby, and resigned");
    for tone in ["good", "calm", "warn"] {
        assert!(tones.iter().any(|seen| seen == tone), "{tone}: {tones:?}");
    }
    for width in [390, 1280] {
        wide(&browser, width);
        by_day_and_night(&browser, &format!("{width} pixels"));
    }

    let lock = Lock::take(&pasture);
    browser.reads("#banner", "The store has not answered since");
    eventually("no leader is known", || {
        let tones = by_day_and_night(&browser, "an outage of the store");
        tones.iter().any(|tone| tone == "bad").then_some(())
    });
    drop(lock);
    eventually("the banner goes", || browser.text("#banner").is_empty().then_some(()));
    own.kill();
    browser.reads("#contact", "no contact");
    browser.reads("#alarm", "No contact with the sidecar");
    let tones = by_day_and_night(&browser, "no response");
    assert!(tones.iter().any(|tone| tone == "quiet"), "{tones:?}");
}

#[test]
fn a_pause_is_shown_as_intended_with_its_end_author_and_reason() {
    let pasture = Pasture::new();
    let mut flock = Flock::start_with(&["alice", "bob"], &pasture.store(), &LONGER);
    let leads = flock.settled();
    let browser = Browser::start();
    browser.open(&format!("{}/", flock.members[1 - leads].url));
    browser.reads(".election .state", "stands by");
    let operates = |args: &[&str]| {
        let mut command = bellwether();
        command.args(args).args(["--store", &pasture.store()]).env("USER", "olga");
        assert!(command.env_remove("SUDO_USER").status().unwrap().success());
    };
    operates(&["pause", "--reason", "<b>new</b> disks"]);
    browser.reads(".election .state", "paused");
    browser.reads(".election .reason", "paused until it is resumed, by olga@");
    browser.reads(".election .reason", ": <b>new</b> disks");
    browser.reads(".election .holder", "no instance leads");
    let tone = browser.eval("document.querySelector('.election').dataset.tone");
    assert_eq!(tone, "calm", "no operator has to act");
    assert_eq!(browser.text("#banner"), "");
    browser.reads("#timeline", "paused");
    operates(&["pause", "--for", "1h"]);
    browser.reads(".election .reason", "; stands again in ");
    operates(&["resume"]);
    eventually("an instance leads", || {
        flock.members.iter_mut().any(|sidecar| sidecar.leader().leads()).then_some(())
    });
    eventually("the page shows it", || {
        (browser.text(".election .state") != "paused").then_some(())
    });
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
