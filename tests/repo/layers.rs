//! The floors of the house: a lower one never imports an upper one, no two files import each other, and
//! what is too long to read at once is two.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// From the ground up, as the table in ARCHITECTURE.md has them. Rooms of one floor do not import each
/// other either.
const FLOORS: [&[&str]; 10] = [
    &["election"],
    &["gate", "http_client", "time"],
    &["api", "platform", "store"],
    &["metrics"],
    &["driver"],
    &["command", "http"],
    &["health", "hooks", "leader_label", "once"],
    &["config"],
    &["sidecar"],
    &["cli"],
];

/// The most lines of a file of the program, and of one of its functions.
const LONGEST_FILE: usize = 600;
const LONGEST_FUNCTION: usize = 60;

/// Where a text may be an error, in which function (any, if it is `*`), and why.
const TEXTS_AS_ERRORS: [(&str, &str, &str); 3] = [
    ("cli/healthcheck.rs", "path", "clap shows nothing but the text that a value parser returns"),
    ("config/skew.rs", "parse_skew", "clap shows nothing but the text that a value parser returns"),
    (
        "election/duration.rs",
        "parse",
        "clap shows nothing but the text that a value parser returns",
    ),
];

/// Words that must not appear in the pure core, and why.
const IMPURE: [(&str, &str); 6] = [
    ("tokio", "it waits for nothing"),
    ("tracing", "it logs nothing"),
    ("async ", "it waits for nothing"),
    ("std::fs", "it does no I/O"),
    ("std::net", "it does no I/O"),
    ("std::thread", "it spawns nothing"),
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The room that a file belongs to: the first part of its path.
fn room(file: &Path) -> String {
    let inside = file.strip_prefix(src()).unwrap();
    let first = inside.iter().next().unwrap().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

fn floor(room: &str) -> usize {
    let found = FLOORS.iter().position(|rooms| rooms.contains(&room));
    found.unwrap_or_else(|| panic!("'{room}' is on no floor: give it one in tests/repo/layers.rs"))
}

/// Code without comments and without what begins with a test module.
fn production(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap().lines();
    let code = code.filter(|line| !line.trim_start().starts_with("//"));
    code.map(|line| format!("{line}\n")).collect()
}

/// A module of the program: its path, and the code of its file.
struct Module {
    path: Vec<String>,
    file: PathBuf,
    code: String,
}

fn modules() -> Vec<Module> {
    let is_test = |file: &PathBuf| file.ends_with("tests.rs") || file.iter().any(|p| p == "tests");
    let files = sources(&src()).into_iter().filter(|file| !is_test(file));
    let module = |file: PathBuf| {
        let inside = file.strip_prefix(src()).unwrap().with_extension("");
        let path: Vec<_> = inside.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
        let code = production(&fs::read_to_string(&file).unwrap());
        Module { path, file, code }
    };
    let all = files.map(module);
    all.filter(|module| !matches!(module.path.join("/").as_str(), "lib" | "main")).collect()
}

/// What `use a::{b, c::{d}};` names, each whole, and the code without these statements. What a folder's
/// own file offers from its children by `pub use` is a sign on its door and no use of it.
fn uses(code: &str) -> (Vec<String>, String) {
    let is_path = |c: char| c.is_alphanumeric() || "_:{}, *\n".contains(c);
    let (mut found, mut rest) = (Vec::new(), String::new());
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        let words = line.trim_start();
        let offered = words.starts_with("pub use ") || words.starts_with("pub(super) use ");
        if !offered && !words.starts_with("use ") {
            rest.push_str(line);
            rest.push('\n');
            continue;
        }
        let mut statement = words.to_owned();
        while !statement.contains(';') {
            statement.push_str(lines.next().unwrap_or(";").trim());
        }
        let tree = statement.trim_start_matches("use ").split(';').next().unwrap();
        if !offered && tree.chars().all(is_path) {
            expand("", tree, &mut found);
        }
    }
    (found, rest)
}

fn expand(prefix: &str, tree: &str, found: &mut Vec<String>) {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        let name = tree.split(" as ").next().unwrap().trim();
        if !name.is_empty() {
            found.push(format!("{prefix}{name}"));
        }
        return;
    };
    let prefix = format!("{prefix}{}", &tree[..open]);
    let inner = &tree[open + 1..tree.rfind('}').unwrap()];
    let (mut depth, mut from) = (0_i32, 0);
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&prefix, &inner[from..at], found);
                from = at + 1;
            }
            _ => {}
        }
    }
    expand(&prefix, &inner[from..], found);
}

/// Every path with a `::` in it, such as `crate::store::open` or `child::item`.
fn paths(code: &str) -> Vec<String> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let words = code.split(|c: char| !is_part(c));
    words.filter(|word| word.contains("::") && !word.starts_with(':')).map(str::to_owned).collect()
}

