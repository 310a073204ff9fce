//! The texts of statements and notifications.

use super::*;
use crate::election::lease::Candidate;
use crate::election::term::Term;
use crate::store::postgres::columns::LATER;

#[test]
fn literals_cannot_be_broken_out_of() {
    assert_eq!(literal("plain"), "E'plain'");
    assert_eq!(literal("it's"), "E'it''s'");
    assert_eq!(literal("\\'; DROP"), "E'\\\\''; DROP'");
    assert_eq!(literal("a\0b"), "E'a\u{FFFD}b'");
}

#[test]
fn a_hand_over_notifies_in_its_transaction_and_a_renewal_does_not() {
    let dialect = Dialect {
        names: Names::new(None, None).unwrap(),
        lock_timeout: Duration::from_millis(800),
        columns: Arc::default(),
        notifies: Arc::new(AtomicBool::new(true)),
    };
    let acquired = LeaseRecord {
        holder: Some(Candidate { identity: "a".to_owned(), incarnation: "1".to_owned() }),
        term: Term::new(1),
        ..LeaseRecord::without_holder(Duration::from_secs(15), WallTime::EPOCH)
    };
    let renew_time = WallTime::from_unix(Duration::from_secs(2));
    let renewed = LeaseRecord { renew_time, ..acquired.clone() };
    let vacated = LeaseRecord { holder: None, ..renewed.clone() };
    for (record, notifies, patience) in
        [(acquired, true, 100), (renewed, false, 800), (vacated, true, 800)]
    {
        let is_vacated = record.holder.is_none();
        let swap = Statement::Swap {
            election: "default".parse().unwrap(),
            expected: Some(Version::new("v")),
            record: Box::new(record),
            state: "w".to_owned(),
        };
        let text = message(&[&swap], &dialect, true);
        assert_eq!(text.contains("pg_notify"), notifies, "{text}");
        assert_eq!(text.contains("E'default 1 ' || version"), is_vacated, "{text}");
        let begins = format!("SELECT set_config('lock_timeout', '{patience}ms', true)");
        assert!(text.starts_with(&begins), "{text}");
        assert!(text.contains("synchronous_commit"));
    }
}

/// What RDS Proxy bears: see [`WRITES_TOGETHER`].
#[test]
fn the_writes_of_a_message_are_short_enough_for_a_proxy() {
    let columns = Arc::<LaterColumns>::default();
    columns.set([true; LATER.len()]);
    let names = Names::new(None, None).unwrap();
    let notifies = Arc::new(AtomicBool::new(true));
    let dialect = Dialect { names, lock_timeout: Duration::from_secs(2), columns, notifies };
    let renewals: Vec<_> = (0..WRITES_TOGETHER)
        .map(|number| Statement::Swap {
            election: format!("production-election-{number}").parse().unwrap(),
            expected: Some(Version::new(format!("{}@00000001", uuid::Uuid::new_v4()))),
            record: Box::new(LeaseRecord {
                holder: Some(Candidate {
                    identity: "ip-10-0-0-1.eu-central-1.compute.internal".to_owned(),
                    incarnation: uuid::Uuid::new_v4().to_string(),
                }),
                renew_time: WallTime::from_unix(Duration::from_secs(2)),
                ..LeaseRecord::without_holder(Duration::from_secs(15), WallTime::EPOCH)
            }),
            state: uuid::Uuid::new_v4().to_string(),
        })
        .collect();
    let text = message(&renewals.iter().collect::<Vec<_>>(), &dialect, true);
    assert!(text.len() < 16_000, "{} bytes: {text}", text.len());
}
