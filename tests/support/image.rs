//! Images, built for real by buildah.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use crate::static_binary::static_binary;
use crate::target;
use crate::tools::{folder_of_this_process, must, project};

/// An image, in a place of its own.
pub struct Image {
    place: PathBuf,
    /// Its digest, or what buildah calls it.
    id: String,
}

impl Image {
    /// The image that the tests of this process share.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Image> = OnceLock::new();
        SHARED.get_or_init(|| Self::build(folder_of_this_process(&target().join("tmp/images"))))
    }

    /// Builds the image of bellwether in an empty folder.
    pub fn build(place: PathBuf) -> Self {
        let context = place.join("context");
        fs::create_dir(&context).unwrap();
        let root = context.join("image");
        must(Command::new(project().join("image/root.sh")).arg(static_binary()).arg(root));
        fs::create_dir(context.join("state")).unwrap();
        let dockerfile = fs::read_to_string(project().join("Dockerfile")).unwrap();
        let (_, last) = dockerfile.split_once("\nFROM scratch\n").expect("the last stage");
        Self::of(place, &format!("FROM scratch AS build\nCOPY . /\nFROM scratch\n{last}"))
    }

    /// Builds an image from a Dockerfile and the folder `context` in its place.
    pub fn of(place: PathBuf, dockerfile: &str) -> Self {
        fs::write(place.join("Dockerfile"), dockerfile).unwrap();
        let mut image = Self { place, id: String::new() };
        let mut command = image.buildah();
        command.args(["build", "--quiet", "--format", "docker", "--isolation", "chroot"]);
        command.args(["--timestamp", "0", "--file"]).arg(image.place.join("Dockerfile"));
        let context = image.place.join("context");
        image.id = must(command.arg(context)).trim().to_owned();
        image
    }

    /// Writes it into a file that container runtimes import, under a name with a tag.
    pub fn archive(&self, name: &str) -> PathBuf {
        let file = self.place.join("archive.tar");
        let destination = format!("docker-archive:{}:{name}", file.display());
        must(self.buildah().args(["push", "--quiet", &self.id, &destination]));
        file
    }

    fn buildah(&self) -> Command {
        let mut command = Command::new("buildah");
        command.args(["--storage-driver", "vfs", "--root"]).arg(self.place.join("root"));
        command.arg("--runroot").arg(self.place.join("runroot"));
        command
    }

    fn inspected(&self) -> Value {
        let text = must(self.buildah().args(["inspect", "--type", "image", &self.id]));
        serde_json::from_str(&text).unwrap()
    }

    /// What a container of it is started with.
    pub fn settings(&self) -> Value {
        self.inspected()["Docker"].clone()
    }

    /// The digests of its layers.
    pub fn layers(&self) -> Value {
        self.inspected()["OCIv1"]["rootfs"]["diff_ids"].clone()
    }

    /// Its file system. Not to be changed.
    pub fn files(&self) -> &Path {
        static MOUNTED: OnceLock<PathBuf> = OnceLock::new();
        MOUNTED.get_or_init(|| {
            let container = must(self.buildah().args(["from", &self.id]));
            must(self.buildah().args(["mount", container.trim()])).trim().into()
        })
    }
}
