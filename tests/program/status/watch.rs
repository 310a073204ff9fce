//! `status --watch` takes the whole of a terminal, and gives it back.

use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use support::postgres::{Server, Stop};
use support::window::Window;
use support::{Killed, Log, Pasture, eventually};

use super::scene::{Planted, arn, status};

fn watch(url: &str) -> Command {
    status(url, &["--watch"])
}

/// The rows of a window, of which the first says when and where, and the second is the header.
#[track_caller]
fn page(window: &Window, what: &str) -> Vec<String> {
    eventually(&format!("a page with {what}"), || {
        let rows = window.rows();
        let is_whole = rows[0].contains(" UTC  sqlite:") && rows[1].contains("STATE");
        (is_whole && window.text().contains(what)).then_some(rows)
    })
}

#[tokio::test]
async fn it_keeps_its_header_and_cuts_what_the_terminal_has_no_room_for() {
    let pasture = Pasture::new();
    Planted::at(&pasture.store()).await.everything().await;
    let mut window = Window::open(&watch(&pasture.store()), 80, 24);
    let rows = page(&window, "more");
    assert_eq!(window.is_taken(), (true, true));
    // One of them, and six works, are to be looked at: first, and in both tables.
    assert!(rows[2].contains("country-21") && rows[2].contains("vacated"), "{rows:?}");
    assert!(rows[3..6].iter().any(|row| row.contains("failed (3 of 3)")), "{rows:?}");
    let keys = rows.iter().position(|row| row.starts_with("WORK")).expect("a second header");
    assert!(rows[keys - 2].starts_with("… ") && rows[keys - 2].ends_with(" more"), "{rows:?}");
    assert!(rows[keys + 1].contains("final") || rows[keys + 2].contains("final"), "{rows:?}");

    for (width, height) in [(40, 10), (20, 4), (132, 24), (80, 100), (40, 10)] {
        window.resize(width, height);
        let rows = eventually("it is drawn again", || {
            let rows = window.rows();
            let fits = rows.iter().filter(|row| row.contains("STATE")).count();
            let last = rows.iter().rposition(|row| !row.is_empty());
            let is_full = last.is_some_and(|last| height > 90 || last + 2 >= usize::from(height));
            (fits >= 1 && rows[1].contains("STATE") && is_full).then_some(rows)
        });
        assert_eq!(rows.len(), usize::from(height));
        assert!(!window.is_too_narrow(), "{width}: {rows:?}");
    }
    window.types("\r\n\r\nabc");
    thread::sleep(Duration::from_millis(1500));
    let rows = page(&window, "more");
    assert!(!window.text().contains("abc"), "{rows:?}");
    assert!(!window.echoes());
}

#[tokio::test]
async fn it_shows_what_changes() {
    let pasture = Pasture::new();
    let window = Window::open(&watch(&pasture.store()), 80, 24);
    window.shows("no instance has stood in an election");
    let planted = Planted::at(&pasture.store()).await;
    planted.election("first", Some("web-0".to_owned())).await;
    page(&window, "election  first  held");
    planted.election("second", Some(arn(1))).await;
    let rows = page(&window, "second");
    assert!(
        !window.text().contains("no instance has stood"),
        "nothing is left of what was: {rows:?}"
    );
}

#[tokio::test]
async fn it_gives_the_terminal_back_at_every_signal() {
    let pasture = Pasture::new();
    Planted::at(&pasture.store()).await.election("first", Some("web-0".to_owned())).await;
    for (signal, code) in [("SIGTERM", 143), ("SIGINT", 130), ("SIGHUP", 129), ("SIGQUIT", 131)] {
        let mut window = Window::open(&watch(&pasture.store()), 80, 24);
        page(&window, "first");
        window.signal(signal);
        assert_eq!(window.wait().code(), Some(code));
        eventually("all was read", || (window.is_taken() == (false, false)).then_some(()));
        assert_eq!(window.text().trim(), "", "the screen before it was empty");
    }
    let program = format!(
        "trap : INT; echo before; {}; echo \"after $?\"; read x",
        line(&watch(&pasture.store()))
    );
    let mut shell = Command::new("sh");
    shell.args(["-c", &program]);
    let mut window = Window::open(&shell, 80, 24);
    page(&window, "first");
    assert!(!window.text().contains("before"));
    window.types("\x03");
    let rows = window.shows("after 130");
    assert!(rows[0].starts_with("before"), "{rows:?}");
    assert!(!window.text().contains("first"), "{rows:?}");
    assert_eq!(window.is_taken(), (false, false));
    assert!(window.echoes(), "what is typed is shown again");
}

