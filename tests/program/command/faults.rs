//! Main or the guard is killed or stopped.

use bellwether::command::group::Ended;
use bellwether::command::plan::{Deadlines, Exit};
use rustix::process::Signal;

use crate::command::scene::{
    STUBBORN, Scene, end_of, eventually_true, far, kill, kill_all, ms, now, pid_of, state,
};

#[test]
fn main_is_killed() {
    let scene = Scene::new();
    let mut main = scene.stubborn_main(600_000, 600_000);
    let killed_at = now();
    main.kill().unwrap();
    main.wait().unwrap();
    eventually_true("everything to be gone", || scene.living().is_empty());
    for name in STUBBORN {
        assert!(scene.last_beat(name) < Some(killed_at + ms(10_000)), "{name}");
    }
}

#[test]
fn main_is_killed_and_the_lease_is_shorter_than_the_grace() {
    let scene = Scene::new();
    let start = now();
    let mut main = scene.stubborn_main(60_000, 3_000);
    main.kill().unwrap();
    main.wait().unwrap();
    eventually_true("everything to be gone", || scene.living().is_empty());
    // The deadlines were counted from a little after `start`.
    assert!(STUBBORN.iter().all(|name| scene.last_beat(name) < Some(start + ms(4_500))));
}

#[test]
fn main_is_killed_and_the_command_may_end_in_order() {
    let scene = Scene::new();
    let script = "trap 'sleep 0.3; echo done > $DIR/log; exit 0' TERM
                  touch $DIR/ready; while :; do sleep 0.02; done";
    let mut main = scene.main_process(script, 600_000, 600_000).spawn().unwrap();
    eventually_true("the trap", || scene.path("ready").exists());
    main.kill().unwrap();
    main.wait().unwrap();
    eventually_true("everything to be gone", || scene.living().is_empty());
    assert_eq!(scene.read("log"), "done\n");
}

#[test]
fn main_is_stopped_until_after_the_lease() {
    let scene = Scene::new();
    let main = scene.stubborn_main(2_000, 3_000);
    let main_pid = pid_of(&main);
    kill(main_pid, Signal::STOP);
    // Stopped at some time after the deadlines were set, so they are over by then.
    let over = now() + ms(3_000);
    eventually_true("the command to be gone", || scene.workers().is_empty());
    assert_eq!(state(main_pid).unwrap().0, "T");
    for name in STUBBORN {
        assert!(scene.last_beat(name) < Some(over + ms(1_000)), "{name} outlived the lease");
    }
    assert_eq!(scene.read("ended"), "");
    kill(main_pid, Signal::CONT);
    wait_for(main);
    assert_eq!(scene.read("ended"), "Exited { exit: Signal(9), stopped: true }");
}

#[tokio::test]
async fn the_guard_is_stopped() {
    alone!();
    let scene = Scene::new();
    let (stop_at, kill_at) = (now() + ms(1_500), now() + ms(2_000));
    let mut group = scene.start_stubborn(Deadlines { stop_at, kill_at });
    kill(scene.guard(), Signal::STOP);
    let ended = end_of(&mut group).await;
    assert_eq!(scene.living(), []);
    assert_eq!(ended, Ended::Exited { exit: Exit::Signal(9), stopped: true });
    assert!(STUBBORN.iter().all(|name| scene.last_beat(name) < Some(kill_at + ms(1_000))));
}

#[tokio::test]
async fn a_stopped_guard_does_not_hang_main_and_ends_the_work_when_let_go_of() {
    alone!();
    let scene = Scene::new();
    let mut group = scene.start_stubborn(far());
    let guard = scene.guard();
    kill(guard, Signal::STOP);
    for _ in 0..100_000 {
        group.extend(far());
    }
    drop(group);
    eventually_true("everything to be gone", || scene.living().is_empty());
}

#[test]
fn the_guard_is_stopped_and_main_is_killed() {
    let scene = Scene::new();
    let mut main = scene.stubborn_main(600_000, 600_000);
    kill(scene.guard(), Signal::STOP);
    main.kill().unwrap();
    main.wait().unwrap();
    eventually_true("everything to be gone", || scene.living().is_empty());
}

#[test]
fn both_are_sent_sigterm_and_main_does_not_survive_it() {
    let scene = Scene::new();
    let main = scene.stubborn_main(600_000, 600_000);
    kill_all(scene.living(), Signal::TERM);
    wait_for(main);
    eventually_true("everything to be gone", || scene.living().is_empty());
}

fn wait_for(mut main: std::process::Child) {
    eventually_true("main to end", || main.try_wait().unwrap().is_some());
}
