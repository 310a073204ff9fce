//! What passes between the command and the outside: exit codes, signals, input, environment.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use bellwether::command::group::{Ended, Group};
use bellwether::command::plan::Exit;
use bellwether::election::term::Term;
use rustix::process::Signal;

use crate::command::scene::{Scene, comm, end_of, eventually_true, far, kill};

#[tokio::test]
async fn the_exit_code_is_the_commands_own() {
    alone!();
    let scene = Scene::new();
    for code in [0, 3, 255] {
        let ended = end_of(&mut scene.start(&format!("exit {code}"), far())).await;
        assert_eq!(ended, Ended::Exited { exit: Exit::Code(code), stopped: false });
        assert_eq!(ended.code(), Some(code));
    }
}

#[tokio::test]
async fn a_death_by_signal_is_reported_as_such() {
    alone!();
    let ended = end_of(&mut Scene::new().start("kill -USR1 $$; sleep 600", far())).await;
    assert_eq!(ended, Ended::Exited { exit: Exit::Signal(10), stopped: false });
    assert_eq!(ended.code(), Some(138));
}

#[tokio::test]
async fn the_end_can_be_requested_in_parts_and_again() {
    alone!();
    let scene = Scene::new();
    let mut group = scene.start("until [ -e $DIR/go ]; do sleep 0.02; done; exit 4", far());
    for _ in 0..20 {
        let given_up = tokio::time::timeout(std::time::Duration::from_millis(3), group.ended());
        assert!(given_up.await.is_err());
    }
    fs::write(scene.path("go"), "").unwrap();
    let first = end_of(&mut group).await;
    assert_eq!(first.code(), Some(4));
    assert_eq!(end_of(&mut group).await, first);
}

#[tokio::test]
async fn a_command_that_does_not_exist_is_127() {
    alone!();
    let scene = Scene::new();
    for program in ["bellwether-no-such-command", "/no/such/file"] {
        let mut group = Group::start(&scene.program(program, &[]), far()).unwrap();
        let ended = end_of(&mut group).await;
        assert!(matches!(ended, Ended::NotStarted(_)), "{ended:?}");
        assert_eq!(ended.code(), Some(127));
    }
    eventually_true("the guard to go", || scene.living().is_empty());
}

