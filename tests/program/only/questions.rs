//! `is-leader`, `wait`, `healthcheck`, `resign`: what scripts rely on is the exit code.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use crate::only::scene::{ask, beside, leader, standby};
use support::lock::Lock;
use support::{Pasture, Sidecar, bellwether, eventually};

fn codes(sidecar: &Sidecar, commands: &[&[&str]]) -> Vec<Option<i32>> {
    commands.iter().map(|args| ask(sidecar, args).0).collect()
}

#[test]
fn on_the_leader_and_on_a_standby() {
    let pasture = Pasture::new();
    let (leader, standby) = (leader(&pasture, &[]), standby(&pasture));
    let questions: [&[&str]; 6] = [
        &["is-leader"],
        &["wait"],
        &["wait", "--leading", "--timeout", "300ms"],
        &["healthcheck"],
        &["healthcheck", "--path", "/leader"],
        &["healthcheck", "--path", "/nowhere"],
    ];
    let yes = [0, 0, 0, 0, 0, 1].map(Some);
    assert_eq!(codes(&leader, &questions), yes);
    assert_eq!(codes(&standby, &questions), [1, 0, 75, 0, 1, 1].map(Some));

    let (_, printed) = ask(&standby, &["is-leader"]);
    assert_eq!(String::from_utf8_lossy(&printed.stdout), "no: a leads\n");
    let (code, printed) = ask(&standby, &["is-leader", "--quiet"]);
    assert_eq!((code, printed.stdout.len(), printed.stderr.len()), (Some(1), 0, 0));
    let (_, printed) = ask(&leader, &["is-leader", "-q"]);
    assert_eq!(printed.stdout.len(), 0);
}

/// They were read to their end, which is far away or never comes, and found unhealthy.
#[test]
fn a_long_or_endless_response_is_as_healthy_as_a_short_one() {
    let pasture = Pasture::new();
    let names: Vec<_> = (0..60).map(|number| format!("election-{number}")).collect();
    let sidecar = leader(&pasture, &["--election", &names.join(",")]);
    let metrics = sidecar.get("/metrics").unwrap().body;
    let length = metrics.as_str().unwrap().len();
    assert!(length > 64 * 1024, "more than a command reads: {length}");
    for path in ["/metrics", "/events"] {
        let (code, printed) = ask(&sidecar, &["healthcheck", "--path", path]);
        assert_eq!(code, Some(0), "{path}: {}", String::from_utf8_lossy(&printed.stderr));
    }
}

#[test]
fn undecided_and_unreachable() {
    let pasture = Pasture::new();
    assert!(
        bellwether().args(["init", "--store", &pasture.store()]).output().unwrap().status.success()
    );
    let lock = Lock::take(&pasture);
    let mut sidecar = Sidecar::start("a", &pasture.store());
    let questions: [&[&str]; 5] = [
        &["is-leader"],
        &["wait", "--timeout", "300ms"],
        &["wait", "--leading", "--timeout", "300ms"],
        &["healthcheck"],
        &["healthcheck", "--path", "/livez"],
    ];
    assert_eq!(codes(&sidecar, &questions), [75, 75, 75, 1, 0].map(Some));
    let waiting = {
        let mut wait = beside(&sidecar, &pasture, &["wait", "--leading"]);
        thread::spawn(move || wait.output().unwrap())
    };
    drop(lock);
    assert!(waiting.join().unwrap().status.success(), "it waits until it is decided");
    sidecar.kill();
    assert_eq!(codes(&sidecar, &questions), [75, 75, 75, 1, 1].map(Some));
    assert_eq!(ask(&sidecar, &["resign"]).0, Some(69));
    let (_, printed) = ask(&sidecar, &["healthcheck"]);
    let printed = String::from_utf8(printed.stderr).unwrap();
    assert!(printed.contains("no sidecar responds at http://127.0.0.1:"), "{printed}");
    assert_eq!(printed.lines().count(), 1, "{printed}");
}

#[test]
fn resigning_hands_over_and_stays_down() {
    let pasture = Pasture::new();
    let (leader, standby) = (leader(&pasture, &[]), standby(&pasture));
    let (code, printed) = ask(&leader, &["resign", "--cooldown", "1h"]);
    assert_eq!(code, Some(0));
    assert!(String::from_utf8_lossy(&printed.stdout).contains("stays down for 1h"));
    let next = eventually("the other leads", || Some(standby.leader()).filter(|a| a.leads()));
    assert_eq!(next.term(), 2, "handed over, not run out");
    // Until the one that resigned has seen the other's lease, it knows of no leader.
    let follows = || (ask(&leader, &["is-leader"]).0 == Some(1)).then_some(());
    eventually("the first follows", follows);
    let (code, printed) = ask(&leader, &["resign", "--cooldown", "8days"]);
    assert_eq!(code, Some(64), "{}", String::from_utf8_lossy(&printed.stderr));
}

/// As the application, if its port is given in the place of the sidecar's.
#[test]
fn another_program_is_no_sidecar_whatever_it_answers() {
    for status in ["200 OK", "404 Not Found"] {
        is_no_sidecar(status);
    }
}

fn is_no_sidecar(status: &'static str) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let questions: [(&[&str], i32); 5] = [
        (&["resign"], 69),
        (&["wait"], 69),
        (&["wait", "--started"], 69),
        (&["wait", "--leading"], 69),
        (&["is-leader"], 75),
    ];
    let times = questions.len();
    let application = thread::spawn(move || {
        for connection in listener.incoming().take(times) {
            let mut connection = connection.unwrap();
            let _ = connection.read(&mut [0; 4096]).unwrap();
            let page = format!("HTTP/1.1 {status}\r\ncontent-length: 6\r\n\r\n<html>");
            connection.write_all(page.as_bytes()).unwrap();
        }
    });
    for (args, code) in questions {
        let output = bellwether().args(args).args(["--sidecar", &url]).output().unwrap();
        let printed = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {printed}");
        assert!(printed.contains(&format!("responds at {url} is no sidecar")), "{printed}");
    }
    application.join().unwrap();
}

/// The process was suspended, or the response was held up on its way.
#[test]
fn a_yes_that_comes_after_it_was_valid_is_not_repeated() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let late = thread::spawn(move || {
        for connection in listener.incoming().take(3) {
            let mut connection = connection.unwrap();
            let mut request = [0; 4096];
            let _ = connection.read(&mut request).unwrap();
            thread::sleep(Duration::from_millis(150));
            let body = r#"{"election":"default","identity":"a","leader":true,"holderIdentity":"a","validForMs":100}"#;
            let length = body.len();
            write!(connection, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}")
                .unwrap();
        }
    });
    let ask = |args: &[&str]| {
        let output = bellwether().args(args).args(["--sidecar", &url]).output().unwrap();
        let printed = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(75), "{args:?}: {printed}");
        printed
    };
    let printed = ask(&["is-leader"]);
    assert!(printed.contains("the response came too late"), "{printed}");
    ask(&["wait", "--leading", "--timeout", "0s"]);
    late.join().unwrap();
}
