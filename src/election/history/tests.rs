use super::*;
use std::time::Duration;

use crate::election::term::Term;

const RULES: Rules = Rules {
    superseded: Superseded::Skip,
    max_attempts: 3,
    retry_delay: Duration::from_secs(5),
    retry_after: RetryAfter::Time(Duration::from_secs(300)),
};
const WAITS: Rules = Rules { superseded: Superseded::Wait, ..RULES };
const INSTANCE: Instance = Instance { started: Moment::from_millis(0), jitter: 0.5 };
const DISTANT: Look =
    Look { leading: false, disproved: None, now: Moment::from_millis(0), watched: Duration::ZERO };

fn key(text: &str) -> Key {
    text.parse().unwrap()
}

fn piece(text: &str, order: Option<Order>) -> Piece {
    Piece { key: key(text), order, tick: None }
}

fn attempt(term: u64) -> Attempt {
    let (holder, began) = ("web-1".to_owned(), Moment::from_millis(term * 1_000));
    Attempt { holder, term: Term::new(term), began, max_attempts: None }
}

fn end(code: u8, at: u64) -> End {
    End { code, stderr: (code != 0).then(|| "no\n".to_owned()), at: Moment::from_millis(at) }
}

/// An attempt at a key, with its end.
fn tried(history: &History, piece: &Piece, term: u64, code: u8) -> History {
    let begun = history.begin(piece, Goal::Do, false, attempt(term));
    begun.finish(&piece.key, Goal::Do, end(code, term * 1_000 + 500), None).unwrap()
}

fn decide<'a>(history: &'a History, piece: &Piece, rules: &Rules, look: &Look) -> Decision<'a> {
    history.decide(piece, Goal::Do, rules, &INSTANCE, look)
}

#[test]
fn a_key_that_is_done_is_settled_and_another_may_run() {
    let (one, two) = (piece("v1", None), piece("v2", None));
    let history = tried(&History::default(), &one, 1, 0);
    assert!(matches!(decide(&history, &one, &RULES, &DISTANT), Decision::Done(_)));
    let may_run = Decision::MayRun { healed: false };
    assert_eq!(decide(&history, &two, &RULES, &DISTANT), may_run);
    let look = Look { disproved: Some(Term::new(1)), ..DISTANT };
    assert_eq!(decide(&history, &one, &RULES, &look), may_run, "its success is disproved");
    let again = tried(&history, &one, 2, 0);
    assert!(matches!(decide(&again, &one, &RULES, &look), Decision::Done(_)), "another success");
}

#[test]
fn once_a_newer_order_has_begun_an_older_one_never_begins() {
    let (one, two) = (piece("v1", Some(1)), piece("v2", Some(2)));
    let history = History::default().begin(&two, Goal::Do, false, attempt(1));
    let newer = history.entry(&two.key);
    assert_eq!(decide(&history, &one, &RULES, &DISTANT), Decision::Superseded(2, newer));
    let look = Look { leading: true, ..DISTANT };
    assert_eq!(decide(&history, &one, &RULES, &look), Decision::Superseded(2, newer));
    let other = piece("other-image", Some(2));
    assert_eq!(decide(&history, &other, &RULES, &look), Decision::MayRun { healed: false });
    let unordered = piece("v1", None);
    assert_eq!(decide(&history, &unordered, &RULES, &look), Decision::MayRun { healed: false });
    let failed = tried(&history, &two, 1, 1);
    assert!(matches!(decide(&failed, &one, &RULES, &look), Decision::Superseded(2, _)));
}

