//! The item of an election: its shape, written and read.
//!
//! | attribute | type | what |
//! | --- | --- | --- |
//! | `election` | S, partition key | the election's name, or `PREFIX/NAME` |
//! | `format` | N | the shape of the item: 1, or 2 if it has a `pause` |
//! | `version` | S | random, new with every write |
//! | `term` | N | the fencing token |
//! | `holder`, `incarnation` | S | who holds the lease; absent when it is vacated |
//! | `lease_duration_ms` | N | how long rivals wait for this holder |
//! | `acquire_time`, `renew_time` | S | by the holder's wall clock, for people |
//! | `payload` | S | the history of a work, as JSON; absent in a lease |
//! | `origin` | S | where the holder runs, for display; absent if unknown |
//! | `holder_url` | S | the holder's incarnation and its URL; absent if it has none |
//! | `pause` | S | a pause of the election, as JSON; absent if there is none |
//! | `handover` | S | what the last holder left for its successors, as JSON; absent while there is a holder |
//! | `expires` | S | by the service's clock; absent if that was not known |
//!
//! `expires` is text, not a number, so that no one can make it the table's TTL attribute: the item
//! must never be deleted, or terms would restart at 1.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;

use crate::election::lease::{Candidate, LeaseRecord, Origin, Version, is_lease_duration};
use crate::election::pause::Pause;
use crate::election::term::Term;
use crate::election::time::WallTime;
use crate::store::format;
use crate::store::service_clock::ServiceTime;

/// The partition key of the table.
pub const KEY: &str = "election";

/// An item as the SDK has it.
pub type Item = HashMap<String, AttributeValue>;

/// What an item says.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The record.
    pub record: LeaseRecord,
    /// Its version.
    pub version: Version,
    /// When the lease ends at the latest, by the service's clock.
    pub expires: Option<ServiceTime>,
}

/// Why an item cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// It has another format.
    Format(String),
    /// This attribute is missing or makes no sense.
    Attribute(&'static str),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format(format) => write!(
                f,
                "has format {format}, and this version of bellwether knows formats up to {}; \
                 upgrade this instance",
                format::NEWEST
            ),
            Self::Attribute(name) => {
                write!(f, "cannot be read: attribute '{name}'; check whether it was edited by hand")
            }
        }
    }
}

fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

fn number(value: impl fmt::Display) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// Text, for the key and for conditions.
pub fn key(value: &str) -> AttributeValue {
    text(value)
}

/// The known formats, for conditions.
pub fn formats() -> [AttributeValue; 2] {
    format::KNOWN.map(number)
}

/// The whole item for a record.
///
/// # Errors
///
/// Never for what this program writes.
pub fn encode(key: &str, kept: &Kept) -> Result<Item, Unreadable> {
    let Kept { record, version, expires } = kept;
    let mut item = Item::from([
        (KEY.to_owned(), text(key)),
        ("format".to_owned(), number(format::of(record))),
        ("version".to_owned(), text(version.as_str())),
        ("term".to_owned(), number(record.term)),
        ("lease_duration_ms".to_owned(), number(record.lease_duration.as_millis())),
        ("acquire_time".to_owned(), text(record.acquire_time.to_string())),
        ("renew_time".to_owned(), text(record.renew_time.to_string())),
    ]);
    if let Some(holder) = &record.holder {
        item.insert("holder".to_owned(), text(&holder.identity));
        item.insert("incarnation".to_owned(), text(&holder.incarnation));
    }
    if let Some(expires) = expires.and_then(ServiceTime::to_rfc3339) {
        item.insert("expires".to_owned(), text(expires));
    }
    if let Some(payload) = &record.payload {
        item.insert("payload".to_owned(), text(&**payload));
    }
    if let Some(origin) = &record.origin {
        item.insert("origin".to_owned(), text(origin.as_str()));
    }
    if let Some(pause) = &record.pause {
        item.insert("pause".to_owned(), text(pause.stored()));
    }
    if let Some(url) = record.stored_url() {
        item.insert("holder_url".to_owned(), text(url));
    }
    if let Some(handover) = record.stored_handover() {
        item.insert("handover".to_owned(), text(handover));
    }
    Ok(item)
}

