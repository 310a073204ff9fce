//! What a command leaves behind.

use std::process::{Command, Stdio};

use bellwether::command::group::Ended;
use bellwether::command::plan::Exit;
use bellwether::command::processes::Strays;
use rustix::process::{getpid, set_child_subreaper};

use crate::command::scene::{Scene, end_of, eventually_true, far, now, pid_of, zombies_of};

#[tokio::test]
async fn its_leftovers_end_before_its_end_is_reported() {
    alone!();
    let scene = Scene::new();
    let mut group = scene.start("sleep 600 & setsid sleep 600 & (sleep 600 &) ; exit 5", far());
    let ended = end_of(&mut group).await;
    assert_eq!(ended, Ended::Exited { exit: Exit::Code(5), stopped: false });
    assert_eq!(scene.living(), []);
}

#[tokio::test]
async fn stubborn_leftovers_are_killed() {
    alone!();
    let scene = Scene::new();
    let script = "trap '' TERM; beat one & setsid sleep 600 & until [ -s $DIR/beats ]; do :; done";
    let mut group = scene.start(script, far());
    assert_eq!(end_of(&mut group).await.code(), Some(0));
    assert_eq!(scene.living(), []);
}

#[tokio::test]
async fn leftovers_are_signalled_once() {
    alone!();
    let scene = Scene::new();
    let script = r#"
        polite() { trap 'echo $1 >> $DIR/signalled' TERM; echo $1 >> $DIR/ready
                   while :; do sleep 0.01; done; }
        polite group &
        cat > $DIR/daemon <<'END'
            trap 'echo daemon >> $DIR/signalled' TERM; echo daemon >> $DIR/ready
            while :; do sleep 0.01; done
END
        setsid sh $DIR/daemon &
        until [ "$(wc -l < $DIR/ready)" = 2 ]; do sleep 0.01; done
    "#;
    let mut group = scene.start(script, far());
    end_of(&mut group).await;
    let signalled = scene.read("signalled");
    let mut signalled: Vec<_> = signalled.lines().collect();
    signalled.sort_unstable();
    assert_eq!(signalled, ["daemon", "group"]);
}

#[tokio::test]
async fn orphans_leave_no_zombies_while_it_runs() {
    alone!();
    let scene = Scene::new();
    let script =
        "for i in 1 2 3 4 5 6 7 8 9 10; do for j in 1 2 3 4 5; do (true & true &); done; done
                  touch $DIR/forked; beat command";
    let mut group = scene.start(script, far());
    eventually_true("the forks", || scene.path("forked").exists());
    eventually_true("no zombies", || zombies_of(group.guard()) == 0);
    group.kill();
    end_of(&mut group).await;
    assert_eq!(scene.living(), []);
}

#[test]
fn the_first_process_of_a_container_reaps_strays_and_nothing_else() {
    alone!();
    set_child_subreaper(Some(getpid())).unwrap();
    let mut own = Command::new("sh").args(["-c", "exit 7"]).spawn().unwrap();
    let keep = [pid_of(&own)];
    for _ in 0..20 {
        orphan_one();
    }
    eventually_true("twenty orphans and an own child to end", || zombies_of(getpid()) == 21);
    let mut strays = Strays::default();
    strays.reap(&keep, now());
    assert_eq!(zombies_of(getpid()), 21, "a process that waits for one of them comes first");
    strays.reap(&keep, strays.look_again_at().unwrap());
    assert_eq!(zombies_of(getpid()), 1);
    assert_eq!(strays.look_again_at(), None);
    assert_eq!(own.wait().unwrap().code(), Some(7));
    strays.reap(&[], now());
    assert_eq!(rustix::process::wait(rustix::process::WaitOptions::NOHANG).err(), no_children());
}

fn orphan_one() {
    let mut parent = Command::new("sh");
    let status = parent.args(["-c", "true & exit 0"]).stdin(Stdio::null()).status().unwrap();
    assert!(status.success());
}

fn no_children() -> Option<rustix::io::Errno> {
    Some(rustix::io::Errno::CHILD)
}
