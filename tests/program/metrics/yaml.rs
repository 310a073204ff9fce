//! YAML, as JSON: what serde_json can show, and promtool can read.

use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::Value;

/// The only document in `text`.
pub fn parse(text: &str) -> Value {
    let documents = Yaml::load_from_str(text).expect("YAML");
    assert_eq!(documents.len(), 1);
    json(&documents[0])
}

fn json(node: &Yaml<'_>) -> Value {
    match node {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(value)) => (*value).into(),
        Yaml::Value(Scalar::Integer(value)) => (*value).into(),
        Yaml::Value(Scalar::FloatingPoint(value)) => value.into_inner().into(),
        Yaml::Value(Scalar::String(value)) => value.as_ref().into(),
        Yaml::Sequence(nodes) => nodes.iter().map(json).collect(),
        Yaml::Mapping(pairs) => {
            let pairs = pairs
                .iter()
                .map(|(key, value)| (key.as_str().expect("a name").to_owned(), json(value)));
            Value::Object(pairs.collect())
        }
        other => panic!("{other:?}"),
    }
}
