//! All pages, and what is in them.

use std::fs;
use std::path::{Path, PathBuf};

/// Where pages are, from the root of the project.
const FOLDERS: [&str; 4] = ["docs", "deploy", "charts", "examples"];

pub fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub struct Page {
    /// From the root of the project.
    pub path: PathBuf,
    pub text: String,
}

/// The lines between two fences.
pub struct Block {
    pub language: String,
    pub lines: Vec<String>,
}

pub fn all() -> Vec<Page> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(project()).unwrap() {
        paths.push(entry.unwrap().path());
    }
    paths.retain(|path| path.is_file());
    for folder in FOLDERS.map(|folder| project().join(folder)) {
        if folder.exists() {
            files(&folder, &mut paths);
        }
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    paths.sort();
    assert!(paths.len() >= 12, "{paths:?}");
    paths.into_iter().map(|path| Page::read(path.strip_prefix(project()).unwrap())).collect()
}

pub fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

/// The arguments of `bellwether serve` in a line of shell.
pub fn arguments_of_serve(line: &str) -> Vec<String> {
    let mut words = crate::docs::shell::commands(line).into_iter().next().unwrap();
    assert_eq!(words[..2], ["bellwether", "serve"], "{line}");
    words.split_off(2)
}

/// The code after the comment that says that this test program runs it.
pub fn example(page: &str, name: &str) -> String {
    let text = Page::read(Path::new(page)).text;
    let mark = format!("<!-- run by tests/repo/docs: {name} -->\n```");
    let (_, after) = text.split_once(&mark).unwrap_or_else(|| panic!("no example '{name}'"));
    let (_, code) = after.split_once('\n').unwrap();
    code.split_once("\n```").unwrap().0.to_owned()
}

impl Page {
    pub fn read(path: &Path) -> Self {
        let text = fs::read_to_string(project().join(path));
        let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { path: path.to_owned(), text }
    }

    pub fn name(&self) -> String {
        self.path.display().to_string()
    }

    pub fn blocks(&self) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        let mut open = false;
        for line in self.text.lines() {
            match line.trim_start().strip_prefix("```") {
                Some(_) if open => open = false,
                Some(language) => {
                    open = true;
                    blocks.push(Block { language: language.trim().to_owned(), lines: vec![] });
                }
                None if open => blocks.last_mut().unwrap().lines.push(line.to_owned()),
                None => {}
            }
        }
        assert!(!open, "{}: a fence without an end", self.name());
        blocks
    }

    /// What is not in a block.
    pub fn prose(&self) -> String {
        let mut open = false;
        let is_prose = |line: &&str| {
            let fence = line.trim_start().starts_with("```");
            open ^= fence;
            !open && !fence
        };
        self.text.lines().filter(is_prose).map(|line| format!("{line}\n")).collect()
    }

    /// What stands between backticks in the prose; and the prose with that taken out.
    pub fn spans(&self) -> (Vec<String>, String) {
        let (mut spans, mut rest) = (Vec::new(), String::new());
        for paragraph in self.prose().split("\n\n") {
            for (at, part) in paragraph.split('`').enumerate() {
                if at % 2 == 1 { spans.push(part.replace('\n', " ")) } else { rest.push_str(part) }
            }
            rest.push_str("\n\n");
        }
        (spans, rest)
    }
}
