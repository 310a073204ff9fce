//! The store of a host, if none is named.

use std::path::PathBuf;

use crate::store::StoreUrl;

/// A file in the state directory: systemd's for a unit, otherwise the user's.
pub(super) fn store(env: impl Fn(&str) -> Option<PathBuf>) -> Option<StoreUrl> {
    let set = |name| env(name).filter(|path| path.is_absolute());
    let folder = set("STATE_DIRECTORY")
        .or_else(|| set("XDG_STATE_HOME").map(|state| state.join("bellwether")))
        .or_else(|| set("HOME").map(|home| home.join(".local/state/bellwether")))?;
    Some(StoreUrl::Sqlite { path: folder.join("leases.db"), create_folder: true })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store_in(variables: &[(&str, &str)]) -> Option<String> {
        store(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| PathBuf::from(value))
        })
        .map(|store| store.to_string())
    }

    #[test]
    fn the_default_store_lies_in_the_state_directory() {
        let home = ("HOME", "/home/sheep");
        let in_home = "sqlite:///home/sheep/.local/state/bellwether/leases.db";
        assert_eq!(store_in(&[home]).unwrap(), in_home);
        assert_eq!(store_in(&[home, ("XDG_STATE_HOME", "relative")]).unwrap(), in_home);
        let xdg = ("XDG_STATE_HOME", "/state");
        assert_eq!(store_in(&[home, xdg]).unwrap(), "sqlite:///state/bellwether/leases.db");
        let systemd = ("STATE_DIRECTORY", "/var/lib/flock");
        assert_eq!(store_in(&[home, xdg, systemd]).unwrap(), "sqlite:///var/lib/flock/leases.db");
        assert_eq!(store_in(&[]), None);
    }
}