#[test]
fn an_older_key_that_is_done_is_done_unless_it_waits_for_the_way_down() {
    let (one, two) = (piece("v1", Some(1)), piece("v2", Some(2)));
    let history = tried(&tried(&History::default(), &one, 1, 0), &two, 2, 0);
    assert!(matches!(decide(&history, &one, &RULES, &DISTANT), Decision::Done(_)));
    assert!(matches!(decide(&history, &one, &WAITS, &DISTANT), Decision::Superseded(2, Some(_))));
    let again = piece("v1", Some(3));
    assert!(matches!(decide(&history, &again, &WAITS, &DISTANT), Decision::Superseded(2, _)));
    let down = history.begin(&two, Goal::TakeBack, false, attempt(3));
    assert!(matches!(decide(&down, &two, &RULES, &DISTANT), Decision::After(_)));
    let leading = Look { leading: true, ..DISTANT };
    let undone = decide(&down, &two, &RULES, &leading);
    assert!(matches!(undone, Decision::Done(_)), "the leader waits for no other: {undone:?}");
    assert!(matches!(decide(&down, &one, &WAITS, &DISTANT), Decision::Superseded(2, _)));
    let back = down.finish(&two.key, Goal::TakeBack, end(0, 9), None).unwrap();
    assert_eq!(back.order(), Some(1));
    assert!(matches!(decide(&back, &one, &WAITS, &DISTANT), Decision::Done(_)));
    assert_eq!(decide(&back, &two, &RULES, &DISTANT), Decision::MayRun { healed: false });
    let failed = down.finish(&two.key, Goal::TakeBack, end(1, 9), None).unwrap();
    assert!(matches!(decide(&failed, &two, &RULES, &DISTANT), Decision::Done(_)));
    assert_eq!(failed.order(), Some(2));
}

/// Else every later instance would wait for the one that was taking it back.
#[test]
fn a_leader_that_finds_a_key_done_ends_the_wait_for_the_way_down() {
    let (one, two) = (piece("v1", None), piece("v2", None));
    let done = tried(&History::default(), &one, 1, 0);
    assert_eq!(done.keep_done(&one.key), None, "it was not being taken back");
    let down = done.begin(&one, Goal::TakeBack, false, attempt(2));
    assert!(matches!(decide(&down, &one, &RULES, &DISTANT), Decision::After(_)));
    assert_eq!(down.keep_done(&two.key), None, "another key");
    let kept = down.keep_done(&one.key).unwrap();
    assert_eq!(kept, done);
    assert!(matches!(decide(&kept, &one, &RULES, &DISTANT), Decision::Done(_)));
    assert_eq!(decide(&kept, &two, &RULES, &DISTANT), Decision::MayRun { healed: false });
    assert_eq!(kept.finish(&one.key, Goal::TakeBack, end(0, 9), None), None, "that one is over");
    let begun = History::default().begin(&one, Goal::Do, false, attempt(1));
    let down = begun.begin(&one, Goal::TakeBack, false, attempt(2));
    assert_eq!(down.keep_done(&one.key), None, "it was not done");
}

#[test]
fn a_way_down_is_gone_once_and_only_from_what_is_known() {
    let two = piece("v2", Some(2));
    let decide =
        |history: &History| match history.decide(&two, Goal::TakeBack, &RULES, &INSTANCE, &DISTANT)
        {
            Decision::Unknown => "unknown",
            Decision::Done(_) => "done",
            Decision::MayRun { .. } => "may run",
            other => panic!("{other:?}"),
        };
    assert_eq!(decide(&History::default()), "unknown");
    let done = tried(&History::default(), &two, 1, 0);
    assert_eq!(decide(&done), "may run");
    let down = done.begin(&two, Goal::TakeBack, false, attempt(2));
    assert_eq!(decide(&down), "may run", "it was interrupted");
    let down = down.finish(&two.key, Goal::TakeBack, end(0, 9), None).unwrap();
    assert_eq!(decide(&down), "done");
    assert_eq!(down.order(), None);
}

#[test]
fn a_key_that_has_begun_is_continued_by_its_own_instances_first() {
    let (one, two) = (piece("v1", Some(1)), piece("v2", Some(2)));
    let history = History::default().begin(&one, Goal::Do, false, attempt(1));
    assert!(matches!(decide(&history, &two, &RULES, &DISTANT), Decision::After(_)));
    assert_eq!(decide(&history, &one, &RULES, &DISTANT), Decision::MayRun { healed: false });
    let look = Look { leading: true, ..DISTANT };
    assert_eq!(decide(&history, &two, &RULES, &look), Decision::MayRun { healed: false });
}

