//! libpq's service files: parameters under a name, in `~/.pg_service.conf` or the file of
//! `PGSERVICEFILE`, then in the system's folder.

use std::path::PathBuf;

use super::invalid::{Env, InvalidTarget};
use crate::store::small_file;

/// The folder of Debian's libpq if `PGSYSCONFDIR` is not set.
const SYSTEM_FOLDER: &str = "/etc/postgresql-common";

/// The parameters of the service, in order.
///
/// # Errors
///
/// When no file has it, or a line of it is invalid.
pub fn look_up(env: Env<'_>, service: &str) -> Result<Vec<(String, String)>, InvalidTarget> {
    let own = env("PGSERVICEFILE")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env("HOME")?).join(".pg_service.conf")));
    let folder = env("PGSYSCONFDIR").unwrap_or_else(|| SYSTEM_FOLDER.to_owned());
    let system = PathBuf::from(folder).join("pg_service.conf");
    for file in own.into_iter().chain([system]) {
        let Ok(text) = small_file::read_text(&file) else { continue };
        if let Some(parameters) = section(&text, service)? {
            return Ok(parameters);
        }
    }
    Err(InvalidTarget::NoService(service.to_owned()))
}

fn section(text: &str, service: &str) -> Result<Option<Vec<(String, String)>>, InvalidTarget> {
    let mut found: Option<Vec<(String, String)>> = None;
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            if found.is_some() {
                break;
            }
            if name == service {
                found = Some(Vec::new());
            }
        } else if let Some(parameters) = &mut found {
            // The line itself may hold a password.
            let (name, value) = line
                .split_once('=')
                .ok_or_else(|| InvalidTarget::BadService(service.to_owned()))?;
            parameters.push((name.trim().to_owned(), value.trim().to_owned()));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameters_of_one_service_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("services");
        let text =
            "# ours\n[other]\nhost=no\n\n[app]\nhost = db1,db2\n#port=1\npassword=a=b\n[z]\nx\n";
        std::fs::write(&file, text).unwrap();
        let path = file.display().to_string();
        let env = move |name: &str| (name == "PGSERVICEFILE").then(|| path.clone());
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = vec![pair("host", "db1,db2"), pair("password", "a=b")];
        assert_eq!(look_up(&env, "app"), Ok(expected));
        assert!(look_up(&env, "z").is_err(), "a line without a value");
        assert_eq!(look_up(&env, "none"), Err(InvalidTarget::NoService("none".to_owned())));
    }
}
