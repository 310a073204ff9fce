//! The form of a record in a Lease, as bellwether and client-go write it.

use super::*;
use crate::election::lease::MAX_LEASE_DURATION;

fn election() -> ElectionName {
    "default".parse().unwrap()
}

fn record(holder: Option<&str>, term: u64) -> LeaseRecord {
    let holder = holder.map(|identity| Candidate {
        identity: identity.to_owned(),
        incarnation: format!("{identity}'s"),
    });
    LeaseRecord {
        holder,
        term: Term::new(term),
        lease_duration: Duration::from_millis(2_500),
        acquire_time: WallTime::parse("2026-11-26T12:00:00.125Z").unwrap(),
        renew_time: WallTime::parse("2026-11-26T12:00:00.125Z").unwrap(),
        payload: None,
        origin: None,
        holder_url: None,
        pause: None,
        handover: None,
    }
}

fn written(before: Option<&Lease>, record: &LeaseRecord) -> Lease {
    let draft = Draft { election: &election(), record, expires: None, write: "1" };
    Lease::write(before, &draft).unwrap()
}

fn read(lease: &Lease) -> Kept {
    lease.decode(&election()).unwrap()
}

/// What a candidate of client-go does to a Lease that it takes over or renews: see its `LeaseLock`.
fn by_client_go(lease: &Lease, holder: &str, acquires: bool) -> Lease {
    let mut lease = lease.clone();
    lease.spec.holder_identity = Some(holder.to_owned());
    lease.spec.lease_duration_seconds = Some(if holder.is_empty() { 1 } else { 15 });
    lease.spec.renew_time = Some("2026-11-26T12:00:09.000001Z".to_owned());
    *lease.spec.lease_transitions.get_or_insert(0) += i64::from(acquires);
    lease
}

#[test]
fn client_go_sees_whole_seconds_and_a_renewal_at_every_write() {
    let first = written(None, &record(Some("a"), 1));
    assert_eq!(first.spec.lease_duration_seconds, Some(3), "rounded up");
    assert_eq!(first.spec.renew_time.as_deref(), Some("2026-11-26T12:00:00.125000Z"));
    let second = written(Some(&first), &record(Some("a"), 1));
    assert_ne!(second.spec.renew_time, first.spec.renew_time, "though the clock stands still");
    assert_eq!(second.spec.lease_transitions, Some(0));
    let vacated = written(Some(&second), &record(None, 1));
    assert_eq!(vacated.spec.holder_identity.as_deref(), Some(""));
    assert_eq!(vacated.spec.lease_duration_seconds, Some(1));
}

#[test]
fn terms_continue_through_acquisitions_of_client_go() {
    let ours = written(None, &record(Some("a"), 1));
    let theirs = by_client_go(&ours, "rival", true);
    let kept = read(&theirs);
    assert_eq!(kept.record.term, Term::new(2));
    let holder = kept.record.holder.clone().unwrap();
    assert_eq!((&*holder.identity, &*holder.incarnation), ("rival", ""), "not our annotation");
    assert!(!kept.record.is_held_by(record(Some("rival"), 2).holder.as_ref().unwrap()));
    assert_eq!(kept.record.lease_duration, Duration::from_secs(15), "theirs, not our annotation");
    assert_eq!((kept.expires, kept.write), (None, None));
    let released = by_client_go(&theirs, "", false);
    assert_eq!((read(&released).record.term, read(&released).record.holder), (Term::new(2), None));
    let again = by_client_go(&released, "another", true);
    assert_eq!(read(&again).record.term, Term::new(3));
    let back = written(Some(&again), &record(Some("a"), 4));
    assert_eq!((back.spec.lease_transitions, read(&back).record.term), (Some(3), Term::new(4)));
}

#[test]
fn a_lease_of_client_go_alone_has_terms_from_one() {
    let mut lease = Lease::new(&election());
    assert_eq!(read(&lease).record.holder, None, "an empty manifest");
    lease = by_client_go(&lease, "rival", false);
    assert_eq!(read(&lease).record.term, Term::new(1));
    let ours = written(Some(&lease), &record(Some("a"), 2));
    assert_eq!(ours.spec.lease_transitions, Some(1));
    assert_eq!(read(&ours).record.term, Term::new(2));
}

#[test]
fn a_term_that_jumped_is_never_below_the_transitions() {
    let ours = written(None, &record(Some("a"), 1_000_000));
    let theirs = by_client_go(&by_client_go(&ours, "b", true), "c", true);
    assert_eq!(read(&theirs).record.term, Term::new(1_000_002));
}

#[test]
fn unknown_fields_stay() {
    let text = r#"{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":
        "default","uid":"u","resourceVersion":"7","labels":{"a":"b"},"annotations":{"c":"d"}},
        "spec":{"strategy":"OldestEmulationVersion","preferredHolder":"x"}}"#;
    let found: Lease = serde_json::from_str(text).unwrap();
    let lease = serde_json::to_value(written(Some(&found), &record(Some("a"), 2))).unwrap();
    assert_eq!(lease["metadata"]["labels"]["a"], "b");
    assert_eq!(lease["metadata"]["annotations"]["c"], "d");
    assert_eq!(lease["metadata"]["uid"], "u");
    assert_eq!(lease["spec"]["strategy"], "OldestEmulationVersion");
    assert_eq!(lease["spec"]["preferredHolder"], "x");
}

