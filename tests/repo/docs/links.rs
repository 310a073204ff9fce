//! Every link leads to a file, and to a heading if it names one.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use crate::docs::pages::{Page, all, project};

#[test]
fn no_link_is_dead() {
    let (mut seen, mut dead) = (0, Vec::new());
    for page in all() {
        let (_, text) = page.spans();
        for link in targets(&text) {
            if ["http://", "https://"].iter().any(|scheme| link.starts_with(scheme)) {
                continue;
            }
            seen += 1;
            if let Err(why) = check(&page.path, &link) {
                dead.push(format!("{}: {link}: {why}", page.name()));
            }
        }
    }
    assert!(dead.is_empty(), "{}", dead.join("\n"));
    assert!(seen >= 40, "{seen}");
}

/// A page that no other page links to is not read.
#[test]
fn the_index_names_every_page() {
    let index = Page::read(Path::new("docs/README.md")).text;
    for page in all().iter().filter(|page| page.path.starts_with("docs")) {
        let name = page.path.file_name().unwrap().to_str().unwrap();
        assert!(name == "README.md" || index.contains(&format!("]({name})")), "{name}");
    }
}

/// Where the links of a text lead, those of pictures as well.
fn targets(text: &str) -> Vec<String> {
    let inline = text.split("](").skip(1);
    let inline = inline.map(|rest| rest.split(')').next().unwrap().to_owned());
    let named = text.lines().filter_map(|line| {
        let (name, target) = line.strip_prefix('[')?.split_once("]: ")?;
        (!name.contains(']')).then(|| target.trim().to_owned())
    });
    inline.chain(named).collect()
}

fn check(page: &Path, link: &str) -> Result<(), String> {
    let (file, heading) = match link.split_once('#') {
        Some((file, heading)) => (file, Some(heading)),
        None => (link, None),
    };
    let path = if file.is_empty() {
        page.to_owned()
    } else {
        normal(&page.parent().unwrap().join(file)).ok_or("leads out of the project")?
    };
    if !project().join(&path).exists() {
        return Err(format!("there is no {}", path.display()));
    }
    let Some(heading) = heading else { return Ok(()) };
    if path.extension().is_none_or(|extension| extension != "md") {
        return Err("only pages have headings".to_owned());
    }
    let known = anchors(&Page::read(&path).prose());
    if known.contains(heading) { Ok(()) } else { Err(format!("no such heading among {known:?}")) }
}

/// Without `..`; none if it leads out of the project.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => normal.push(part),
            Component::CurDir => {}
            Component::ParentDir if normal.pop() => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(normal)
}

/// What a heading is called in a link: as GitHub makes it.
fn anchors(prose: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for line in prose.lines().filter(|line| line.starts_with('#')) {
        let heading = line.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let again = (1..).map(|n| format!("{anchor}-{n}"));
        let mut names = std::iter::once(anchor.clone()).chain(again);
        let free = names.find(|name| !anchors.contains(name)).unwrap();
        anchors.insert(free);
    }
    anchors
}

#[test]
fn a_dead_link_is_found() {
    let page = Path::new("docs/operations.md");
    for good in ["metrics.md", "../README.md#stores", "#alerts", "../deploy/grafana/alerts.yaml"] {
        assert_eq!(check(page, good), Ok(()), "{good}");
    }
    for dead in ["nowhere.md", "README.md#nothing", "#nothing", "../../etc", "../Makefile#alerts"] {
        assert!(check(page, dead).is_err(), "{dead}");
    }
    assert_eq!(targets("a [b](c.md) ![d](e.png)\n[f]: g.md\n"), ["c.md", "e.png", "g.md"]);
    let headings = anchors("# A `b`, c_d!\n\n## Twice\n\n## Twice\n");
    assert_eq!(Vec::from_iter(headings), ["a-b-c_d", "twice", "twice-1"]);
}
