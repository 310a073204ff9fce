//! The references of the command line say what the command line says.

use std::fs;
use std::path::Path;

use bellwether::cli::reference;

/// Writes the pages again when `BELLWETHER_WRITE_DOCS` is set.
#[test]
fn the_references_of_the_command_line_are_up_to_date() {
    let pages = [
        ("docs/cli.md", reference::commands()),
        ("docs/configuration.md", reference::configuration()),
    ];
    for (name, page) in pages {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        if std::env::var_os("BELLWETHER_WRITE_DOCS").is_some() {
            fs::write(&path, &page).unwrap();
        }
        let written = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == page,
            "{name} is out of date: run \
             `BELLWETHER_WRITE_DOCS=1 cargo test --test repo reference::`, and commit what it wrote"
        );
    }
}
