//! The boot again, at little cost.
//!
//! A process that is restored from a checkpoint continues on another boot, or in another time namespace, so it reads its
//! boot again and again. All that it needs to read are the words that the last result came from: while they are the
//! same, so is the result.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::readlinkat_raw;

use super::{BOOT_ID, Boot, NAMESPACE, OFFSETS};

/// The boot as it was seen last.
#[derive(Clone, Debug)]
pub struct SeenBoot {
    /// The boot.
    pub boot: Boot,
    /// None where something of it could not be read.
    words: Option<Arc<Words>>,
}

impl SeenBoot {
    /// The boot now. `last` is what this process saw before, if it did.
    ///
    /// # Errors
    ///
    /// Those of [`Boot::this`].
    pub fn now(last: Option<&Self>) -> io::Result<Self> {
        // First: if the boot changes meanwhile, the next words differ from these.
        let words = Words::read();
        match last {
            Some(last) if words.is_some() && last.words.as_deref() == words.as_ref() => {
                Ok(last.clone())
            }
            _ => Ok(Self { boot: Boot::this()?, words: words.map(Arc::new) }),
        }
    }
}

/// What the kernel shows of the boot and of the time namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Words {
    boot_id: Text,
    /// None where the kernel has no time namespaces.
    namespace: Option<(Text, Text)>,
}

impl Words {
    fn read() -> Option<Self> {
        let boot_id = Text::of(BOOT_ID).ok()?;
        let namespace = match Text::of_link(NAMESPACE) {
            Ok(name) => Some((name, Text::of(OFFSETS).ok()?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(_) => return None,
        };
        Some(Self { boot_id, namespace })
    }
}

/// The most that is read: the two offsets of a namespace have 72 bytes.
const LONGEST: usize = 128;

/// The beginning of a text of the kernel, which gives a short one with the first call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Text {
    bytes: [u8; LONGEST],
}

impl Text {
    fn of(path: &str) -> io::Result<Self> {
        let mut bytes = [0; LONGEST];
        let _ = File::open(Path::new(path))?.read(&mut bytes)?;
        Ok(Self { bytes })
    }

    fn of_link(path: &str) -> io::Result<Self> {
        let mut bytes = [0; LONGEST];
        let _ = readlinkat_raw(rustix::fs::CWD, path, &mut bytes[..])?;
        Ok(Self { bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(boot: &str, words: Option<Words>) -> SeenBoot {
        SeenBoot { boot: Boot::proven(boot, "0.0"), words: words.map(Arc::new) }
    }

    #[test]
    fn the_boot_is_read_whole_if_a_word_has_changed_and_only_then() {
        let here = Boot::this().unwrap();
        let words = Words::read().unwrap();
        let now = |last: &SeenBoot| SeenBoot::now(Some(last)).unwrap().boot;
        assert_eq!(now(&seen("known", Some(words.clone()))), Boot::proven("known", "0.0"));
        let other = Text::of_link(NAMESPACE).unwrap();
        let namespace = words.namespace.unwrap();
        for changed in [
            Some(Words { boot_id: other, namespace: Some(namespace) }),
            Some(Words { boot_id: words.boot_id, namespace: Some((other, other)) }),
            Some(Words { boot_id: words.boot_id, namespace: Some((namespace.1, namespace.1)) }),
            Some(Words { boot_id: words.boot_id, namespace: None }),
            None,
        ] {
            assert_eq!(now(&seen("known", changed.clone())), here, "{changed:?}");
        }
        assert_eq!(SeenBoot::now(None).unwrap().boot, here);
    }

    #[test]
    fn a_text_is_read_whole() {
        let text = |text: Text| {
            String::from_utf8(text.bytes.to_vec()).unwrap().trim_end_matches('\0').to_owned()
        };
        for path in [BOOT_ID, OFFSETS] {
            assert_eq!(text(Text::of(path).unwrap()), std::fs::read_to_string(path).unwrap());
        }
        let link = std::fs::read_link(NAMESPACE).unwrap();
        assert_eq!(text(Text::of_link(NAMESPACE).unwrap()), link.to_str().unwrap());
    }
}
