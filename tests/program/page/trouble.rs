//! What a person who looks for trouble sees first.

use serde_json::{Value, json};

use crate::page::browser::Browser;
use crate::page::scene::{LONGER, elections, flags, leading, leading_all, wide};
use support::lock::Lock;
use support::{Flock, Pasture, Sidecar, eventually};

const SHOWN: &str =
    "[...document.querySelectorAll('.election:not([hidden]) .name')].map(name => name.title)";

fn title(browser: &Browser) -> String {
    browser.eval("document.title").as_str().unwrap().to_owned()
}

fn icon(browser: &Browser) -> String {
    browser
        .eval("document.querySelector('link[rel=icon]').getAttribute('href')")
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn trouble_comes_first_and_the_address_keeps_filter_and_order() {
    let pasture = Pasture::new();
    let names = elections(8);
    let mut other = leading_all(&pasture, "bob", &flags(&names[6..]));
    let own = leading(&pasture, "alice", &flags(&names));
    eventually("all are decided", || {
        (own.get("/elections")?.body.to_string().matches("bob").count() >= 2).then_some(())
    });
    let resigned = format!("/elections/{}/resign", names[0]);
    let request =
        ureq::post(&format!("{}{resigned}", own.url)).send_json(json!({"cooldown": "1h"}));
    assert_eq!(request.unwrap().status(), 200);
    let browser = Browser::start();
    wide(&browser, 1280);
    browser.open(&format!("{}/", own.url));
    browser.reads("#kinds", "stood down1");
    browser.reads("#kinds", "trouble0");
    browser.reads("#kinds", "leading here5");
    let shown = || browser.eval(SHOWN);
    assert_eq!(shown()[0], names[0], "what was resigned comes before what is well");

    // A gate would close for all: so one election is lost by the end of its leader.
    own.signal("STOP");
    other.kill();
    browser.reads("#contact", "no contact");
    own.signal("CONT");
    browser.reads("#contact", "live");
    eventually("it leads there, too", || (shown().as_array()?.len() == 8).then_some(()));

    browser.eval("document.querySelector('#filter').focus()");
    browser.call("Input.insertText", json!({"text": "mail"}));
    browser.eval("{ const order = document.querySelector('#order'); order.value = 'name'; order.dispatchEvent(new Event('change')) }");
    browser.reads("#kinds", "leading here7");
    browser.eval("[...document.querySelectorAll('#kinds button')].find(b => b.innerText.startsWith('leading')).click()");
    let mails: Vec<_> = names.iter().filter(|name| name.starts_with("mail")).cloned().collect();
    eventually("two are left", || (shown() == json!(mails)).then_some(()));
    let address = browser.eval("location.href").as_str().unwrap().to_owned();
    browser.open("about:blank");
    browser.open(&address);
    eventually("they are after a reload, too", || (shown() == json!(mails)).then_some(()));
    assert_eq!(browser.eval("document.querySelector('#filter').value"), "mail");
    assert_eq!(browser.eval("document.querySelector('#order').value"), "name");
    browser.reads("#kinds [aria-pressed=true]", "leading here");
    browser.eval("location.hash = ''");
    eventually("all again", || (shown().as_array()?.len() == 8).then_some(()));
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_store_that_is_away_is_one_banner_and_no_reason_in_forty_lines() {
    let pasture = Pasture::new();
    let names = elections(40);
    let sidecar = leading_all(&pasture, "alice", &flags(&names));
    let browser = Browser::start();
    wide(&browser, 1280);
    browser.open(&format!("{}/", sidecar.url));
    browser.reads("#kinds", "leading here40");
    // On a busy machine a call may have taken too long meanwhile.
    eventually("all is well", || browser.text("#banner").is_empty().then_some(()));
    eventually("the tab", || title(&browser).starts_with("leads 40 of 40 · alice").then_some(()));
    assert_eq!(icon(&browser), "page.svg");

    let lock = Lock::take(&pasture);
    browser.reads("#banner", "The store has not answered since");
    browser.reads("#banner", "40 of 40 elections");
    let reasons =
        "[...document.querySelectorAll('.election .reason')].filter(it => it.innerText).length";
    assert_eq!(browser.eval(reasons), 0, "the banner says it for all");
    eventually("the tab", || title(&browser).contains("⚠ 40 without a leader").then_some(()));
    assert_eq!(icon(&browser), "page-lost.svg");
    let icon_is_there =
        "fetch('page-lost.svg').then(answer => answer.ok && answer.headers.get('content-type'))";
    assert_eq!(browser.eval(icon_is_there), "image/svg+xml");

    drop(lock);
    browser.reads("#kinds", "leading here40");
    eventually("the banner goes", || browser.text("#banner").is_empty().then_some(()));
    eventually("the tab, too", || (icon(&browser) == "page.svg").then_some(()));
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_hidden_tab_shows_a_lost_leader_and_one_that_is_there_again() {
    let pasture = Pasture::new();
    let sidecar = leading(&pasture, "alice", &[]);
    let browser = Browser::start();
    browser.open(&format!("{}/", sidecar.url));
    browser.reads(".election .state", "leads");
    browser.eval(
        "Object.defineProperty(document, 'visibilityState', { value: 'hidden', configurable: true });
         document.dispatchEvent(new Event('visibilitychange'))",
    );
    assert_eq!(
        (title(&browser).as_str(), icon(&browser).as_str()),
        ("alice · bellwether", "page.svg")
    );
    let lock = Lock::take(&pasture);
    eventually("it is lost", || (icon(&browser) == "page-lost.svg").then_some(()));
    assert!(title(&browser).starts_with("⚠ no leader"), "{}", title(&browser));
    drop(lock);
    eventually("it is well", || (icon(&browser) == "page.svg").then_some(()));
    assert_eq!(title(&browser), "alice · bellwether");
    sidecar.signal("KILL");
    eventually("no sidecar answers", || title(&browser).starts_with("no contact").then_some(()));
    assert_eq!(icon(&browser), "page-lost.svg");
}

#[test]
fn the_pieces_of_a_strip_stay_and_are_reached_by_touch_and_keyboard() {
    let pasture = Pasture::new();
    let flock = Flock::start_with(&["alice", "bob"], &pasture.store(), &LONGER);
    let leads = flock.settled();
    let (old, new): (&Sidecar, &Sidecar) = (&flock.members[leads], &flock.members[1 - leads]);
    let browser = Browser::start();
    wide(&browser, 390);
    browser.call("Emulation.setTouchEmulationEnabled", json!({"enabled": true}));
    browser.open(&format!("{}/", new.url));
    browser.reads("#timeline", &format!("{} leads", old.name));
    old.signal("TERM");
    browser.reads("#timeline .change:first-child", &format!("{} leads", new.name));
    let pieces = || browser.eval("document.querySelectorAll('.strip > *').length").as_u64();
    eventually("the strip shows both", || (pieces() >= Some(2)).then_some(()));

    browser.eval(
        "window.first = document.querySelector('.strip > :not(.vacant, .unknown)'); window.place = first.style.left",
    );
    let first = |what: &str| browser.eval(&format!("first.isConnected && {what}"));
    eventually("time passes", || (first("first.style.left !== place") == true).then_some(()));

    let tap = || {
        let middle = browser.eval(
            "(() => { first.scrollIntoView(); const {x, y, width, height} = first.getBoundingClientRect();
               return {x: x + width / 2, y: y + height / 2}; })()",
        );
        for (kind, points) in [("touchStart", json!([middle])), ("touchEnd", json!([]))] {
            browser.call("Input.dispatchTouchEvent", json!({"type": kind, "touchPoints": points}));
        }
    };
    // The piece moves: on a busy machine it may have left the place where the tap comes.
    browser.eval("first.addEventListener('click', () => { window.tapped = true; })");
    eventually("a tap meets the piece", || {
        let tapped = browser.eval("window.tapped") == true;
        if !tapped {
            tap();
        }
        tapped.then_some(())
    });
    let detail = || browser.text(".detail");
    eventually("a tap shows the detail", || {
        detail().contains(&format!("{}, term 1", old.name)).then_some(())
    });
    assert!(detail().contains("UTC"), "{}", detail());

    browser.eval("[...document.querySelectorAll('.strip > [tabindex=\"0\"]')].at(-1).focus()");
    browser.key("End");
    let focused = || browser.eval("document.activeElement.getAttribute('aria-label')");
    eventually("a key shows the detail", || {
        detail().contains(&format!("{}, term 2", new.name)).then_some(())
    });
    assert!(focused().as_str().unwrap().starts_with(&format!("{}, term 2", new.name)));
    eventually("and of the first", || {
        browser.key("ArrowLeft");
        detail().contains(&format!("{}, term 1", old.name)).then_some(())
    });
    let stays = browser.eval("document.activeElement === first");
    assert_eq!(stays, true, "the focus stays on what it was on");

    let times = browser.eval(
        "[...document.querySelectorAll('#timeline time, .since, .scale span')].map(it => it.title)",
    );
    let times: Vec<_> = times.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(times.len() >= 4 && times.iter().all(|time| time.contains("UTC")), "{times:?}");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
