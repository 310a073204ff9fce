//! The site of `make docs`: it builds with every link intact, fits a phone, is dark where the system is,
//! and can be searched.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use super::browser::Browser;
use support::{eventually, target};

/// Builds it, and lists its pages. The build fails on a link that leads nowhere.
fn pages() -> Vec<PathBuf> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/site/build.py");
    let output = Command::new("/usr/bin/python3").arg(script).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let folder = target().join("site/html");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_page = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "html");
    let pages: Vec<_> = files.filter(is_page).collect();
    assert!(pages.len() >= 25, "{pages:?}");
    pages
}

/// What scrolls sideways and must not: the page, and the boxes around its text. Code and tables may, in
/// themselves.
const WIDE: &str = "['html', 'body', '.page', '.content', 'main']
    .filter(name => [...document.querySelectorAll(name)].some(box => box.scrollWidth > box.clientWidth))
    .join(' ')";

#[test]
fn the_documentation_is_a_site() {
    let pages = pages();
    let browser = Browser::start();
    browser.call(
        "Emulation.setDeviceMetricsOverride",
        json!({"width": 360, "height": 780, "deviceScaleFactor": 1, "mobile": true}),
    );
    let open = |page: &PathBuf| {
        browser.open(&format!("file://{}", page.display()));
        eventually("it is loaded", || {
            (browser.eval("document.readyState") == "complete").then_some(())
        });
    };
    // The page for printers has all others in it, and takes long to lay out.
    for page in
        pages.iter().filter(|page| !page.ends_with("print.html") && !page.ends_with("toc.html"))
    {
        open(page);
        let wide = browser.eval(WIDE);
        assert_eq!(wide, "", "{}: {}", page.display(), overflowing(&browser));
    }
    let http = pages.iter().find(|page| page.ends_with("http.html")).unwrap();
    let theme = "document.documentElement.classList.contains('navy')";
    for (scheme, dark) in [("dark", true), ("light", false)] {
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        browser.call("Emulation.setEmulatedMedia", features);
        open(http);
        assert_eq!(browser.eval(theme), dark, "{scheme}");
    }
    open(http);
    let search = "(() => {
        const bar = document.querySelector('#mdbook-searchbar');
        document.querySelector('#mdbook-search-toggle').click();
        bar.value = 'fencing'; bar.dispatchEvent(new Event('input', {bubbles: true}));
        bar.dispatchEvent(new KeyboardEvent('keyup', {key: 'g', bubbles: true}));
    })()";
    browser.eval(search);
    let found = "document.querySelectorAll('#mdbook-searchresults li').length";
    eventually("the search finds pages", || (browser.eval(found).as_u64()? > 0).then_some(()));
}

/// The elements that are wider than the page.
fn overflowing(browser: &Browser) -> Value {
    browser.eval(
        "[...document.querySelectorAll('main *')]
            .filter(element => element.getBoundingClientRect().right > innerWidth + 1)
            .map(element => element.outerHTML.slice(0, 80)).slice(0, 5).join(' | ')",
    )
}
