//! The list of parts that lies in the image, and their licences.

use std::process::Command;

use serde_json::Value;

use support::tools::{must, project, python};

/// Checks against CycloneDX's own schema, strictly.
const CHECK: &str = "import sys\n\
    from cyclonedx.schema import SchemaVersion\n\
    from cyclonedx.validation.json import JsonStrictValidator\n\
    error = JsonStrictValidator(SchemaVersion.V1_5).validate_str(open(sys.argv[1]).read())\n\
    sys.exit(str(error) if error else 0)";

#[test]
fn it_is_valid_and_names_what_is_linked_and_nothing_else() {
    let text = must(&mut Command::new(project().join("image/sbom.sh")));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sbom.json");
    std::fs::write(&file, &text).unwrap();
    must(python(CHECK).arg(&file));

    let list: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(list["metadata"]["component"]["version"], env!("CARGO_PKG_VERSION"));
    let parts = list["components"].as_array().unwrap();
    for name in ["tokio", "ring", "sqlx", "libsqlite3-sys", "aws-sdk-dynamodb", "glibc"] {
        assert!(parts.iter().any(|part| part["name"] == name), "{name} is missing");
    }
    for name in ["tempfile", "ureq", "cc"] {
        assert!(!parts.iter().any(|part| part["name"] == name), "{name} is not linked");
    }
    let unsummed = parts.iter().filter(|part| part["hashes"].is_null());
    assert_eq!(unsummed.map(|part| &part["name"]).collect::<Vec<_>>(), ["glibc"]);
}

#[test]
fn the_licence_of_every_part_is_there() {
    let list = must(&mut Command::new(project().join("image/sbom.sh")));
    let list: Value = serde_json::from_str(&list).unwrap();
    let text = must(&mut Command::new(project().join("image/licences.sh")));
    let named: std::collections::HashSet<_> =
        text.lines().map(|line| line.split(": ").next().unwrap()).collect();
    for part in list["components"].as_array().unwrap().iter().filter(|p| p["name"] != "glibc") {
        let name =
            format!("{}-{}", part["name"].as_str().unwrap(), part["version"].as_str().unwrap());
        assert!(named.contains(&*name), "{name}");
    }
    assert!(text.contains("Permission is hereby granted") && text.contains("Apache License"));
}