#[tokio::test]
async fn a_command_that_cannot_be_executed_is_126() {
    alone!();
    let scene = Scene::new();
    let (plain, nonsense, empty) =
        (scene.path("plain"), scene.path("nonsense"), scene.path("empty"));
    fs::write(&empty, "").unwrap();
    fs::set_permissions(&empty, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(&plain, "not a program").unwrap();
    fs::write(&nonsense, [0_u8; 100]).unwrap();
    fs::set_permissions(&nonsense, fs::Permissions::from_mode(0o755)).unwrap();
    // A program for another machine, and the beginning of one: the C library would give both to `sh`.
    let (foreign, torn) = (scene.path("foreign"), scene.path("torn"));
    let mut elf = fs::read("/proc/self/exe").unwrap();
    elf[18] ^= 0x0f;
    for (file, elf) in [(&foreign, &elf[..]), (&torn, b"\x7fELF\nexit 0\n")] {
        fs::write(file, elf).unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
    }
    for program in [plain, nonsense, empty, foreign, torn, scene.path("")] {
        let mut group = Group::start(&scene.program(&program, &[]), far()).unwrap();
        let ended = end_of(&mut group).await;
        assert_eq!(ended.code(), Some(126), "{}: {ended:?}", program.display());
    }
}

#[tokio::test]
async fn arguments_arrive_untouched() {
    alone!();
    let scene = Scene::new();
    let args = ["-c", "printf '<%s>' \"$@\" > $DIR/args", "sh", "--", "guard", "", "a b", "--help"];
    end_of(&mut Group::start(&scene.program("sh", &args), far()).unwrap()).await;
    assert_eq!(scene.read("args"), "<--><guard><><a b><--help>");
}

#[tokio::test]
async fn the_command_knows_what_it_leads() {
    alone!();
    let scene = Scene::new();
    let script = "echo $BELLWETHER_ELECTION $BELLWETHER_IDENTITY $BELLWETHER_TERM > $DIR/env";
    let spec = scene.script(script).leading("backup", "node-1", Term::new(42));
    end_of(&mut Group::start(&spec, far()).unwrap()).await;
    assert_eq!(scene.read("env"), "backup node-1 42\n");
}

#[test]
fn standard_input_reaches_the_command() {
    let scene = Scene::new();
    let mut main = scene
        .main_process("cat > $DIR/input", 600_000, 600_000)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    main.stdin.take().unwrap().write_all(b"through main and guard").unwrap();
    assert!(main.wait().unwrap().success());
    assert_eq!(scene.read("input"), "through main and guard");
}

#[tokio::test]
async fn signals_are_passed_on() {
    alone!();
    let scene = Scene::new();
    let script = "trap 'echo hup >> $DIR/log' HUP; trap 'echo usr2; exit 5' USR2; \
                  touch $DIR/ready; while :; do sleep 0.02; done";
    let mut group = scene.start(script, far());
    eventually_true("the traps", || scene.path("ready").exists());
    group.signal(Signal::HUP.as_raw());
    eventually_true("a hang-up", || scene.read("log") == "hup\n");
    group.signal(Signal::USR2.as_raw());
    let ended = end_of(&mut group).await;
    assert_eq!(ended, Ended::Exited { exit: Exit::Code(5), stopped: false });
}

#[tokio::test]
async fn the_command_ignores_and_blocks_no_signal_because_of_the_guard() {
    alone!();
    let scene = Scene::new();
    let mut group = scene.start("exec cat /proc/self/status > $DIR/status", far());
    end_of(&mut group).await;
    let mask = |of: &str, name: &str| {
        let line = of.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        let signals = u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap();
        // The C library keeps the two signals after the classic ones to itself.
        signals & ((1 << 31) - 1)
    };
    let (own, command) = (fs::read_to_string("/proc/self/status").unwrap(), scene.read("status"));
    assert_eq!(mask(&command, "SigBlk:"), 0);
    // What was ignored around the tests may stay so; Rust itself ignores SIGPIPE.
    assert_eq!(mask(&command, "SigIgn:") & !mask(&own, "SigIgn:"), 0);
    assert_eq!(mask(&command, "SigIgn:") & (1 << 12), 0, "SIGPIPE");
}

#[tokio::test]
async fn the_command_inherits_no_descriptor_of_the_guard() {
    alone!();
    let scene = Scene::new();
    end_of(&mut scene.start("ls -l /proc/$$/fd > $DIR/descriptors", far())).await;
    let descriptors = scene.read("descriptors");
    assert!(descriptors.contains("0 -> "), "{descriptors}");
    assert!(!descriptors.contains("anon_inode"), "{descriptors}");
    assert!(!descriptors.contains("socket:"), "{descriptors}");
}

#[tokio::test]
async fn the_guard_is_not_hit_by_what_is_meant_for_main() {
    alone!();
    let scene = Scene::new();
    let group = scene.start("beat command", far());
    let guard = scene.guard();
    assert_eq!(guard, group.guard());
    assert_eq!(comm(guard), "bw-guard");
    let first = fs::read(format!("/proc/{}/cmdline", guard.as_raw_pid())).unwrap();
    assert!(first.starts_with(b"bw-guard\0guard\0--\0sh\0"));
    assert_ne!(rustix::process::getpgid(Some(guard)), rustix::process::getpgid(None));
}

#[tokio::test]
async fn the_guard_survives_what_is_sent_to_everything() {
    alone!();
    let scene = Scene::new();
    let mut group = scene.start("beat command", far());
    scene.await_beats(&["command"]);
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT, Signal::USR1, Signal::TSTP]
    {
        kill(scene.guard(), signal);
        let before = scene.last_beat("command");
        eventually_true("another beat", || scene.last_beat("command") > before);
    }
    group.kill();
    let ended = end_of(&mut group).await;
    assert_eq!(ended, Ended::Exited { exit: Exit::Signal(9), stopped: true });
}