/// Reads an item.
///
/// # Errors
///
/// See [`Unreadable`].
pub fn decode(item: &Item) -> Result<Kept, Unreadable> {
    let format = digits(item, "format")?;
    if !format::is_known(format) {
        // A number has at most 38 digits; a server in the service's place may send more.
        let shown = format.chars().take(40).collect::<String>();
        return Err(Unreadable::Format(shown.escape_debug().to_string()));
    }
    let holder = optional(item, "holder")?.map(|identity| -> Result<_, Unreadable> {
        let incarnation = required(item, "incarnation")?.to_owned();
        Ok(Candidate { identity: identity.to_owned(), incarnation })
    });
    Ok(Kept {
        record: LeaseRecord {
            holder: holder.transpose()?,
            term: term(item)?,
            lease_duration: lease_duration(item)?,
            acquire_time: wall(item, "acquire_time")?,
            renew_time: wall(item, "renew_time")?,
            payload: optional(item, "payload")?.map(Into::into),
            origin: optional(item, "origin")?.and_then(Origin::new),
            holder_url: None,
            pause: optional(item, "pause")?.map(Pause::from_store),
            handover: None,
        }
        .with_stored_url(optional(item, "holder_url")?)
        .with_stored_handover(optional(item, "handover")?)
        .checked(),
        version: Version::new(required(item, "version")?),
        // One that cannot be read is as good as none: the lease is watched then.
        expires: optional(item, "expires")?.and_then(ServiceTime::from_rfc3339),
    })
}

/// The key of an item.
pub fn key_of(item: &Item) -> Option<&str> {
    item.get(KEY)?.as_s().ok().map(String::as_str)
}

/// Above the limit of the other stores there is no next one either.
fn term(item: &Item) -> Result<Term, Unreadable> {
    let term = parsed(item, "term")?;
    if i64::try_from(term).is_err() {
        return Err(Unreadable::Attribute("term"));
    }
    Ok(Term::new(term))
}

fn lease_duration(item: &Item) -> Result<Duration, Unreadable> {
    let duration = Duration::from_millis(parsed(item, "lease_duration_ms")?);
    if !is_lease_duration(duration) {
        return Err(Unreadable::Attribute("lease_duration_ms"));
    }
    Ok(duration)
}

fn optional<'a>(item: &'a Item, name: &'static str) -> Result<Option<&'a str>, Unreadable> {
    let read = |value: &'a AttributeValue| value.as_s().map(String::as_str);
    item.get(name).map(read).transpose().map_err(|_| Unreadable::Attribute(name))
}

fn required<'a>(item: &'a Item, name: &'static str) -> Result<&'a str, Unreadable> {
    optional(item, name)?.ok_or(Unreadable::Attribute(name))
}

fn digits<'a>(item: &'a Item, name: &'static str) -> Result<&'a str, Unreadable> {
    let value = item.get(name).and_then(|value| value.as_n().ok());
    value.map(String::as_str).ok_or(Unreadable::Attribute(name))
}

fn parsed(item: &Item, name: &'static str) -> Result<u64, Unreadable> {
    digits(item, name)?.parse().map_err(|_| Unreadable::Attribute(name))
}