/// B began, so its instance held the lease after that of A was over.
#[test]
fn an_interrupted_key_delays_others_only_until_another_one_begins() {
    let [a, b, c] = ["a", "b", "c"].map(|name| piece(name, None));
    let may_run = Decision::MayRun { healed: false };
    let cut_off = History::default().begin(&a, Goal::Do, false, attempt(1));
    assert!(matches!(decide(&cut_off, &c, &RULES, &DISTANT), Decision::After(_)));
    let begun = cut_off.begin(&b, Goal::Do, false, attempt(2));
    assert_eq!(decide(&begun, &c, &RULES, &DISTANT), Decision::After(begun.entry(&b.key).unwrap()));
    let history = tried(&cut_off, &b, 2, 0);
    assert_eq!(history.open(), None);
    assert_eq!(decide(&history, &c, &RULES, &DISTANT), may_run);
    assert_eq!(decide(&history, &a, &RULES, &DISTANT), may_run);
    let read = History::decode(&history.encode()).unwrap();
    assert_eq!(decide(&read, &c, &RULES, &DISTANT), may_run);
    // A again: now it is the newest.
    let again = history.begin(&a, Goal::Do, false, attempt(3));
    assert_eq!(decide(&again, &c, &RULES, &DISTANT), Decision::After(again.entry(&a.key).unwrap()));
    // A way down that was cut off.
    let down = tried(&History::default(), &a, 1, 0).begin(&a, Goal::TakeBack, false, attempt(2));
    let history = tried(&down, &b, 3, 0);
    assert_eq!(decide(&history, &c, &RULES, &DISTANT), may_run);
    assert!(matches!(decide(&history, &a, &RULES, &DISTANT), Decision::Done(_)));
}

#[test]
fn failures_pause_and_end_and_heal() {
    let one = piece("v1", None);
    let failed = tried(&History::default(), &one, 1, 9);
    let at = |now: u64, watched: u64| Look {
        now: Moment::from_millis(now),
        watched: Duration::from_millis(watched),
        ..DISTANT
    };
    let left =
        |ms: u64| Decision::Pause(Duration::from_millis(ms), failed.entry(&one.key).unwrap());
    let may_run = Decision::MayRun { healed: false };
    assert_eq!(decide(&failed, &one, &RULES, &at(1_500, 0)), left(5_000));
    assert_eq!(decide(&failed, &one, &RULES, &at(4_500, 0)), left(2_000));
    assert_eq!(decide(&failed, &one, &RULES, &at(0, 4_000)), left(1_000), "a clock that is behind");
    assert_eq!(decide(&failed, &one, &RULES, &at(6_500, 0)), may_run);
    let thrice = tried(&tried(&failed, &one, 2, 9), &one, 3, 8);
    let State::Failed { failures, code, .. } = &thrice.entry(&one.key).unwrap().state else {
        panic!("it failed")
    };
    assert_eq!((*failures, *code), (3, 8));
    let later = |started: u64| Instance { started: Moment::from_millis(started), ..INSTANCE };
    let decided = |rules: &Rules, instance: &Instance| match thrice.decide(
        &one,
        Goal::Do,
        rules,
        instance,
        &DISTANT,
    ) {
        Decision::Failed(_) => "failed",
        Decision::MayRun { healed: true } => "healed",
        other => panic!("{other:?}"),
    };
    assert_eq!(decided(&RULES, &later(303_500)), "failed");
    assert_eq!(decided(&RULES, &later(303_501)), "healed");
    let never = Rules { retry_after: RetryAfter::Never, ..RULES };
    assert_eq!(decided(&never, &later(u64::MAX)), "failed");
    let again = thrice.begin(&one, Goal::Do, true, attempt(4));
    assert_eq!(again.entry(&one.key).unwrap().state, State::Begun { failures: 0 });
}

#[test]
fn pauses_double_up_to_a_minute() {
    let one = piece("v1", None);
    let rules = Rules { max_attempts: 100, ..RULES };
    let mut history = History::default();
    let mut pauses = Vec::new();
    for _ in 0..40 {
        history = tried(&history, &one, 1, 1);
        let look = Look { now: Moment::from_millis(1_500), ..DISTANT };
        let Decision::Pause(pause, _) = decide(&history, &one, &rules, &look) else { panic!() };
        pauses.push(pause.as_secs());
    }
    assert_eq!(pauses[..5], [5, 10, 20, 40, 60]);
    assert_eq!(pauses.last(), Some(&60));
}

#[test]
fn the_end_of_an_attempt_that_was_not_begun_is_not_written() {
    let one = piece("v1", None);
    let done = tried(&History::default(), &one, 1, 0);
    assert_eq!(done.finish(&one.key, Goal::Do, end(1, 1), None), None);
    assert_eq!(done.finish(&key("v2"), Goal::Do, end(0, 1), None), None);
    assert_eq!(done.finish(&one.key, Goal::TakeBack, end(0, 1), None), None);
}

