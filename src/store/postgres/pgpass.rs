//! libpq's password file: `~/.pgpass`, or where `PGPASSFILE` says.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use super::hosts::{self, Host};
use super::invalid::Env;
use crate::store::small_file;

/// The file is read for every connection, and a warning about its mode is logged once.
static COMPLAINED: AtomicBool = AtomicBool::new(false);

/// The password for this login, if there is a file and it has one.
pub fn look_up(env: Env<'_>, host: &Host, database: &str, user: &str) -> Option<String> {
    let path = env("PGPASSFILE")
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env("HOME")?).join(".pgpass")))?;
    // As libpq: a file that others can read is not used.
    let mode = std::fs::metadata(&path).ok()?.permissions().mode();
    if mode & 0o077 != 0 {
        if !COMPLAINED.swap(true, Ordering::Relaxed) {
            let path = path.display();
            tracing::warn!(
                %path, event = "pgpass_ignored",
                "password file ignored because other users can read it; set its mode to 0600"
            );
        }
        return None;
    }
    let port = host.port.to_string();
    let text = small_file::read_text(&path).ok()?;
    let names = names(host);
    let find = |line| names.iter().find_map(|name| password(line, &[name, &port, database, user]));
    text.lines().find_map(find)
}

/// What a host is called in this file: a Unix socket by its folder, and in a usual folder also
/// `localhost`.
fn names(host: &Host) -> Vec<&str> {
    let mut names = vec![host.name.as_str()];
    if hosts::SOCKET_FOLDERS.contains(&host.name.trim_end_matches('/')) {
        names.push("localhost");
    }
    names
}

/// The password of a line, if its first four fields fit.
fn password(line: &str, wanted: &[&str; 4]) -> Option<String> {
    if line.starts_with('#') {
        return None;
    }
    let mut fields = fields(line).into_iter();
    let fits = wanted
        .iter()
        .all(|want| fields.next().is_some_and(|field| field.raw == "*" || field.text == *want));
    fields.next().filter(|_| fits).map(|field| field.text)
}

#[derive(Default)]
struct Field {
    raw: String,
    text: String,
}

/// Splits at `:`; a backslash takes away the meaning of what follows it.
fn fields(line: &str) -> Vec<Field> {
    let mut all = Vec::new();
    let mut field = Field::default();
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match c {
            ':' => all.push(std::mem::take(&mut field)),
            '\\' => {
                field.raw.push(c);
                if let Some(plain) = characters.next() {
                    field.raw.push(plain);
                    field.text.push(plain);
                }
            }
            plain => {
                field.raw.push(plain);
                field.text.push(plain);
            }
        }
    }
    all.push(field);
    all
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_socket_is_called_by_its_folder_and_in_a_usual_one_localhost() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".pgpass");
        std::fs::write(&path, "localhost:*:*:*:usual\n/srv/pg:*:*:*:own\n/tmp:*:*:*:no\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let home = dir.path().display().to_string();
        // An empty variable names no file, as in libpq.
        let env = move |name: &str| match name {
            "PGPASSFILE" => Some(String::new()),
            "HOME" => Some(home.clone()),
            _ => None,
        };
        for (folder, expected) in [
            ("/srv/pg", Some("own")),
            ("/var/run/postgresql", Some("usual")),
            ("/tmp", Some("usual")),
            ("/srv/other", None),
        ] {
            let host = Host { name: folder.to_owned(), port: 5432 };
            assert_eq!(look_up(&env, &host, "app", "me").as_deref(), expected, "{folder}");
        }
    }

    #[test]
    fn the_first_line_that_fits_gives_the_password() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pgpass");
        let text = "# a comment\ndb:5432:app:other:no\ndb:*:app:me:a\\:b\\\\c\n*:*:*:*:last\n";
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let file = path.display().to_string();
        let env = move |name: &str| (name == "PGPASSFILE").then(|| file.clone());
        let host = |name: &str, port| Host { name: name.to_owned(), port };
        assert_eq!(look_up(&env, &host("db", 1234), "app", "me").as_deref(), Some("a:b\\c"));
        assert_eq!(look_up(&env, &host("else", 1), "x", "y").as_deref(), Some("last"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(look_up(&env, &host("else", 1), "x", "y"), None);
    }
}
