//! `/` for a browser: a page that shows this sidecar's elections, and what is on it.
//!
//! It asks what every other client may ask, and shows nothing else. The files are part of the
//! program: a page that needs the network of others shows nothing when it is needed most.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::app::App;
use super::election_state::ElectionState;
use super::leader;

/// Nothing but the page's own files and answers; no markup from text; no other page may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'; require-trusted-types-for 'script'; \
                      trusted-types 'none'";

/// Only a link: the page loads nothing from there. The site of `make docs` has no public address yet.
const DOCUMENTATION: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/README.md");

static HTML: LazyLock<String> = LazyLock::new(|| {
    include_str!("page/page.html")
        .replace("{{version}}", env!("CARGO_PKG_VERSION"))
        .replace("{{documentation}}", DOCUMENTATION)
});

/// One file for each subject, served as one: the files of a page that is loaded while the sidecar
/// is replaced would not fit together. Only the last does anything when it is loaded.
const SCRIPT: &str = concat!(
    include_str!("page/small.js"),
    include_str!("page/names.js"),
    include_str!("page/contact.js"),
    include_str!("page/changes.js"),
    include_str!("page/facts.js"),
    include_str!("page/settings.js"),
    include_str!("page/election.js"),
    include_str!("page/strip.js"),
    include_str!("page/select.js"),
    include_str!("page/banner.js"),
    include_str!("page/timeline.js"),
    include_str!("page/page.js"),
);

/// The paths of the page and of what is on it.
pub(super) fn paths() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(root))
        .route("/page.js", get(script))
        .route("/page.css", get(style))
        .route("/page.svg", get(icon))
        .route("/page-lost.svg", get(icon_of_trouble))
}

/// The page for a client that prefers one, else `{"name", "last_update"}` as older sidecars answer.
async fn root(state: ElectionState, headers: HeaderMap) -> Response {
    let mut response = if prefers_html(&headers) {
        let mut page = file("text/html; charset=utf-8", &HTML);
        let policy = HeaderValue::from_static(POLICY);
        page.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
        page
    } else {
        leader::name(state).await
    };
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    response
}

async fn script() -> Response {
    file("text/javascript; charset=utf-8", SCRIPT)
}

async fn style() -> Response {
    file("text/css; charset=utf-8", include_str!("page/page.css"))
}

async fn icon() -> Response {
    file("image/svg+xml", include_str!("page/page.svg"))
}

/// Shown by the browser's tab while an election has no leader.
async fn icon_of_trouble() -> Response {
    file("image/svg+xml", include_str!("page/page-lost.svg"))
}

/// A file of the page. No cache may keep it: the files of two versions do not fit together.
fn file(kind: &'static str, text: &'static str) -> Response {
    let headers: [(HeaderName, _); 4] = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers.map(|(name, value)| (name, HeaderValue::from_static(value))), text).into_response()
}

/// Whether a page is wanted rather than JSON.
///
/// Programs that name nothing, or both alike, get JSON. Java's own client names HTML first without
/// being asked, and means nothing by it; it is known by the pictures that it asks for, and by not
/// naming XHTML, as browsers do.
fn prefers_html(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let ranges: Vec<_> = accepted.flat_map(|value| value.split(',')).map(Range::read).collect();
    let names = |kind: &str| ranges.iter().any(|range| range.kind.eq_ignore_ascii_case(kind));
    let is_java = names("image/gif") && !names("application/xhtml+xml");
    let html = weight(&ranges, &["text/html"]);
    html > weight(&ranges, &["application/json", "application/*", "*/*", "*"]) && !is_java
}

/// What `Accept` says of the first of these that it names.
fn weight(ranges: &[Range<'_>], kinds: &[&str]) -> f32 {
    let of = |kind: &&str| ranges.iter().find(|range| range.kind.eq_ignore_ascii_case(kind));
    kinds.iter().find_map(of).map_or(0.0, |range| range.weight)
}

/// A part of `Accept`.
struct Range<'a> {
    kind: &'a str,
    weight: f32,
}

impl<'a> Range<'a> {
    fn read(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
        Self { kind, weight: weight.map_or(1.0, |weight| weight.parse().unwrap_or(0.0)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(accept: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_str(accept).unwrap());
        prefers_html(&headers)
    }

    #[test]
    fn a_browser_gets_the_page() {
        for accept in [
            // Firefox, Chromium, Safari, lynx, w3m, curl by a person who wants to see it.
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,\
             image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7",
            "text/html, text/plain, text/sgml, application/xhtml+xml, */*;q=0.01",
            "text/html, text/*;q=0.5, image/*",
            "text/html",
            "TEXT/HTML; Q=0.3",
        ] {
            assert!(page(accept), "{accept}");
        }
    }

    #[test]
    fn a_program_gets_json() {
        for accept in [
            "",
            "*/*",
            "application/json",
            "application/json, text/plain, */*",
            "application/json, text/html",
            "text/html;q=0.5, application/json",
            "text/html;q=0.5, */*",
            "text/html;q=0",
            "text/html;q=nonsense",
            // HttpURLConnection, older and newer.
            "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2",
            "text/html, image/gif, image/jpeg, */*; q=0.2",
        ] {
            assert!(!page(accept), "{accept}");
        }
        assert!(!prefers_html(&HeaderMap::new()));
    }

    /// The policy refuses these at run time; here it is seen before.
    #[test]
    fn the_page_makes_no_markup_of_text_and_needs_no_other_host() {
        for word in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            assert!(!SCRIPT.contains(word), "{word}");
        }
        let style = include_str!("page/page.css");
        // A link that a person follows; the page itself loads nothing from there.
        let html = HTML.replacen(&format!("href=\"{DOCUMENTATION}\""), "", 1);
        for text in [SCRIPT, style, &html] {
            assert!(!text.contains("http://") && !text.contains("https://"));
            assert!(!text.contains("{{"));
        }
        for word in [" style=", "<style", " onclick", "<script>"] {
            assert!(!HTML.contains(word), "{word}");
        }
    }
}
