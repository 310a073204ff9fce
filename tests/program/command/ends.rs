//! Ends by the clock and by order.

use bellwether::command::group::{Ended, Group};
use bellwether::command::plan::{Deadlines, Exit};
use rustix::process::Signal;

use crate::command::scene::{STUBBORN, Scene, end_of, eventually_true, far, kill_all, ms, now};

#[tokio::test]
async fn it_is_signalled_at_the_first_deadline() {
    alone!();
    let scene = Scene::new();
    let stop_at = now() + ms(400);
    let script = "trap 'read up idle < /proc/uptime; echo term $up >> $DIR/beats; exit 7' TERM
                  while :; do sleep 0.02; done";
    let mut group = scene.start(script, Deadlines { stop_at, kill_at: stop_at + ms(600_000) });
    let ended = end_of(&mut group).await;
    assert_eq!(ended, Ended::Exited { exit: Exit::Code(7), stopped: true });
    // /proc/uptime shows hundredths, rounded down.
    assert!(scene.last_beat("term").unwrap() + ms(10) >= stop_at);
}

#[tokio::test]
async fn everything_is_killed_at_the_second_deadline_before_the_end_is_reported() {
    alone!();
    let scene = Scene::new();
    let mut group = scene.start_stubborn(far());
    let kill_at = now() + ms(500);
    group.stop(kill_at);
    let ended = end_of(&mut group).await;
    let reported = now();
    assert_eq!(scene.living(), []);
    assert!(reported >= kill_at);
    assert_eq!(ended, Ended::Exited { exit: Exit::Signal(9), stopped: true });
    for name in STUBBORN {
        let last = scene.last_beat(name).unwrap();
        assert!(last + ms(200) >= kill_at, "{name} was killed early");
        assert!(last <= reported, "{name} outlived its own end");
    }
}

#[tokio::test]
async fn without_an_extension_the_deadlines_hold() {
    alone!();
    let scene = Scene::new();
    let start = now();
    let (stop_at, kill_at) = (start + ms(1_500), start + ms(2_000));
    let mut group = scene.start_stubborn(Deadlines { stop_at, kill_at });
    let ended = end_of(&mut group).await;
    assert_eq!(ended, Ended::Exited { exit: Exit::Signal(9), stopped: true });
    assert_eq!(scene.living(), []);
    assert!(now() >= kill_at);
    assert!(STUBBORN.iter().all(|name| scene.last_beat(name) < Some(kill_at + ms(1_000))));
}

#[tokio::test]
async fn extensions_keep_it_running() {
    alone!();
    let scene = Scene::new();
    let lease = || Deadlines { stop_at: now() + ms(800), kill_at: now() + ms(1_600) };
    let mut group = scene.start("beat command", lease());
    let start = now();
    while now() < start + ms(3_000) {
        let early = tokio::time::timeout(ms(100), group.ended()).await;
        assert!(early.is_err(), "{early:?}");
        group.extend(lease());
    }
    assert!(scene.last_beat("command").unwrap() > start + ms(2_500));
    let ended = end_of(&mut group).await;
    assert_eq!(ended, Ended::Exited { exit: Exit::Signal(15), stopped: true });
}

#[tokio::test]
async fn an_end_once_ordered_cannot_be_taken_back() {
    alone!();
    let scene = Scene::new();
    let mut group = scene.start_stubborn(far());
    group.stop(now() + ms(300));
    group.extend(far());
    assert_eq!(end_of(&mut group).await.code(), Some(137));
}

#[tokio::test]
async fn a_command_that_comes_too_late_is_not_started() {
    alone!();
    let scene = Scene::new();
    let deadlines = Deadlines { stop_at: now(), kill_at: now() + ms(60_000) };
    let mut group = scene.start("touch $DIR/started", deadlines);
    assert_eq!(end_of(&mut group).await, Ended::TooLate);
    assert_eq!(Ended::TooLate.code(), None);
    assert!(!scene.path("started").exists());
}

#[tokio::test]
async fn a_stopped_command_is_woken_to_end() {
    alone!();
    let scene = Scene::new();
    let script = "trap 'exit 8' TERM; touch $DIR/ready; while :; do sleep 0.02; done";
    let mut group = scene.start(script, far());
    eventually_true("the trap", || scene.path("ready").exists());
    kill_all(scene.workers(), Signal::STOP);
    group.stop(now() + ms(600_000));
    let ended = end_of(&mut group).await;
    assert_eq!(ended, Ended::Exited { exit: Exit::Code(8), stopped: true });
}

#[tokio::test]
async fn letting_go_of_it_ends_it() {
    alone!();
    let scene = Scene::new();
    let group: Group = scene.start("beat command & beat other", far());
    scene.await_beats(&["command", "other"]);
    drop(group);
    eventually_true("everything to be gone", || scene.living().is_empty());
}