#[test]
fn nonsense_in_the_spec_is_refused() {
    let mut lease = written(None, &record(Some("a"), 1));
    lease.spec.holder_identity = Some("rival".to_owned());
    for bad in [-1, 0, i64::MAX] {
        lease.spec.lease_duration_seconds = Some(bad);
        assert!(lease.decode(&election()).is_err(), "{bad}");
    }
    lease.spec.lease_duration_seconds = Some(15);
    lease.spec.lease_transitions = Some(i64::MIN);
    assert_eq!(read(&lease).record.term, Term::new(1));
}

#[test]
fn what_is_written_is_read_again() {
    let mut record = record(Some("a"), 3);
    record.lease_duration = MAX_LEASE_DURATION;
    record.origin = Origin::new("ecs:service/web");
    let expires = ServiceTime::from_unix(Duration::from_secs(1_800_000_000));
    let election = election();
    let draft =
        Draft { election: &election, record: &record, expires: Some(expires), write: "mark" };
    let lease = Lease::write(None, &draft).unwrap();
    let kept = read(&lease);
    assert_eq!(format!("{:?}", kept.record), format!("{record:?}"));
    assert_eq!((kept.expires, kept.write.as_deref()), (Some(expires), Some("mark")));
    let seconds = i64::try_from(MAX_LEASE_DURATION.as_secs()).unwrap();
    assert_eq!(lease.spec.lease_duration_seconds, Some(seconds));
    let without = |name: &str, value: Option<&str>| {
        let mut lease = lease.clone();
        lease.metadata.annotations.remove(name);
        let value = value.map(|value| (name.to_owned(), value.to_owned()));
        lease.metadata.annotations.extend(value);
        lease.decode(&election).unwrap_err()
    };
    let unreadable = without("bellwether/incarnation", None);
    assert_eq!(unreadable, Unreadable::Field("annotation bellwether/incarnation"));
    assert!(unreadable.to_string().contains("edited by hand"), "{unreadable}");
    let newer = without("bellwether/format", Some("99"));
    assert!(newer.to_string().contains("format '99'"), "{newer}");
    let other = without("bellwether/election", Some("other"));
    assert!(other.to_string().contains("belongs to the election 'other'"), "{other}");
}

#[test]
fn an_object_without_a_kind_a_uid_or_a_version_is_not_stored() {
    let mut lease = written(None, &record(Some("a"), 1));
    lease.metadata.uid = "u".to_owned();
    lease.metadata.resource_version = "7".to_owned();
    assert!(lease.is_stored());
    assert_eq!(lease.version(), Version::new("u 7"));
    let breaks: [fn(&mut Lease); 3] = [
        |lease| lease.metadata.uid.clear(),
        |lease| lease.metadata.resource_version.clear(),
        |lease| lease.kind = "Pod".to_owned(),
    ];
    for breaks in breaks {
        let mut broken = lease.clone();
        breaks(&mut broken);
        assert!(!broken.is_stored(), "{broken:?}");
    }
}

#[test]
fn a_page_has_leases_and_the_token_of_the_next() {
    let page = |text: &str| Page::parse(text.as_bytes());
    let items = r#"[{"metadata":{"name":"a"}},{"metadata":{"name":"b"}}]"#;
    let text =
        format!(r#"{{"kind":"LeaseList","metadata":{{"continue":"more"}},"items":{items}}}"#);
    let full = page(&text).unwrap();
    let names: Vec<_> = full.items.iter().map(|lease| lease.metadata.name.as_str()).collect();
    assert_eq!((names, full.next()), (vec!["a", "b"], Some("more")));
    let last = page(r#"{"kind":"LeaseList","metadata":{"continue":""},"items":[]}"#).unwrap();
    assert_eq!((last.items.len(), last.next()), (0, None));
    for bad in ["", "{}", r#"{"kind":"LeaseList","items":7}"#, r#"{"kind":"PodList","items":[]}"#] {
        assert!(page(bad).is_none(), "{bad}");
    }
}

#[test]
fn names_that_kubernetes_does_not_allow_become_checksums() {
    assert_eq!(object_name(&election()), "default");
    let name = |text: &str| object_name(&ElectionName::of_work(&text.parse().unwrap()));
    let once = name("web:7");
    assert!(once.starts_with("bellwether-") && once.len() == 43, "{once}");
    assert_ne!(name("web:8"), once);
    let dots: ElectionName = "a..b".parse().unwrap();
    assert!(object_name(&dots).starts_with("bellwether-"));
    let record = record(Some("a"), 1);
    let draft = Draft { election: &dots, record: &record, expires: None, write: "1" };
    let lease = Lease::write(None, &draft).unwrap();
    assert_eq!(lease.election(), Some(dots));
    assert!(matches!(lease.decode(&election()), Err(Unreadable::Election(_))));
}

#[test]
fn a_term_that_has_no_next_one_in_another_store_is_refused() {
    let with_term = |term: &str| {
        let mut lease = written(None, &record(Some("a"), 7));
        lease.metadata.annotations.insert("bellwether/term".to_owned(), term.to_owned());
        lease.decode(&election()).map(|kept| kept.record.term.get())
    };
    assert_eq!(with_term("9223372036854775807").unwrap(), 9_223_372_036_854_775_807);
    for bad in ["9223372036854775808", "18446744073709551615", "-1", ""] {
        let unreadable = with_term(bad).unwrap_err();
        assert_eq!(unreadable, Unreadable::Field("annotation bellwether/term"), "{bad}");
    }
}

#[test]
fn transitions_stay_at_the_highest_number_of_the_api() {
    let mut lease = written(None, &record(Some("a"), 7));
    lease.spec.lease_transitions = Some(i64::from(i32::MAX));
    let lease = written(Some(&lease), &record(Some("b"), read(&lease).record.term.get() + 1));
    assert_eq!(lease.spec.lease_transitions, Some(i64::from(i32::MAX)));
}
