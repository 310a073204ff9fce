//! The reference of the command line says what the command line says.

use std::fs;
use std::path::Path;

/// Writes the page anew when `BELLWETHER_WRITE_DOCS` is set.
#[test]
fn the_command_line_reference_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cli.md");
    let page = bellwether::cli::reference::markdown();
    if std::env::var_os("BELLWETHER_WRITE_DOCS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &page).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/cli.md is out of date: run `BELLWETHER_WRITE_DOCS=1 cargo test --test repo reference::`, \
         and commit what it wrote"
    );
}
