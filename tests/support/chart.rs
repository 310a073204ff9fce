//! What the charts become.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use crate::tools::{must, must_fail, project, tool, yaml};

/// Both generations that are in use, by their folders.
pub const HELMS: [&str; 2] = ["helm3/helm", "helm4/helm"];

/// The release and the namespace of whatever is rendered here.
pub const WHERE: [&str; 3] = ["demo", "--namespace", "shop"];

pub fn chart() -> PathBuf {
    project().join("charts/bellwether")
}

/// The files of values that the chart is rendered with.
pub fn matrix() -> Vec<PathBuf> {
    let files = fs::read_dir(chart().join("ci")).unwrap();
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.push(project().join("deploy/kubernetes/try-values.yaml"));
    files.sort();
    assert!(files.len() >= 5, "{files:?}");
    files
}

/// The chart as one Helm renders it with a file of values.
#[track_caller]
pub fn rendered(helm: &str, values: &Path) -> String {
    let mut command = tool(helm);
    must(command.arg("template").args(WHERE).arg(chart()).arg("--values").arg(values))
}

/// The chart with a few values.
#[track_caller]
pub fn with(sets: &[&str]) -> Vec<Value> {
    yaml(&must(&mut template(sets)))
}

/// The error of the chart when it refuses a few values.
#[track_caller]
pub fn refused(sets: &[&str]) -> String {
    must_fail(&mut template(sets))
}

fn template(sets: &[&str]) -> Command {
    let mut command = tool("helm4/helm");
    command.arg("template").args(WHERE).arg(chart());
    for set in sets {
        command.args(["--set", set]);
    }
    command
}

/// The example of a chart that has this one as a dependency.
pub fn example(helm: &str) -> String {
    example_with(helm, &[])
}

/// The same with a few values.
pub fn example_with(helm: &str, sets: &[&str]) -> String {
    // A dependency is packed into the chart that has it: not in the work tree.
    let folder = tempfile::tempdir().unwrap();
    must(Command::new("cp").arg("-r").arg(project().join("charts")).arg(folder.path()));
    let chart = folder.path().join("charts/example");
    must(tool(helm).args(["dependency", "update"]).arg(&chart));
    must(tool(helm).args(["lint", "--strict"]).arg(&chart));
    let mut command = tool(helm);
    command.arg("template").args(WHERE).arg(&chart);
    for set in sets {
        command.args(["--set", set]);
    }
    must(&mut command)
}

/// Something that is rendered.
pub struct Rendered {
    /// Of the values it is rendered with.
    pub name: String,
    pub text: String,
    pub documents: Vec<Value>,
}

/// Everything that is rendered anywhere.
pub fn everything() -> &'static [Rendered] {
    static EVERYTHING: OnceLock<Vec<Rendered>> = OnceLock::new();
    EVERYTHING.get_or_init(|| {
        let name = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
        let mut texts: Vec<_> =
            matrix().iter().map(|file| (name(file), rendered("helm4/helm", file))).collect();
        texts.push(("example".to_owned(), example("helm4/helm")));
        let parsed = |(name, text): (String, String)| {
            let documents = yaml(&text);
            Rendered { name, text, documents }
        };
        texts.into_iter().map(parsed).collect()
    })
}