/// The module whose item a path in `from` names, if it is one of the program's.
fn target(modules: &[Module], from: &Module, path: &str) -> Option<usize> {
    let exists = |path: &[String]| modules.iter().position(|module| module.path == path);
    let mut parts = path.split("::").peekable();
    let mut at = from.path.clone();
    match *parts.peek()? {
        "crate" => {
            parts.next();
            at.clear();
        }
        "self" => drop(parts.next()),
        "super" => {
            while parts.next_if_eq(&"super").is_some() {
                at.pop();
            }
        }
        first => {
            let child: Vec<_> = at.iter().cloned().chain([first.to_owned()]).collect();
            exists(&child)?;
        }
    }
    for part in parts {
        at.push(part.to_owned());
        if exists(&at).is_none() {
            at.pop();
            break;
        }
    }
    exists(&at)
}

/// Which modules each one takes something from.
fn taken_from(modules: &[Module]) -> Vec<BTreeSet<usize>> {
    let of = |(number, from): (usize, &Module)| {
        let (named, rest) = uses(&from.code);
        let named = named.into_iter().chain(paths(&rest));
        let targets = named.filter_map(|path| target(modules, from, &path));
        targets.filter(|to| *to != number).collect()
    };
    modules.iter().enumerate().map(of).collect()
}

#[test]
fn no_import_climbs() {
    let modules = modules();
    let mut seen = 0;
    for (from, taken) in modules.iter().zip(taken_from(&modules)) {
        let own = &from.path[0];
        for to in taken.into_iter().map(|to| &modules[to].path[0]).filter(|to| *to != own) {
            seen += 1;
            let file = from.file.display();
            assert!(floor(to) < floor(own), "{file}: '{own}' must not import '{to}'");
        }
    }
    assert!(seen > 200, "the test has to find the imports to mean anything: {seen}");
}

#[test]
fn imports_are_found_however_they_are_written() {
    let module = |path: &str, code: &str| Module {
        path: path.split('/').map(str::to_owned).collect(),
        file: PathBuf::from(path),
        code: code.to_owned(),
    };
    let modules = [
        module("election", "mod lease;\npub use lease::Lease;"),
        module("election/lease", "use super::super::cli::{a, exit::B};"),
        module("cli", "fn f() { crate::election::lease::g(); }"),
        module("cli/exit", "use self::x;\nfn f() { super::h(); }"),
    ];
    let taken = taken_from(&modules);
    let taken: Vec<Vec<_>> = taken.into_iter().map(|to| to.into_iter().collect()).collect();
    assert_eq!(taken, [vec![], vec![2, 3], vec![1], vec![2]]);
}

#[test]
fn no_two_files_import_each_other_on_any_way() {
    let modules = modules();
    let taken = taken_from(&modules);
    for from in 0..modules.len() {
        let mut reached = BTreeSet::new();
        let mut next = vec![from];
        while let Some(at) = next.pop() {
            next.extend(taken[at].iter().filter(|to| reached.insert(**to)));
        }
        let circle: Vec<_> = reached.iter().map(|to| modules[*to].path.join("/")).collect();
        let file = modules[from].file.display();
        assert!(!reached.contains(&from), "{file} reaches itself, by way of some of {circle:?}");
    }
}

#[test]
fn the_floors_are_those_of_the_architecture() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    for (number, rooms) in FLOORS.iter().enumerate() {
        let row = page.lines().find(|line| line.starts_with(&format!("| {number} |")));
        let row = row.unwrap_or_else(|| panic!("no floor {number} in ARCHITECTURE.md"));
        let cell = row.split('|').nth(2).unwrap();
        let named: BTreeSet<_> =
            cell.split(',').map(|room| room.trim().trim_matches('`')).collect();
        assert_eq!(named, rooms.iter().copied().collect(), "floor {number}");
    }
    let lib = fs::read_to_string(src().join("lib.rs")).unwrap();
    let rooms = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let (rooms, known): (BTreeSet<_>, BTreeSet<_>) =
        (rooms.collect(), FLOORS.iter().copied().flatten().copied().collect());
    assert_eq!(rooms, known);
}

#[test]
fn files_and_functions_can_be_read_at_once() {
    for file in sources(&src()) {
        let text = fs::read_to_string(&file).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert!(lines.len() <= LONGEST_FILE, "{}: {} lines", file.display(), lines.len());
        for (at, line) in lines.iter().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let words: Vec<_> = line.split_whitespace().take(5).collect();
            let header = lines[at..].iter().find(|line| line.trim_end().ends_with(['{', ';', '}']));
            if !words.contains(&"fn") || !header.is_some_and(|line| line.trim_end().ends_with('{'))
            {
                continue;
            }
            let end = format!("{}}}", " ".repeat(indent));
            let length = lines[at..].iter().position(|line| **line == end).unwrap_or(0) + 1;
            let name = line.trim();
            assert!(length <= LONGEST_FUNCTION, "{}: {length} lines: {name}", file.display());
        }
    }
}

