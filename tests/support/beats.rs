//! Work that shows signs of life, with the term it runs in.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use super::{Pasture, eventually};

/// A sign of life every twentieth of a second: each costs a process.
pub const BEAT: &str = "while :; do read up idle < /proc/uptime; \
                        echo \"$BELLWETHER_TERM $up $BELLWETHER_IDENTITY\" >> beats; \
                        sleep 0.05; done";

/// The same, with children in and out of its process group, and all of them ignore SIGTERM.
pub fn stubborn() -> String {
    format!("trap '' TERM INT HUP; ({BEAT}) & (setsid sh -c '{BEAT}') & {BEAT}")
}

/// One sign of life.
#[derive(Clone, Debug, PartialEq)]
pub struct Beat {
    pub term: u64,
    pub at: f64,
    /// The identity of the instance.
    pub by: String,
}

pub fn beats(pasture: &Pasture) -> Vec<Beat> {
    let text = fs::read_to_string(file(pasture)).unwrap_or_default();
    complete(&text).filter_map(parsed).collect()
}

/// Waits for a sign of life of a term later than `after`, and returns the first one.
#[track_caller]
pub fn beat_after(pasture: &Pasture, after: u64) -> Beat {
    eventually("the command runs", || {
        newest(pasture).filter(|beat| beat.term > after)?;
        beats(pasture).into_iter().find(|beat| beat.term > after)
    })
}

/// From the end of the file only: the file grows to thousands of lines, and is looked at all the time.
fn newest(pasture: &Pasture) -> Option<Beat> {
    const TWO_LINES: u64 = 1_024;
    let mut file = File::open(file(pasture)).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TWO_LINES))).ok()?;
    let mut end = String::new();
    file.read_to_string(&mut end).ok()?;
    complete(&end).last().and_then(parsed)
}

fn file(pasture: &Pasture) -> PathBuf {
    pasture.folder().join("beats")
}

/// The last line may be in the making.
fn complete(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'))
}

fn parsed(line: &str) -> Option<Beat> {
    let mut words = line.split(' ');
    let (term, at) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some(Beat { term, at, by: words.next()?.to_owned() })
}

/// Checks that the work of each term had ended when that of the next began.
#[track_caller]
pub fn never_overlapped(pasture: &Pasture) {
    let mut beats = beats(pasture);
    assert!(!beats.is_empty(), "no instance worked");
    beats.sort_by_key(|beat| beat.term);
    let terms: Vec<_> = beats.chunk_by(|one, other| one.term == other.term).collect();
    let began = |term: &[Beat]| term.iter().map(|beat| beat.at).fold(f64::INFINITY, f64::min);
    for pair in terms.windows(2) {
        let last = pair[0].iter().map(|beat| beat.at).fold(0.0, f64::max);
        let first = began(pair[1]);
        let (old, new) = (&pair[0][0], &pair[1][0]);
        assert!(
            last <= first,
            "term {} of {} worked from {} to {last}, term {} of {} already at {first}",
            old.term,
            old.by,
            began(pair[0]),
            new.term,
            new.by
        );
    }
}