#[tokio::test]
async fn ctrl_z_gives_the_terminal_back_until_it_is_continued() {
    let pasture = Pasture::new();
    Planted::at(&pasture.store()).await.election("first", Some("web-0".to_owned())).await;
    let program = format!(
        "set -m; trap : INT; echo before; {}; echo stopped; read x; fg; echo \"after $?\"; read x",
        line(&watch(&pasture.store()))
    );
    let mut shell = Command::new("bash");
    shell.args(["--norc", "-c", &program]);
    let mut window = Window::open(&shell, 80, 24);
    page(&window, "first");
    window.types("\x1a");
    window.shows("stopped");
    assert_eq!(window.is_taken(), (false, false));
    assert!(window.text().contains("before") && window.echoes());
    window.types("\n");
    page(&window, "first");
    assert_eq!(window.is_taken(), (true, true));
    assert!(!window.echoes());
    window.types("\x03");
    window.shows("after 130");
    assert_eq!(window.is_taken(), (false, false));
    assert!(window.echoes());
}

/// The kernel stops a process in the background that changes its terminal, and no signal ends it then.
#[tokio::test]
async fn in_the_background_it_leaves_the_terminal_alone_and_a_signal_ends_it() {
    let pasture = Pasture::new();
    Planted::at(&pasture.store()).await.election("first", Some("web-0".to_owned())).await;
    let watch = line(&watch(&pasture.store()));
    let end = "kill %1; wait %1; echo \"after $?\"; read x";
    let bash = |program: &str| {
        let mut bash = Command::new("bash");
        bash.args(["--norc", "-c", program]);
        Window::open(&bash, 80, 24)
    };
    let mut window = bash(&format!("set -m; {watch}; echo stopped; bg; {end}"));
    page(&window, "first");
    window.types("\x1a");
    window.shows("after 143");
    assert_eq!(window.is_taken(), (false, false));
    assert!(window.echoes());

    let fg = format!("read x; fg; echo again; bg; {end}");
    let mut window = bash(&format!("set -m; {watch} & echo started; {fg}"));
    window.shows("started");
    thread::sleep(Duration::from_millis(1500));
    assert_eq!(window.is_taken(), (false, false));
    assert!(!window.text().contains("first"), "{}", window.text());
    window.types("\n");
    page(&window, "first");
    assert_eq!(window.is_taken(), (true, true));
    window.types("\x1a");
    window.shows("after 143");
    assert_eq!(window.is_taken(), (false, false));
    assert!(window.echoes());
}

#[tokio::test]
async fn a_terminal_that_takes_nothing_does_not_keep_it_from_ending() {
    let pasture = Pasture::new();
    Planted::at(&pasture.store()).await.election("first", Some("web-0".to_owned())).await;
    let mut window = Window::open(&watch(&pasture.store()), 80, 24);
    page(&window, "first");
    // Ctrl-S: from now on each write to the terminal waits.
    window.types("\x13");
    thread::sleep(Duration::from_secs(3));
    window.signal("SIGTERM");
    assert_eq!(window.wait().code(), Some(143));
}

#[tokio::test]
async fn an_outage_is_shown_in_the_page_and_what_it_shows_is_dated() {
    let server = Server::start(&[]);
    let url = server.url("postgres");
    Planted::at(&url).await.election("first", Some("web-0".to_owned())).await;
    let window = Window::open(&watch(&url), 80, 10);
    window.shows("election  first  held");
    server.stop(Stop::Kill);
    let rows = window.shows("as it was at");
    assert!(rows[0].contains(" UTC  postgres://"), "{rows:?}");
    assert!(rows[1].contains("127.0.0.1"), "why: {rows:?}");
    assert!(rows.iter().any(|row| row.starts_with("KIND")), "{rows:?}");
    assert!(!window.is_too_narrow(), "{rows:?}");
    server.start_again();
    eventually("it is over", || (!window.text().contains("as it was")).then_some(()));
    window.shows("election  first  held");
}

#[tokio::test]
async fn without_a_terminal_pages_follow_each_other_as_text() {
    let pasture = Pasture::new();
    Planted::at(&pasture.store()).await.election("first", Some("web-0".to_owned())).await;
    let mut command = watch(&pasture.store());
    let mut watching = Killed(command.stdout(Stdio::piped()).spawn().unwrap());
    let pages = Log::of(watching.0.stdout.take().unwrap());
    eventually("three pages", || (pages.count("KIND") >= 3).then_some(()));
    let lines = pages.lines();
    assert!(lines[0].starts_with("KIND") && lines[1].contains("first"), "{lines:?}");
    assert!(lines[2].is_empty() && lines[3].starts_with("KIND"), "{lines:?}");
    assert!(!pages.text().contains('\x1b'), "{lines:?}");

    let dumb = format!("TERM=dumb {}", line(&watch(&pasture.store())));
    let mut shell = Command::new("sh");
    shell.args(["-c", &dumb]);
    let window = Window::open(&shell, 80, 24);
    eventually("two pages", || (window.text().matches("KIND").count() >= 2).then_some(()));
    assert_eq!(window.is_taken(), (false, false));
}

/// A command as a shell reads it.
fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
    words.join(" ")
}