#[test]
fn a_reset_forgets_a_key_or_everything() {
    let (one, two) = (piece("v1", Some(1)), piece("v2", Some(2)));
    let history = tried(&tried(&History::default(), &one, 1, 0), &two, 2, 0);
    let reset = history.reset(Some(&one.key)).unwrap();
    assert_eq!((reset.entry(&one.key), reset.order()), (None, Some(2)));
    assert_eq!(reset.reset(Some(&one.key)), None);
    assert_eq!(history.reset(None), Some(History::default()));
    assert_eq!(History::default().reset(None), None);
}

#[test]
fn periods_are_rounded_to_the_nearest_wherever_they_begin() {
    let hour = Duration::from_secs(3600);
    let minutes = |minutes: u64| Moment::from_millis(minutes * 60_000);
    let first = History::default().tick(hour, minutes(630)).unwrap();
    assert_eq!(first.tick, Some(minutes(630)));
    let history = tried(&History::default(), &first, 1, 0);
    for near in [601, 629, 630, 631, 659] {
        assert_eq!(history.tick(hour, minutes(near)), Ok(first.clone()), "{near}");
    }
    assert_eq!(history.tick(hour, minutes(660)).unwrap().tick, Some(minutes(660)));
    assert_eq!(history.tick(hour, minutes(600)), Err(history.entry(&first.key).unwrap()));
    let mut history = history;
    for number in 0..50 {
        let next = history.tick(hour, minutes(690 + number * 60)).unwrap();
        history = tried(&history, &next, number + 2, 0);
    }
    assert!(history.entries().len() <= 5, "one small record holds it all");
}

#[test]
fn a_run_is_of_the_future_if_it_begins_later_than_clocks_may_differ() {
    let hour = Duration::from_secs(3_600);
    let run = |tick| Piece { tick: Some(Moment::from_millis(tick)), ..piece("k", None) };
    let is_ahead = |piece: &Piece, now| {
        let history = tried(&History::default(), piece, 1, 0);
        history.entries[0].is_ahead_of(Moment::from_millis(now), hour)
    };
    assert!(is_ahead(&run(3_600_001), 0));
    assert!(!is_ahead(&run(3_600_000), 0));
    assert!(!is_ahead(&run(3_600_000), 1));
    assert!(!is_ahead(&run(0), 3_600_001), "one of the past");
    assert!(!is_ahead(&piece("k", None), 0), "it has no period");
}

#[test]
fn a_failure_is_of_the_future_if_it_ended_later_than_clocks_may_differ() {
    let failure = tried(&History::default(), &piece("k", None), 100, 1);
    let is_ahead =
        |history: &History, now| history.entries[0].failed_ahead_of(Moment::from_millis(now));
    assert!(is_ahead(&failure, 40_499));
    assert!(!is_ahead(&failure, 40_500));
    assert!(!is_ahead(&failure, 200_000), "one of the past");
    assert!(!is_ahead(&tried(&failure, &piece("k", None), 100, 0), 0), "it is done");
}

/// A failure that wrote this much to standard error.
fn failed(history: &History, name: &str, text: usize) -> History {
    let piece = piece(name, None);
    let end = End { stderr: Some("x".repeat(text)), ..end(1, 1) };
    let begun = history.begin(&piece, Goal::Do, false, attempt(1));
    begun.finish(&piece.key, Goal::Do, end, None).unwrap()
}

/// Within the bound, and so near it that no more was dropped than had to be.
fn is_full(history: &History) -> bool {
    (MAX_BYTES - 600..=MAX_BYTES).contains(&history.encode().len())
}

#[test]
fn it_stays_small_and_keeps_its_order() {
    let mut history = History::default();
    for number in 0..120 {
        let name = format!("{number}-{}", "k".repeat(240));
        history = tried(&history, &piece(&name, Some(number)), number, 0);
    }
    assert!(is_full(&history), "{}", history.encode().len());
    let orders: Vec<_> = history.entries().iter().map(|entry| entry.order.unwrap()).collect();
    assert!(orders.windows(2).all(|pair| pair[0] + 1 == pair[1]) && orders.len() > 50);
    assert_eq!((orders.last(), history.order()), (Some(&119), Some(119)));
    assert_eq!(History::decode(&history.encode()), Ok(history));
}

