//! Files and variables that pages name are there, and nothing of one machine is in them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::docs::pages::{Page, all, files, project};

/// A word that begins so is a file of the project.
const FOLDERS: [&str; 6] = ["deploy/", "charts/", "docs/", "src/", "tests/", "examples/"];

#[test]
fn every_file_that_is_named_is_there() {
    let (mut seen, mut missing) = (0, Vec::new());
    for page in all() {
        let mut code = page.spans().0;
        let blocks = page.blocks();
        let typed = blocks.iter().filter(|block| ["sh", "console"].contains(&&*block.language));
        code.extend(typed.flat_map(|block| block.lines.clone()));
        // The mark by which a test finds its example.
        let marks = page.text.lines().filter(|line| line.starts_with("<!-- run by "));
        code.extend(marks.map(str::to_owned));
        for word in code.iter().flat_map(|code| code.split(|c: char| " \t=,;'\"()".contains(c))) {
            let file = word.trim_end_matches(['.', ':', '`']);
            if FOLDERS.iter().any(|folder| file.starts_with(folder)) {
                seen += 1;
                if !project().join(file).exists() && !is_made_by_a_reader(file) {
                    missing.push(format!("{}: {file}", page.name()));
                }
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
    assert!(seen >= 25, "{seen}");
}

/// The files that a page says to make, such as secrets, lie in the project, and git ignores them.
fn is_made_by_a_reader(file: &str) -> bool {
    let ignored = fs::read_to_string(project().join(".gitignore")).unwrap();
    let mut ignored = ignored.lines().filter_map(|line| line.strip_prefix('/'));
    ignored.any(|folder| Path::new(file).starts_with(folder))
}

/// The words of a text that begin with `BELLWETHER_`.
fn variables(text: &str) -> BTreeSet<String> {
    let is_name = |c: &char| c.is_ascii_uppercase() || c.is_ascii_digit() || *c == '_';
    let after = text.split("BELLWETHER_").skip(1);
    let names = after.map(|rest| rest.chars().take_while(is_name).collect::<String>());
    // Without a name: a family of variables, `BELLWETHER_…`.
    names.filter(|name| !name.is_empty()).map(|name| format!("BELLWETHER_{name}")).collect()
}

#[test]
fn every_variable_that_is_named_exists() {
    let mut known = variables(&Page::read(Path::new("docs/configuration.md")).text);
    assert!(known.len() >= 30, "{known:?}");
    known.extend(variables_of_files());
    let mut of_tests = Vec::new();
    files(&project().join("tests"), &mut of_tests);
    let of_tests: String = of_tests.iter().filter_map(|f| fs::read_to_string(f).ok()).collect();
    let of_tests = variables(&of_tests);
    for page in all() {
        // The pages for contributors name variables of the tests.
        let for_workers = ["CONTRIBUTING.md", "ARCHITECTURE.md"].map(Path::new);
        let of_tests = for_workers.contains(&&*page.path).then_some(&of_tests);
        for name in variables(&page.text) {
            let exists = known.contains(&name) || of_tests.is_some_and(|of| of.contains(&name));
            assert!(exists, "{}: {name} is not in docs/configuration.md", page.name());
        }
    }
}

/// The variables that the files of a deployment read: `${BELLWETHER_…`.
fn variables_of_files() -> BTreeSet<String> {
    let mut deploy = Vec::new();
    files(&project().join("deploy"), &mut deploy);
    let texts: String = deploy.iter().filter_map(|file| fs::read_to_string(file).ok()).collect();
    let names = texts.split("${").skip(1).map(|rest| rest.split(['}', ':']).next().unwrap());
    names.flat_map(variables).collect()
}

/// A merge that was not finished.
#[test]
fn no_page_has_two_versions_of_a_line() {
    for page in all() {
        let marks = ["<<<<<<< ", ">>>>>>> "];
        let left = page.text.lines().find(|line| marks.iter().any(|mark| line.starts_with(mark)));
        assert_eq!(left, None, "{}", page.name());
    }
}

/// A page must not show where this was built, and who did it.
#[test]
fn no_page_names_a_folder_of_its_author() {
    let mut private: Vec<PathBuf> = vec![project().to_owned(), "/root".into(), "/Users".into()];
    private.extend(std::env::var_os("HOME").map(PathBuf::from));
    // A folder at the root that is on no other machine.
    let first: PathBuf = project().iter().take(2).collect();
    let everywhere = ["etc", "home", "opt", "srv", "tmp", "usr", "var", "build", "github"];
    if !everywhere.iter().any(|name| first == Path::new("/").join(name)) {
        private.push(first);
    }
    private.retain(|path| path.components().count() >= 2);
    for page in all() {
        for path in &private {
            let path = format!("{}/", path.display());
            assert!(!page.text.contains(&path), "{}: {path}", page.name());
        }
        let homes = page.text.split("/home/").skip(1);
        for home in homes.map(|rest| rest.split('/').next().unwrap()) {
            assert_eq!(home, "you", "{}", page.name());
        }
    }
}
