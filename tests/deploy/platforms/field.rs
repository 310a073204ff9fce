//! An application with leader-only work, on whatever platform, and what that work wrote.

use std::fs;
use std::path::Path;

use support::Pasture;
use support::beats::{beat_after, beats, never_overlapped};
use support::containers::{End, Pod};

/// Where the work of all instances is written down.
pub struct Field(pub Pasture);

impl Field {
    pub fn new() -> Self {
        let field = Self(Pasture::new());
        // It continues for a while after SIGTERM, as work does that must not be cut off.
        let work = format!(
            "trap 'ending=1' TERM\nending=0 left=0\nwhile :; do\n\
             read up idle < /proc/uptime\necho \"$BELLWETHER_TERM $up $BELLWETHER_IDENTITY\" >> {folder}/beats\n\
             sleep 0.02\n[ $ending = 0 ] || left=$((left + 1))\n\
             if [ $left -gt 15 ]; then echo \"$BELLWETHER_TERM\" >> {folder}/finished; exit 0; fi\n\
             done\n",
            folder = field.folder().display()
        );
        fs::write(field.folder().join("work.sh"), work).unwrap();
        field
    }

    pub fn folder(&self) -> &Path {
        self.0.folder()
    }

    /// An application that does the work while its instance leads, and ends it on SIGTERM.
    pub fn app(&self, bellwether: &str) -> Vec<String> {
        self.script(
            "app.sh",
            &format!(
                "trap 'kill -TERM $! 2>/dev/null; wait $!; exit 0' TERM\nwhile :; do\n\
                 {bellwether} only -- sh {}/work.sh &\nwait $!\nsleep 0.2\ndone\n",
                self.folder().display()
            ),
        )
    }

    /// The same, but as the first process of its container it ignores SIGTERM.
    pub fn stubborn_app(&self, bellwether: &str) -> Vec<String> {
        let work = self.folder().join("work.sh");
        let text =
            format!("while :; do {bellwether} only -- sh {}; sleep 0.2; done\n", work.display());
        self.script("stubborn.sh", &text)
    }

    /// A script as the words of a command.
    pub fn script(&self, name: &str, text: &str) -> Vec<String> {
        let path = self.folder().join(name);
        fs::write(&path, text).unwrap();
        vec!["sh".to_owned(), path.display().to_string()]
    }

    /// Lines that were written into a file.
    pub fn lines(&self, file: &str) -> Vec<String> {
        let text = fs::read_to_string(self.folder().join(file)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The term in which work is done, later than `after`.
    #[track_caller]
    pub fn worked_in(&self, after: u64) -> u64 {
        beat_after(&self.0, after).term
    }

    /// Stops the pod that leads, and checks the whole hand-over to another: the work ended first,
    /// then the lease was vacated, then the sidecar was gone, and no work was done twice at a time.
    #[track_caller]
    pub fn hands_over(&self, mut leader: Pod, app: &str, sidecar: &str) -> Vec<(String, End)> {
        let term = beats(&self.0).last().unwrap().term;
        let log = leader.container(sidecar).log().clone();
        let ends = leader.stop();
        let end = |name: &str| ends.iter().find(|(known, _)| known == name).unwrap().1;
        let (app, sidecar) = (end(app), end(sidecar));
        assert!(app.ended <= sidecar.signalled, "the sidecar got SIGTERM before the app had ended");
        assert!(sidecar.status.success(), "the sidecar ended with {}", sidecar.status);
        log.await_events("vacated", 1);
        let next = beat_after(&self.0, term);
        assert_eq!(next.term, term + 1, "handed over, not run out");
        never_overlapped(&self.0);
        let signalled = sidecar.signalled.as_duration().as_secs_f64();
        println!("SIGTERM of the sidecar to next work: {:.0} ms", (next.at - signalled) * 1e3);
        assert!(next.at - signalled < LEASE, "as slow as a crash");
        ends
    }
}

/// What a lease lasts by default, in seconds.
pub const LEASE: f64 = 15.0;
