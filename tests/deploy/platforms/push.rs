//! What a release pushes, in a real registry: one image for two architectures, and the chart.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::platforms::tools::{must, root};
use support::{Log, eventually};

/// A registry of its own, without TLS, killed when dropped.
struct Registry {
    address: String,
    child: Child,
    folder: tempfile::TempDir,
}

impl Registry {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let settings = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http: {{addr: \"127.0.0.1:0\"}}\n",
            data.display()
        );
        let file = folder.path().join("registry.yml");
        std::fs::write(&file, settings).unwrap();
        let program = root().join("target/tools/registry/docker-registry");
        assert!(program.exists(), "docker-registry is not installed: run make setup");
        let mut command = Command::new(program);
        let mut child = command.arg("serve").arg(&file).stderr(Stdio::piped()).spawn().unwrap();
        let log = Log::of(child.stderr.take().unwrap());
        let address = eventually("it says where it answers", || {
            let line = log.lines().into_iter().find(|line| line.contains("listening on "))?;
            let (_, rest) = line.split_once("listening on ")?;
            Some(rest.split('"').next()?.to_owned())
        });
        Self { address, child, folder }
    }

    /// A command whose containers lie in the folder, and which knows that there is no TLS.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let place = self.folder.path();
        let (storage, registries) = (place.join("storage.conf"), place.join("registries.conf"));
        let at = |name: &str| place.join(name).display().to_string();
        let text = format!(
            "[storage]\ndriver = \"overlay\"\ngraphroot = \"{}\"\nrunroot = \"{}\"\n",
            at("graph"),
            at("run")
        );
        std::fs::write(&storage, text).unwrap();
        let text = format!("[[registry]]\nlocation = \"{}\"\ninsecure = true\n", self.address);
        std::fs::write(&registries, text).unwrap();
        let mut command = Command::new(program);
        command.env("CONTAINERS_STORAGE_CONF", storage);
        command.env("CONTAINERS_REGISTRIES_CONF", registries);
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{path}", root().join("target/tools/helm3").display()));
        command
    }

    fn manifest(&self, path: &str) -> Value {
        let url = format!("http://{}/v2/{path}", self.address);
        let accepted = "application/vnd.oci.image.index.v1+json, \
                        application/vnd.docker.distribution.manifest.list.v2+json, \
                        application/vnd.oci.image.manifest.v1+json";
        let request = ureq::get(url).header("accept", accepted);
        let text = request.call().unwrap().body_mut().read_to_string().unwrap();
        serde_json::from_str(&text).unwrap()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The image of one architecture, as `docker save` writes it.
fn saved(registry: &Registry, architecture: &str, folder: &Path) {
    let context = registry.folder.path().join(architecture);
    std::fs::create_dir(&context).unwrap();
    std::fs::write(context.join("bellwether"), architecture).unwrap();
    let papers = context.join("usr/share/doc/bellwether");
    std::fs::create_dir_all(&papers).unwrap();
    std::fs::write(papers.join("LICENSE-MIT"), architecture).unwrap();
    let file = "FROM scratch\nCOPY . /\nENTRYPOINT [\"/bellwether\"]\n";
    std::fs::write(context.join("Dockerfile"), file).unwrap();
    let mut build = registry.command("buildah");
    build.args(["build", "--quiet", "--isolation", "chroot", "--format", "docker"]);
    must(build.args(["--arch", architecture, "--tag", "bellwether:build"]).arg(&context));
    let archive = folder.join(format!("image-{architecture}.tar"));
    let to = format!("docker-archive:{}:bellwether:build", archive.display());
    must(registry.command("buildah").args(["push", "--quiet", "bellwether:build", &to]));
}

#[test]
fn the_packed_program_is_that_of_the_image() {
    let registry = Registry::start();
    saved(&registry, "amd64", registry.folder.path());
    let unpacked = registry.folder.path().join("unpacked");
    let mut unpack = registry.command(root().join("release/unpack-image.sh"));
    must(unpack.arg("localhost/bellwether:build").arg(&unpacked));
    for file in ["bellwether", "usr/share/doc/bellwether/LICENSE-MIT"] {
        assert_eq!(std::fs::read_to_string(unpacked.join(file)).unwrap(), "amd64");
    }
    let left = must(registry.command("podman").args(["ps", "--all", "--quiet"]));
    assert_eq!(left, "", "its container is gone");
}

#[test]
fn one_name_is_an_image_for_each_architecture_and_the_chart_is_beside_it() {
    let registry = Registry::start();
    let [images, dist] = ["images", "dist"].map(|name| registry.folder.path().join(name));
    std::fs::create_dir(&images).unwrap();
    ["amd64", "arm64"].iter().for_each(|architecture| saved(&registry, architecture, &images));
    let mut package = registry.command("helm");
    package.arg("package").arg(root().join("charts/bellwether")).arg("--destination").arg(&dist);
    must(&mut package);

    // With capital letters, as a repository may have them and an image may not.
    let name = format!("{}/Owner/Bellwether", registry.address);
    let mut push = registry.command(root().join("release/push.sh"));
    let printed = must(push.arg(&name).arg(&images).arg(&dist));
    let (image, digest) = printed.trim().split_once('\n').unwrap();
    assert_eq!(image, format!("image={}/owner/bellwether", registry.address));
    let digest = digest.strip_prefix("digest=").unwrap();

    let version = env!("CARGO_PKG_VERSION");
    let tagged = registry.manifest(&format!("owner/bellwether/manifests/{version}"));
    assert_eq!(tagged, registry.manifest(&format!("owner/bellwether/manifests/{digest}")));
    let platforms = tagged["manifests"].as_array().unwrap().iter().map(|one| {
        let platform = &one["platform"];
        format!(
            "{}/{}",
            platform["os"].as_str().unwrap(),
            platform["architecture"].as_str().unwrap()
        )
    });
    assert_eq!(platforms.collect::<Vec<_>>(), ["linux/amd64", "linux/arm64"]);

    let chart = registry.manifest(&format!("owner/charts/bellwether/manifests/{version}"));
    assert_eq!(chart["config"]["mediaType"], "application/vnd.cncf.helm.config.v1+json");
    let pulled = registry.folder.path().join("pulled");
    std::fs::create_dir(&pulled).unwrap();
    let from = format!("oci://{}/owner/charts/bellwether", registry.address);
    let mut pull = registry.command("helm");
    pull.args(["pull", &from, "--version", version, "--plain-http", "--untar"]);
    must(pull.arg("--untardir").arg(&pulled));
    assert!(pulled.join("bellwether/Chart.yaml").exists());
}