#[test]
fn the_encoded_history_is_ascii_whatever_a_command_wrote_and_keeps_its_bound() {
    let mut history = History::default();
    for number in 0..8 {
        let begun =
            history.begin(&piece(&format!("ключ{number}"), None), Goal::Do, false, attempt(1));
        let end = End { stderr: Some("失敗👩\0".repeat(1024)), ..end(1, 1) };
        history = begun.finish(&key(&format!("ключ{number}")), Goal::Do, end, None).unwrap();
    }
    let text = history.encode();
    assert!(text.is_ascii());
    assert!(text.len() <= 32 * 1024, "{}", text.len());
    let read = History::decode(&text).unwrap();
    let last = read.entry(&key("ключ7")).unwrap();
    let State::Failed { stderr: Some(stderr), .. } = &last.state else { panic!("{last:?}") };
    assert!(stderr.starts_with("失敗👩"), "{stderr}");
}

#[test]
fn the_texts_of_the_oldest_failures_go_before_any_key() {
    let mut history = History::default();
    for number in 0..190 {
        history = failed(&history, &number.to_string(), 100);
        assert!(history.encode().len() <= MAX_BYTES, "{number}");
    }
    assert!(is_full(&history), "{}", history.encode().len());
    let has_text = |entry: &Entry| matches!(&entry.state, State::Failed { stderr: Some(_), .. });
    let texts: Vec<_> = history.entries().iter().map(has_text).collect();
    let without = texts.iter().position(|has_text| *has_text).unwrap();
    assert!(without > 0 && texts[without..].iter().all(|has_text| *has_text));
    assert_eq!(texts.len(), 190);
    let long = failed(&history, "long", MAX_BYTES);
    assert_eq!((long.entries().len(), has_text(&long.entries()[0])), (1, true), "the newest stays");
}

#[test]
fn the_newest_keys_and_the_newest_runs_of_periods_stay() {
    let numbered = |history: &History, number: u64| {
        tried(history, &piece(&number.to_string(), None), number, 0)
    };
    let history = (0..MAX_KEYS as u64 + 3)
        .fold(History::default(), |history, number| numbered(&history, number));
    assert_eq!((history.entries().len(), history.entries()[0].key.as_str()), (MAX_KEYS, "3"));
    let minute = |number: u64| Moment::from_millis(number * 60_000);
    let history = (0..8).fold(numbered(&History::default(), 1), |history, number| {
        let run = history.tick(Duration::from_secs(60), minute(number)).unwrap();
        tried(&history, &run, number, 0)
    });
    let kept: Vec<_> = history.entries().iter().map(|entry| entry.tick).collect();
    let runs = (3..8).map(|number| Some(minute(number)));
    assert_eq!(kept, [None].into_iter().chain(runs).collect::<Vec<_>>());
}

#[test]
fn entries_older_than_the_limit_go_and_their_order_stays() {
    let (one, two) = (piece("v1", Some(1)), piece("v2", Some(2)));
    let (three, four) = (piece("v3", Some(3)), piece("v4", Some(4)));
    let history = tried(&tried(&History::default(), &one, 1, 0), &two, 2, 0);
    let begun = tried(&history, &three, 60, 0).begin(&four, Goal::Do, false, attempt(61));
    let keep = Some(Duration::from_secs(10));
    let done = begun.finish(&four.key, Goal::Do, end(0, 61_500), keep).unwrap();
    let kept: Vec<_> = done.entries().iter().map(|entry| entry.key.as_str()).collect();
    assert_eq!((kept, done.order()), (vec!["v3", "v4"], Some(4)));
    let down = |history: &History, piece: &Piece, term| {
        let begun = history.begin(piece, Goal::TakeBack, false, attempt(term));
        begun.finish(&piece.key, Goal::TakeBack, end(0, term * 1_000), None).unwrap()
    };
    let down = down(&down(&done, &four, 62), &three, 63);
    assert_eq!(down.order(), Some(2), "the one before is forgotten, but not its order");
    for (keep, kept) in [(58_000, 3), (57_999, 2)] {
        let keep = Some(Duration::from_millis(keep));
        let done = begun.finish(&four.key, Goal::Do, end(0, 61_500), keep).unwrap();
        assert_eq!(done.entries().len(), kept, "the second ended 58 s before the third");
    }
}

