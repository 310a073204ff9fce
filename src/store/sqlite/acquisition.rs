//! The line of the bell for an acquisition. It has the record, so that no standby reads it: rule `pushed-record`.
//!
//! The bell is trusted as the database is: it lies in the same folder, and a process that can write one can
//! write the other. Notifications of Postgres have no such line, because each of its users can send them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::election::lease::{
    Candidate, ElectionName, LeaseRecord, Observed, Origin, Version, is_lease_duration,
};
use crate::election::term::Term;
use crate::election::time::WallTime;
use crate::store::format;

/// Marks such a line.
const ACQUIRED: &str = " acquired ";

/// What the line has after its mark, as JSON.
#[derive(Serialize, Deserialize)]
struct Shown {
    format: i64,
    version: String,
    term: i64,
    holder: String,
    incarnation: String,
    lease_duration_ms: u64,
    acquire_time: String,
    renew_time: String,
    origin: Option<String>,
    holder_url: Option<String>,
}

/// The line for this record, once it is written. None if it acquires no lease, or if there is more to know about
/// the record.
pub fn line(election: &ElectionName, record: &LeaseRecord, version: &Version) -> Option<String> {
    let holder = record.holder.as_ref()?;
    if record.is_renewal() || record.pause.is_some() || record.payload.is_some() {
        return None;
    }
    let shown = serde_json::to_string(&Shown {
        format: format::of(record),
        version: version.as_str().to_owned(),
        term: i64::try_from(record.term.get()).ok()?,
        holder: holder.identity.clone(),
        incarnation: holder.incarnation.clone(),
        lease_duration_ms: u64::try_from(record.lease_duration.as_millis()).ok()?,
        acquire_time: record.acquire_time.to_string(),
        renew_time: record.renew_time.to_string(),
        origin: record.origin.as_ref().map(|origin| origin.as_str().to_owned()),
        holder_url: record.stored_url(),
    });
    Some(format!("{election}{ACQUIRED}{}", shown.ok()?))
}

/// The election that a line is about, and its record. None for any other line, and for a record that this
/// version does not read.
pub fn read(line: &str) -> Option<(&str, Observed)> {
    let (election, shown) = line.split_once(ACQUIRED)?;
    let shown: Shown = serde_json::from_str(shown).ok()?;
    let time = |text: &str| WallTime::parse(text).unwrap_or(WallTime::EPOCH);
    let lease_duration = Duration::from_millis(shown.lease_duration_ms);
    let record = LeaseRecord {
        holder: Some(Candidate { identity: shown.holder, incarnation: shown.incarnation }),
        term: Term::new(u64::try_from(shown.term).ok()?),
        acquire_time: time(&shown.acquire_time),
        origin: shown.origin.and_then(Origin::new),
        ..LeaseRecord::without_holder(lease_duration, time(&shown.renew_time))
    }
    .with_stored_url(shown.holder_url.as_deref())
    .checked();
    let is_known = format::of(&record) == shown.format;
    // The boot clock would judge a lease that is new.
    let version = Version::new(shown.version);
    let observed = Observed { record, version, remaining: None, outlived: false };
    (is_known && is_lease_duration(lease_duration)).then_some((election, observed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::election::holder_url::HolderUrl;

    fn record() -> LeaseRecord {
        let time = WallTime::parse("2026-11-28T12:00:00.123Z").unwrap();
        let incarnation = "b5f0".to_owned();
        let url = "http://10.0.0.7:8080".parse::<HolderUrl>().unwrap();
        LeaseRecord {
            holder: Some(Candidate { identity: "web 1 acquired \"x\"".to_owned(), incarnation }),
            term: Term::new(7),
            origin: Origin::new("namespace shop"),
            holder_url: Some(url),
            ..LeaseRecord::without_holder(Duration::from_secs(15), time)
        }
    }

    fn line(record: &LeaseRecord) -> Option<String> {
        let election = ElectionName::from_store("prod:billing").unwrap();
        super::line(&election, record, &Version::new("v1"))
    }

    #[test]
    fn a_line_shows_the_whole_record() {
        let line = line(&record()).unwrap();
        assert!(!line.contains('\n'), "{line}");
        let (election, shown) = read(&line).unwrap();
        assert_eq!(election, "prod:billing");
        assert_eq!((shown.version.as_str(), shown.remaining), ("v1", None));
        // Records have no equality.
        assert_eq!(format!("{:?}", shown.record), format!("{:?}", record()));
    }

    #[test]
    fn other_writes_have_no_such_line() {
        let later = WallTime::parse("2026-11-28T12:00:05.123Z").unwrap();
        let renewed = LeaseRecord { renew_time: later, ..record() };
        let vacated = record().vacated(later);
        let with_payload = LeaseRecord { payload: Some("history".into()), ..record() };
        for record in [renewed, vacated, with_payload] {
            assert_eq!(line(&record), None);
        }
        for other in ["billing", "billing 7 v1", "billing renewed 7 v1 3", "billing acquired", ""] {
            assert!(read(other).is_none(), "{other}");
        }
    }

    #[test]
    fn a_record_that_no_look_would_show_is_none() {
        let line = line(&record()).unwrap();
        for (field, other) in [
            ("\"format\":1", "\"format\":2"),
            ("\"format\":1", "\"format\":99"),
            ("\"lease_duration_ms\":15000", "\"lease_duration_ms\":0"),
            ("\"lease_duration_ms\":15000", "\"lease_duration_ms\":-1"),
            ("\"lease_duration_ms\":15000", "\"lease_duration_ms\":3600001"),
            ("\"term\":7", "\"term\":-7"),
            ("{", ""),
        ] {
            assert!(line.contains(field), "{field} in {line}");
            assert!(read(&line.replacen(field, other, 1)).is_none(), "{other}");
        }
        let cut = line.get(..line.len() - 1).unwrap();
        assert!(read(cut).is_none(), "{cut}");
        let hostile = line.replacen("web 1", "web\\u001b[2J", 1);
        let (_, shown) = read(&hostile).unwrap();
        let shown = shown.record.holder.unwrap().identity;
        assert!(!shown.contains('\u{1b}'), "{shown:?}");
    }
}
