//! Containers that show a boot id of their own, and processes of other time namespaces: real mount
//! and time namespaces around real sidecars on one folder.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread;

use support::{
    Flock, Pasture, QUICK_LEASE, Sidecar, Witness, bellwether, eventually, without_settings,
};

/// The environment of a process.
#[derive(Clone, Default)]
struct Around {
    /// Shown as the boot id, as systemd-nspawn and LXC do.
    boot_id: Option<PathBuf>,
    /// How far the boot clock is ahead, in seconds.
    ahead: Option<u32>,
}

impl Around {
    fn container(pasture: &Pasture, name: &str) -> Self {
        let shown = pasture.folder().join(format!("boot-id-{name}"));
        std::fs::write(&shown, format!("{}\n", uuid::Uuid::new_v4())).unwrap();
        Self { boot_id: Some(shown), ahead: None }
    }

    fn ahead(self, seconds: u32) -> Self {
        Self { ahead: Some(seconds), ..self }
    }

    /// The program in there.
    fn bellwether(&self) -> Command {
        let mut command = Command::new("unshare");
        without_settings(&mut command);
        command.args(["--mount", "--propagation", "private"]);
        if let Some(ahead) = self.ahead {
            command.args(["--time", "--boottime", &ahead.to_string(), "--fork", "--kill-child"]);
        }
        let mask = "[ -z \"$SHOWN\" ] || mount --bind \"$SHOWN\" /proc/sys/kernel/random/boot_id";
        command.args(["sh", "-ec", &format!("{mask}; exec \"$@\""), "sh"]);
        command.env("SHOWN", self.boot_id.as_deref().unwrap_or_else(|| "".as_ref()));
        let program = bellwether();
        command.arg(program.get_program()).args(program.get_args());
        command
    }

    fn sidecar(&self, name: &str, pasture: &Pasture) -> Sidecar {
        Sidecar::start_as(name, &pasture.store(), &[], self.bellwether())
    }
}

/// The second watches the lease of the first, for as long as that lives and no shorter.
fn the_second_waits_for_the_first(around: [Around; 2], pasture: &Pasture) {
    let [first, second] = around;
    let mut flock = Flock { members: vec![first.sidecar("first", pasture)] };
    eventually("it leads", || flock.members[0].leader().leads().then_some(()));
    flock.members.push(second.sidecar("second", pasture));
    let witness = Witness::of(&flock);
    thread::sleep(QUICK_LEASE * 3 / 2);
    assert!(flock.members[0].leader().leads());
    flock.members[0].kill();
    flock.members.remove(0);
    assert_eq!(flock.settled(), 0, "it watched a lease that was not renewed");
    witness.saw_never_two();
}

#[test]
fn a_container_with_a_boot_id_of_its_own_does_not_lead_beside_another() {
    let pasture = Pasture::new();
    let [a, b] = ["a", "b"].map(|name| Around::container(&pasture, name));
    the_second_waits_for_the_first([a, b], &pasture);
}

#[test]
fn a_container_with_a_boot_id_of_its_own_does_not_lead_beside_the_host() {
    let pasture = Pasture::new();
    let container = Around::container(&pasture, "a");
    the_second_waits_for_the_first([Around::default(), container], &pasture);
}

#[test]
fn the_host_does_not_lead_beside_a_container_with_a_boot_id_of_its_own() {
    let pasture = Pasture::new();
    let container = Around::container(&pasture, "a");
    the_second_waits_for_the_first([container, Around::default()], &pasture);
}

#[test]
fn containers_that_show_the_same_boot_id_and_other_clocks_do_not_lead_beside_each_other() {
    let pasture = Pasture::new();
    let container = Around::container(&pasture, "a");
    the_second_waits_for_the_first([container.clone(), container.ahead(1_000_000)], &pasture);
}

#[test]
fn another_file_of_procfs_in_the_place_of_the_boot_id_is_none() {
    let pasture = Pasture::new();
    // A different one at every read.
    let boot_id = Some(PathBuf::from("/proc/sys/kernel/random/uuid"));
    let container = Around { boot_id, ahead: None };
    the_second_waits_for_the_first([container.clone(), container], &pasture);
}

#[test]
fn a_process_of_another_time_namespace_does_not_lead_beside_others() {
    for ahead in [[None, Some(1_000_000)], [Some(1_000_000), None]] {
        let pasture = Pasture::new();
        let around = ahead.map(|ahead| Around { boot_id: None, ahead });
        the_second_waits_for_the_first(around, &pasture);
    }
}

/// `only -- true` in there, beside a sidecar.
fn only(around: &Around, sidecar: &Sidecar) -> (Option<i32>, String) {
    let mut command = around.bellwether();
    command.args(["only", "--sidecar", &sidecar.url, "--", "true"]).stdin(Stdio::null());
    let Output { status, stderr, .. } = command.output().unwrap();
    (status.code(), String::from_utf8_lossy(&stderr).into_owned())
}

#[test]
fn a_hold_trusts_the_same_clock_and_not_the_same_name_of_one() {
    let pasture = Pasture::new();
    let container = Around::container(&pasture, "a");
    let sidecar = container.sidecar("a", &pasture);
    eventually("it leads", || sidecar.leader().leads().then_some(()));
    let (code, printed) = only(&container, &sidecar);
    assert_eq!(code, Some(0), "in the same container: {printed}");
    for other in [container.ahead(1_000_000), Around::default()] {
        let (code, printed) = only(&other, &sidecar);
        assert_eq!(code, Some(69), "{printed}");
        assert!(printed.contains("its clock is not this host's"), "{printed}");
    }
}

#[test]
fn without_proc_the_missing_path_is_named() {
    let pasture = Pasture::new();
    let program = bellwether();
    let mut command = Command::new("unshare");
    without_settings(&mut command);
    command.args(["--mount", "--propagation", "private", "sh", "-ec"]);
    command.args(["mount -t tmpfs none /proc; exec \"$@\"", "sh"]);
    command.arg(program.get_program()).args(program.get_args());
    let Output { status, stderr, .. } =
        command.args(["init", "--store", &pasture.store()]).output().unwrap();
    let printed = String::from_utf8_lossy(&stderr);
    assert_eq!(status.code(), Some(69), "{printed}");
    assert!(printed.contains("/proc/sys/kernel/random/boot_id"), "{printed}");
}