/// The functions with a `Result<…, String>` in or before their body, for each that is in the code. What
/// is returned by an inferred type is found by how such an error is made.
fn texts_as_errors(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut note = |at: usize| {
        let before = code[..at].rsplit("fn ").next().unwrap();
        found.push(before.split(['(', '<']).next().unwrap().to_owned());
    };
    for (at, _) in code.match_indices("Result<") {
        if error_of(&code[at + "Result<".len()..]).is_some_and(|error| is_text(&error)) {
            note(at);
        }
    }
    for made in ["Err(format!(", "Err(\"", "ok_or(\"", "ok_or_else(|| format!(", "ok_or_else(|| \""]
    {
        code.match_indices(made).for_each(|(at, _)| note(at));
    }
    found
}

/// The second of the arguments that this begins with, up to the `>` that ends them.
fn error_of(arguments: &str) -> Option<String> {
    let arguments = arguments.replace("->", "  ");
    let (mut depth, mut parts) = (0_i32, vec![String::new()]);
    for c in arguments.chars() {
        match c {
            '>' if depth == 0 => break,
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            '<' | '(' | '[' => depth += 1,
            '>' | ')' | ']' => depth -= 1,
            _ => {}
        }
        parts.last_mut().unwrap().push(c);
    }
    parts.into_iter().nth(1)
}

fn is_text(error: &str) -> bool {
    let error = error.trim().trim_start_matches(['&', '(']).trim_start_matches("'static ");
    let name = error.rsplit("::").next().unwrap();
    matches!(name, "String" | "str" | "Box<str>" | "Arc<str>") || name.starts_with("Cow<")
}

#[test]
fn no_error_is_a_text() {
    let (mut allowed, mut seen) = (BTreeSet::new(), 0);
    for module in modules() {
        let file = module.file.strip_prefix(src()).unwrap().to_str().unwrap();
        seen += module.code.matches("Result<").count();
        for function in texts_as_errors(&module.code) {
            let is_allowed = |(path, name, _): &&(&str, &str, &str)| {
                *path == file && (*name == "*" || *name == function)
            };
            let exception = TEXTS_AS_ERRORS.iter().find(is_allowed);
            let exception = exception.unwrap_or_else(|| {
                panic!("{file}, fn {function}: give the error a type: an enum of the cases")
            });
            allowed.insert(exception);
        }
    }
    assert_eq!(
        allowed.len(),
        TEXTS_AS_ERRORS.len(),
        "an exception that is not needed: {allowed:?}"
    );
    assert!(seen > 200, "the test has to find the results to mean anything: {seen}");
}

#[test]
fn texts_as_errors_are_found_however_they_are_written() {
    for text in [
        "fn f() -> Result<(), String> {",
        "fn f<T>(a: &str) -> io::Result<T>;\nfn f(\n) -> Result<\n    Option<(u8, u8)>,\n    String,\n> {",
        "async fn f(a: Option<Result<Vec<u8>, std::string::String>>) {",
        "fn f() -> Result<Box<dyn Fn(u8, u8) -> u8>, &'static str> {",
        "fn f() { let g = || Err(format!(\"{a}\")); }",
        "fn f() { a.ok_or(\"nothing\")?; }",
    ] {
        assert_eq!(texts_as_errors(text), ["f"], "{text}");
    }
    for typed in ["fn f() -> Result<String, NoToken> {", "fn f() -> io::Result<String> {"] {
        assert_eq!(texts_as_errors(typed), [""; 0], "{typed}");
    }
}

#[test]
fn the_core_is_pure() {
    for file in sources(&src().join("election")) {
        let text = fs::read_to_string(&file).unwrap();
        let code = production(&text);
        for (word, why) in IMPURE {
            assert!(!code.contains(word), "{}: '{word}': {why}", file.display());
        }
    }
}

#[test]
fn readers_never_see_a_store() {
    for room in ["http", "command", "api"] {
        for file in sources(&src().join(room)) {
            let text = fs::read_to_string(&file).unwrap();
            assert!(!text.contains("crate::store"), "{}", file.display());
        }
    }
}

#[test]
fn only_the_store_names_its_backends() {
    let tests = |file: &PathBuf| file.ends_with("tests.rs");
    for file in sources(&src()).iter().filter(|file| room(file) != "store" && !tests(file)) {
        let text = fs::read_to_string(file).unwrap();
        for backend in ["sqlite", "memory", "postgres", "dynamodb", "kubernetes"] {
            let backend = format!("store::{backend}");
            assert!(!production(&text).contains(&backend), "{}: {backend}", file.display());
        }
    }
}
