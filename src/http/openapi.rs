//! `/openapi.json`: what all the paths are, for programs that read such a description.

use std::sync::LazyLock;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

static DESCRIPTION: LazyLock<String> = LazyLock::new(|| {
    include_str!("openapi.json").replace("{{version}}", env!("CARGO_PKG_VERSION"))
});

pub(super) async fn openapi() -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, DESCRIPTION.as_str()).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    /// The paths as the code writes them: `tests/program/openapi` looks at what they answer.
    fn routed() -> BTreeSet<String> {
        let quoted = |text: &str| -> Vec<String> {
            let calls = text.split("#[cfg(test)]").next().unwrap().split(".route(").skip(1);
            calls.map(|call| call.split('"').nth(1).unwrap().to_owned()).collect()
        };
        let (all, of_each) = include_str!("../http.rs").split_once("fn election_paths").unwrap();
        let mut paths: BTreeSet<_> = quoted(all).into_iter().collect();
        paths.extend(quoted(include_str!("page.rs")));
        for path in quoted(of_each) {
            paths.insert(format!("/elections/{{name}}{path}"));
            paths.insert(path);
        }
        paths
    }

    #[test]
    fn the_description_names_the_paths_that_there_are() {
        let description: Value = serde_json::from_str(&DESCRIPTION).unwrap();
        assert_eq!(description["info"]["version"], env!("CARGO_PKG_VERSION"));
        let described: BTreeSet<_> =
            description["paths"].as_object().unwrap().keys().cloned().collect();
        assert!(described.len() > 15, "{described:?}");
        assert_eq!(described, routed());
    }
}
