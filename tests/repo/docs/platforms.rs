//! The page of each platform, for one who follows it from an empty directory.

use std::path::Path;

use crate::docs::pages::Page;

/// The page of a platform, what builds what runs there, and how its page is opened from a browser.
const PLATFORMS: [(&str, &str, &str); 6] = [
    ("docs/ecs.md", "make image PLATFORM=linux/amd64", "AWS-StartPortForwardingSession"),
    ("docs/kubernetes.md", "make image PLATFORM=linux/amd64", "kubectl port-forward"),
    ("docs/beanstalk.md", "make image PLATFORM=linux/amd64", "AWS-StartPortForwardingSession"),
    ("docs/compose.md", "make image IMAGE=", "ports: [\"127.0.0.1:4040:4040\"]"),
    ("docs/host.md", "make package", "ssh -N -L 4040:127.0.0.1:4040"),
    ("docs/image.md", "make image", "--publish 127.0.0.1:4040:4040"),
];

#[test]
fn each_platform_has_its_image_its_page_and_its_usual_mistakes() {
    for (path, built, opened) in PLATFORMS {
        let page = Page::read(Path::new(path)).text;
        for (what, words) in [
            ("how it is built", built),
            ("how the page is opened", opened),
            ("where the page is then", "`http://127.0.0.1:4040/`"),
        ] {
            assert!(page.contains(words), "{path} does not say {what}: {words}");
        }
        let mistakes = ["\n## When something is wrong\n", "\n## Usual mistakes\n"];
        let part = mistakes.iter().find_map(|title| page.split_once(title)).map(|(_, part)| part);
        let table = part.unwrap_or_else(|| panic!("{path} has no table of mistakes"));
        let table = table.split("\n## ").next().unwrap();
        for (what, words) in [
            ("another architecture", "for another architecture"),
            ("a port in use", "is in use by another process"),
        ] {
            assert!(table.contains(words), "{path} has no mistake of {what}");
        }
    }
}
