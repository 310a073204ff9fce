//! The guard is killed, and the processes that it leaves may lack its mark.

use std::process::Command;
use std::time::Duration;

use bellwether::command::group::Ended;
use rustix::process::Signal;

use crate::command::scene::{Scene, end_of, eventually_true, far, kill, ms, now};

#[tokio::test]
async fn the_guard_is_killed() {
    alone!();
    let scene = Scene::new();
    let mut group = scene.start_stubborn(far());
    kill(scene.guard(), Signal::KILL);
    let ended = end_of(&mut group).await;
    assert_eq!(scene.living(), []);
    assert_eq!(ended, Ended::GuardLost);
    assert_eq!(ended.code(), None);
}

#[tokio::test]
async fn the_guard_is_killed_at_any_moment_of_its_start() {
    alone!();
    for delay in 0..40 {
        let scene = Scene::new();
        let mut group = scene.start("beat command & beat command", far());
        tokio::time::sleep(Duration::from_micros(delay * 250)).await;
        kill(group.guard(), Signal::KILL);
        assert_eq!(end_of(&mut group).await, Ended::GuardLost);
        assert_eq!(scene.living(), [], "after {delay}");
    }
}

/// An empty environment, a session of their own, and a parent that is gone.
#[tokio::test]
async fn daemons_without_a_mark_end_with_a_killed_guard() {
    alone!();
    let scene = Scene::new();
    let script = r#"
        for name in one two; do
            setsid env -i DIR="$DIR" sh -c ". $DIR/prelude; (trap '' TERM; beat $name-child) & beat $name" &
        done
        beat command
    "#;
    let mut group = scene.start(script, far());
    scene.await_beats(&["command", "one", "one-child", "two", "two-child"]);
    kill(group.guard(), Signal::KILL);
    assert_eq!(end_of(&mut group).await, Ended::GuardLost);
    let reported = now();
    std::thread::sleep(ms(300));
    for name in ["command", "one", "one-child", "two", "two-child"] {
        // /proc/uptime shows hundredths, rounded down.
        assert!(
            scene.last_beat(name).unwrap() <= reported,
            "{name} outlived the end that was reported"
        );
    }
}

#[tokio::test]
async fn processes_from_before_the_guard_are_left_alone() {
    alone!();
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    let scene = Scene::new();
    // As an entry point does that starts a helper, and then becomes bellwether.
    let mut entry = Command::new("sh");
    let helper = "(setsid sh -c '. $DIR/prelude; beat helper' &)";
    assert!(entry.args(["-c", helper]).env("DIR", scene.path("")).status().unwrap().success());
    scene.await_beats(&["helper"]);
    std::thread::sleep(ms(50));
    let mut group = scene.start("beat command", far());
    scene.await_beats(&["command"]);
    kill(group.guard(), Signal::KILL);
    assert_eq!(end_of(&mut group).await, Ended::GuardLost);
    let reported = now();
    eventually_true("the helper to continue", || scene.last_beat("helper").unwrap() > reported);
    let mut pkill = Command::new("pkill");
    pkill.args(["-9", "-P", &std::process::id().to_string()]);
    assert!(pkill.status().unwrap().success());
}