fn wall(item: &Item, name: &'static str) -> Result<WallTime, Unreadable> {
    Ok(WallTime::parse(required(item, name)?).unwrap_or(WallTime::EPOCH))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::election::handover::Handover;
    use crate::election::lease::MAX_LEASE_DURATION;

    fn kept() -> Kept {
        Kept {
            record: LeaseRecord {
                holder: Some(Candidate { identity: "web-0".into(), incarnation: "1".into() }),
                term: Term::new(7),
                lease_duration: Duration::from_secs(15),
                acquire_time: WallTime::parse("2026-11-23T07:39:46.125Z").unwrap(),
                renew_time: WallTime::parse("2026-11-23T07:39:48.250Z").unwrap(),
                payload: None,
                origin: Origin::new("ECS cluster prod"),
                holder_url: "http://web-0:8080".parse().ok(),
                pause: Some(Pause::new(WallTime::EPOCH, Some(Duration::from_secs(60)), None)),
                handover: None,
            },
            version: Version::new("v"),
            expires: Some(ServiceTime::from_unix(Duration::from_millis(1_795_419_603_001))),
        }
    }

    #[test]
    fn an_item_comes_back_as_written() {
        let item = encode("billing/cron", &kept()).unwrap();
        assert_eq!(key_of(&item), Some("billing/cron"));
        let read = decode(&item).unwrap();
        assert_eq!(read.expires, kept().expires);
        assert_eq!(read.record.holder, kept().record.holder);
        assert_eq!(read.record.origin, kept().record.origin);
        assert_eq!(read.record.holder_url, kept().record.holder_url);
        assert_eq!(read.record.pause, kept().record.pause);
        assert_eq!(item["format"].as_n().unwrap(), "2");
        assert_eq!((read.record.term, read.version), (Term::new(7), kept().version));
        assert_eq!(item["expires"].as_s().unwrap(), "2026-11-23T07:40:03.001Z");
    }

    #[test]
    fn the_handover_of_a_holder_comes_back_as_written() {
        let handover = Handover::from_store("{\"term\":7,\"uptimeMs\":5}", Term::new(7));
        let record = LeaseRecord { holder: None, handover, ..kept().record };
        let left = record.handover.clone();
        assert!(left.is_some());
        let read = decode(&encode("a", &Kept { record, ..kept() }).unwrap()).unwrap();
        assert_eq!(read.record.handover, left);
        assert!(!encode("a", &kept()).unwrap().contains_key("handover"));
    }

    #[test]
    fn an_expiry_is_rounded_late() {
        let kept = Kept {
            expires: Some(ServiceTime::from_unix(Duration::from_nanos(1_000_000_001))),
            ..kept()
        };
        let read = decode(&encode("a", &kept).unwrap()).unwrap().expires;
        assert_eq!(read, Some(ServiceTime::from_unix(Duration::from_millis(1_001))));
    }

    #[test]
    fn no_attribute_could_serve_as_a_time_to_live() {
        for (name, value) in encode("a", &kept()).unwrap() {
            assert!(value.is_s() || ["format", "term", "lease_duration_ms"].contains(&&*name));
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let without = |name: &str| {
            let mut item = encode("a", &kept()).unwrap();
            item.remove(name);
            decode(&item)
        };
        for name in ["format", "version", "term", "incarnation", "lease_duration_ms"] {
            assert_eq!(without(name).unwrap_err(), Unreadable::Attribute(name));
        }
        assert_eq!(without("expires").unwrap().expires, None);
        let mut longest = encode("a", &kept()).unwrap();
        longest.insert("lease_duration_ms".into(), number(MAX_LEASE_DURATION.as_millis()));
        assert_eq!(decode(&longest).unwrap().record.lease_duration, MAX_LEASE_DURATION);
        for (name, values) in [
            ("term", ["-1", "1.5", "1e3", "NaN", "9223372036854775808", "1E+125"]),
            ("lease_duration_ms", ["0", "-1", "3600001", "1e3", "18446744073709551615", "NaN"]),
            ("format", ["0", "-1", "1.0", "01", "3", "NaN"]),
        ] {
            for value in values {
                let mut item = encode("a", &kept()).unwrap();
                item.insert(name.into(), AttributeValue::N(value.into()));
                assert!(decode(&item).is_err(), "{name} = {value}");
            }
        }
        for expires in ["9999-12-31T23:59:59.999Z", "-9999-01-01T00:00:00Z", "NaN", ""] {
            let mut item = encode("a", &kept()).unwrap();
            item.insert("expires".into(), text(expires));
            item.insert("renew_time".into(), text(expires));
            let read = decode(&item).unwrap();
            let later = read.expires.map(|expires| expires + Duration::MAX);
            assert!(later.is_none_or(|later| later.to_rfc3339().is_none()), "{expires}");
            assert!(!read.record.renew_time.to_string().is_empty());
        }
        let mut newer = encode("a", &kept()).unwrap();
        newer.insert("format".into(), AttributeValue::N("3".into()));
        assert!(decode(&newer).unwrap_err().to_string().contains("upgrade"));
    }
}
