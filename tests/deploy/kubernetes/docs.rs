//! The pages say what works: every command in them is run as far as it can be without a cluster, and
//! every file in them is one that is checked elsewhere.

use std::fs;
use std::process::Command;

use support::tools::{must, must_fail, project, tool, tool_path};

const PAGES: [&str; 2] = ["docs/kubernetes.md", "docs/image.md"];

fn text(file: &str) -> String {
    fs::read_to_string(project().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The lines after `$ ` in the blocks for a console.
fn commands(page: &str) -> Vec<String> {
    let blocks: Vec<_> = page.split("```console\n").skip(1).collect();
    let lines = blocks.iter().flat_map(|block| block.split("```").next().unwrap().lines());
    lines.filter_map(|line| line.strip_prefix("$ ").map(str::to_owned)).collect()
}

/// A command line in a shell, with the real tools and without any cluster.
fn shell(line: &str) -> Command {
    let mut command = Command::new("sh");
    let tools = tool_path("helm4");
    command.args(["-c", line]).current_dir(project()).env("KUBECONFIG", "/dev/null");
    command.env("PATH", format!("{}:{}", tools.display(), std::env::var("PATH").unwrap()));
    command
}

/// Runs what a command would do to a cluster, up to the point where it looks for one.
fn check(line: &str) {
    let words: Vec<_> = line.split(' ').collect();
    match words[..] {
        ["make", target, ..] => {
            assert!(text("Makefile").contains(&format!("\n{target}:")), "{line}");
        }
        ["kubectl", "create", ..] => {
            let made = must(&mut shell(&format!("{line} --dry-run=client --output=yaml")));
            assert!(made.contains("kind: Secret"), "{made}");
        }
        ["helm", "install", name, chart, ..] => {
            let install = format!("helm install {name} {chart}");
            let template = format!("helm template {name} {chart}");
            must(&mut shell(&line.replace(&install, &template)));
        }
        ["kubectl" | "helm", ..] => {
            if let Some(file) = line.split(" -f ").nth(1) {
                assert!(project().join(file).exists(), "{line}");
            }
            // The last thing that can go wrong: everything before it was understood.
            let printed = must_fail(&mut shell(line));
            let no_cluster = ["connection refused", "cluster unreachable"];
            assert!(no_cluster.iter().any(|words| printed.contains(words)), "{line}: {printed}");
        }
        // Their own tools are not to be had without a network: the names are what can be checked.
        ["docker", "push", image] => {
            assert_eq!(image, format!("registry.example/bellwether:{}", env!("CARGO_PKG_VERSION")));
        }
        ["kind", "load", "docker-image", image] | ["docker", "run", .., image] => {
            assert_eq!(image, format!("bellwether:{}", env!("CARGO_PKG_VERSION")), "{line}");
        }
        // There is no release yet: what these look for is made by the steps of one.
        ["sha256sum", "--check", .., file] => {
            assert!(text("release/sums.sh").contains(file), "{line}");
        }
        ["gh", "attestation", "verify", ..] => {
            assert!(text(".github/workflows/release.yml").contains("attest"), "{line}");
        }
        _ => panic!("nothing here knows how to check: {line}"),
    }
}

#[test]
fn every_command_is_one_that_its_tool_understands() {
    let mut seen = 0;
    for page in PAGES {
        for line in commands(&text(page)) {
            seen += 1;
            check(&line);
        }
    }
    assert!(seen >= 15, "{seen}");
}

/// A block stands, line by line and in this order, in the file that the comment before it names.
#[test]
fn every_piece_of_a_file_is_in_that_file() {
    let page = text("docs/kubernetes.md");
    let mut seen = 0;
    for part in page.split("```yaml\n").skip(1) {
        let block = part.split("```").next().unwrap();
        let before = page.split(&format!("```yaml\n{block}")).next().unwrap();
        let comment = before.trim_end().lines().last().unwrap();
        let file = comment.strip_prefix("<!-- part of ").and_then(|rest| rest.strip_suffix(" -->"));
        let file = file.unwrap_or_else(|| panic!("of which file is this? {block}"));
        assert!(text(file).contains(block), "{file} has no such part: {block}");
        seen += 1;
    }
    assert!(seen >= 4, "{seen}");
}

/// What the application of the page does is what its shell understands.
#[test]
fn the_application_to_try_asks_and_works() {
    let values = support::tools::yaml(&text("deploy/kubernetes/try-values.yaml"));
    let script = values[0]["app"]["command"][2].as_str().unwrap();
    must(Command::new("sh").args(["-n", "-c", script]));
    assert!(script.contains("http://127.0.0.1:4040/leader"));
    must(tool("helm4/helm").args(["lint", "--strict", "--values"]).args([
        project().join("deploy/kubernetes/try-values.yaml"),
        project().join("charts/bellwether"),
    ]));
}