/// Else old migrations would run again, also on hosts whose clocks are right.
#[test]
fn one_clock_that_is_ahead_makes_no_instance_forget_a_key() {
    let keep = Some(Duration::from_secs(10));
    let succeed = |history: &History, name: &str, term, at| {
        let piece = piece(name, None);
        let begun = history.begin(&piece, Goal::Do, false, attempt(term));
        begun.finish(&piece.key, Goal::Do, end(0, at), keep).unwrap()
    };
    let year = 365 * 24 * 3_600_000;
    let alone = succeed(&History::default(), "a", 1, year);
    assert_eq!(alone.entries().len(), 1);
    let history = ["a", "b"].iter().zip(1..).fold(History::default(), |history, (name, term)| {
        succeed(&history, name, term, term * 1_000 + 500)
    });
    let ahead = succeed(&history, "c", 3, year);
    assert_eq!(ahead.entries().len(), 3, "c is ahead");
    let after = succeed(&ahead, "d", 4, 5_000);
    assert_eq!(after.entries().len(), 4, "d is right, and c before it is not");
    let later = succeed(&after, "e", 60, 60_500);
    assert_eq!(later.entries().len(), 5, "d confirms its own time only");
    let later = succeed(&later, "f", 61, 61_500);
    let kept: Vec<_> = later.entries().iter().map(|entry| entry.key.as_str()).collect();
    assert_eq!(kept, ["c", "e", "f"], "those of another clock stay until they are of the past");
}

#[test]
fn it_survives_being_written_and_read() {
    let (one, two) = (piece("v1", Some(1)), piece("v2", Some(2)));
    let mut history = tried(&tried(&History::default(), &one, 1, 3), &two, 2, 0);
    assert_eq!(History::decode(&history.encode()).unwrap(), history);
    history = history.begin(&two, Goal::TakeBack, false, attempt(3));
    history = history.begin(&piece("v3", None), Goal::Do, false, attempt(4));
    let tick = history.tick(Duration::from_secs(60), Moment::from_millis(7)).unwrap();
    history = history.begin(&tick, Goal::Do, false, attempt(5));
    assert_eq!(History::decode(&history.encode()).unwrap(), history);
    let small = tried(&History::default(), &piece("v4", None), 6, 0).encode();
    assert!(!small.contains("null") && !small.contains("failures"), "it is compact: {small}");
    assert_eq!(History::decode(r#"{"format":2,"keys":7}"#), Err(Unreadable::Format(2)));
    let forged = history.encode().replace("web-1", r"web\u001b[2J");
    let holders = History::decode(&forged).unwrap();
    let mut holders = holders.entries().iter().map(|entry| &entry.attempt.holder);
    assert!(holders.all(|holder| !holder.contains('\u{1b}')), "it may reach a terminal");
    for bad in ["", "{}", r#"{"format":1}"#, r#"{"format":1,"keys":[{"key":"a b"}]}"#] {
        assert_eq!(History::decode(bad), Err(Unreadable::Nonsense), "{bad}");
    }
}

#[test]
fn keys_and_works_are_texts_that_fit_on_a_line() {
    let good = "sha256:abc/def@v1";
    let work: WorkName = good.parse().unwrap();
    assert_eq!((key(good).as_str(), key(good).to_string().as_str()), (good, good));
    assert_eq!((work.as_str(), work.to_string().as_str()), (good, good));
    for bad in ["", "a b", "a\nb", "/", "/migrate", "v1/", &"x".repeat(256)] {
        assert!(bad.parse::<Key>().unwrap_err().to_string().contains("is not a key"));
        assert!(bad.parse::<WorkName>().is_err());
    }
}

/// Else it would lead and step down again and again.
#[test]
fn a_key_that_is_superseded_or_pauses_waits_without_the_lease() {
    let (one, two) = (piece("v1", Some(1)), piece("v2", Some(2)));
    let history = tried(&tried(&History::default(), &one, 1, 0), &two, 2, 0);
    let cut_off = history.begin(&one, Goal::TakeBack, false, attempt(3));
    let failed = tried(&History::default(), &one, 1, 1);
    let failed = failed.begin(&one, Goal::TakeBack, false, attempt(2));
    let now = Moment::from_millis(1_600);
    for leading in [false, true] {
        let look = Look { leading, now, ..DISTANT };
        let waits = decide(&cut_off, &one, &WAITS, &look);
        assert!(matches!(waits, Decision::Superseded(2, _)), "{leading}: {waits:?}");
        let pauses = decide(&failed, &one, &RULES, &look);
        assert!(matches!(pauses, Decision::Pause(..)), "{leading}: {pauses:?}");
    }
}
