//! One test for each promise of the elector, as a script of named situations.
//!
//! [`World`] is the candidate's surroundings: a clock that is moved by hand and a store of one
//! record whose answers the script can lose. Times are in milliseconds since the start, and the
//! timing is the default one: lease 15 s, renew deadline 10 s, retry period 2 s.

use super::*;

mod copied;

const CALL_TIMEOUT: u64 = 2_666;

fn at(ms: u64) -> BootTime {
    BootTime::from_duration(Duration::from_millis(ms))
}

fn candidate(identity: &str, incarnation: &str) -> Candidate {
    Candidate { identity: identity.to_owned(), incarnation: incarnation.to_owned() }
}

struct World {
    elector: Elector,
    now: BootTime,
    call: Option<Call>,
    wake_at: BootTime,
    finished: bool,
    record: Option<Observed>,
    writes: u64,
    /// What a store with a clock says about every record.
    remaining: Option<Duration>,
    /// How many incarnations were given out since the start.
    lives: u64,
    news: Vec<News>,
    renewals: Vec<Renewal>,
    /// Every call, with the time it was sent at.
    calls: Vec<(BootTime, Call)>,
}

impl World {
    /// A candidate that was just started on an empty store, and looks.
    fn new() -> Self {
        Self::on(None)
    }

    /// A candidate that was just started on a store with this record.
    fn on(record: Option<LeaseRecord>) -> Self {
        Self::seeded(7, record)
    }

    fn seeded(seed: u64, record: Option<LeaseRecord>) -> Self {
        let mut world = Self {
            elector: Elector::new(candidate("me", "1"), Timing::default(), seed),
            now: BootTime::ZERO,
            call: None,
            wake_at: BootTime::ZERO,
            finished: false,
            record: None,
            writes: 0,
            remaining: None,
            lives: 0,
            news: Vec::new(),
            renewals: Vec::new(),
            calls: Vec::new(),
        };
        if let Some(record) = record {
            world.somebody_writes(record);
        }
        world.send(Event::Wake);
        world
    }

    /// A candidate that leads under term 1 by a write sent at zero.
    fn leading() -> Self {
        let mut world = Self::new();
        world.run_until(0);
        assert!(world.leads());
        world.news.clear();
        world
    }

    /// A candidate that first saw a rival's record, of term 5, at zero.
    fn standby() -> Self {
        let mut world = Self::on(Some(rival(5)));
        world.store_answers();
        world.news.clear();
        world
    }

    /// One step of the elector, with what must be true of every step.
    fn send(&mut self, event: Event) {
        assert!(!self.finished, "a step after the end");
        let wall = WallTime::from_unix(self.now.as_duration());
        let mut step = self.elector.step(Now { boot: self.now, wall }, event);
        if self.elector.needs_incarnation() {
            let waits = matches!(step.action, Action::Wait { .. } | Action::Finished);
            assert!(waits, "a call without a name: {:?}", step.action);
            self.lives += 1;
            let incarnation = format!("of life {}", self.lives);
            let event = Event::Reborn { incarnation, seed: self.lives };
            let reborn = self.elector.step(Now { boot: self.now, wall }, event);
            step = Step { action: reborn.action, news: [step.news, reborn.news].concat() };
        }
        for news in step.news {
            match news {
                News::Renewal(renewal) => self.renewals.push(renewal),
                news => self.news.push(news),
            }
        }
        match step.action {
            Action::Wait { until } => {
                assert!(until > self.now, "it spins at {:?}", self.now);
                self.wake_at = until;
            }
            Action::Finished => self.finished = true,
            Action::Call(call) => {
                assert!(self.call.is_none(), "two calls at a time");
                let (Call::Observe { deadline } | Call::Swap { deadline, .. }) = &call;
                assert!(*deadline > self.now, "no time to answer");
                assert!(deadline.since(self.now) <= Timing::default().call_timeout());
                self.wake_at = *deadline;
                self.calls.push((self.now, call.clone()));
                self.call = Some(call);
            }
        }
    }

    fn deadline(&self) -> BootTime {
        match self.call.as_ref().expect("a call is under way") {
            Call::Observe { deadline } | Call::Swap { deadline, .. } => *deadline,
        }
    }

    /// Moves the clock and says so.
    fn wake_at(&mut self, ms: u64) {
        self.now = at(ms);
        self.send(Event::Wake);
    }

    /// Carries out the call under way, and gives its answer to the script.
    fn apply(&mut self) -> Event {
        match self.call.take().expect("a call is under way") {
            Call::Observe { .. } => Event::Observed(Ok(self.show())),
            Call::Swap { expected, record, .. } => {
                if self.record.as_ref().map(|o| &o.version) != expected.as_ref() {
                    return Event::Swapped(Ok(Swapped::Lost(self.show())));
                }
                Event::Swapped(Ok(Swapped::Won(self.somebody_writes(record))))
            }
        }
    }

    fn show(&self) -> Option<Observed> {
        self.record.clone().map(|o| Observed { remaining: self.remaining, ..o })
    }

    fn somebody_writes(&mut self, record: LeaseRecord) -> Version {
        self.writes += 1;
        let version = Version::new(self.writes.to_string());
        self.record =
            Some(Observed { record, version: version.clone(), remaining: None, outlived: false });
        version
    }

    /// The call under way is carried out and answered at once.
    fn store_answers(&mut self) {
        let answer = self.apply();
        self.send(answer);
    }

    /// The call under way is not carried out, and fails now.
    fn request_is_lost(&mut self) {
        let failed = match self.call.take().expect("a call is under way") {
            Call::Observe { .. } => Event::Observed(Err(CallFailed)),
            Call::Swap { .. } => Event::Swapped(Err(CallFailed)),
        };
        self.send(failed);
    }

    /// The call under way is carried out, but fails now.
    fn answer_is_lost(&mut self) {
        let failed = match self.apply() {
            Event::Observed(_) => Event::Observed(Err(CallFailed)),
            _ => Event::Swapped(Err(CallFailed)),
        };
        self.send(failed);
    }

    /// Time passes to `ms`, and the store answers everything at once.
    fn run_until(&mut self, ms: u64) {
        loop {
            if self.call.is_some() {
                self.store_answers();
            } else if !self.finished && self.wake_at <= at(ms) {
                self.now = self.now.max(self.wake_at);
                self.send(Event::Wake);
            } else {
                break;
            }
        }
        self.now = at(ms);
    }

    /// Time passes until the next call is sent. Returns when that was.
    fn run_until_asked(&mut self) -> BootTime {
        while self.call.is_none() {
            self.now = self.now.max(self.wake_at);
            self.send(Event::Wake);
        }
        self.now
    }

    /// Time passes to `ms`, and every call hangs until its deadline.
    fn run_without_store_until(&mut self, ms: u64) {
        while !self.finished && self.wake_at <= at(ms) {
            self.now = self.now.max(self.wake_at);
            if self.call.is_some() && self.now >= self.deadline() {
                self.request_is_lost();
            } else {
                self.send(Event::Wake);
            }
        }
        self.now = at(ms);
    }

    fn leads(&self) -> bool {
        self.elector.leadership().is_leading(self.now)
    }

    fn leads_at(&self, ms: u64) -> bool {
        self.elector.leadership().is_leading(at(ms))
    }

    fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    fn stored(&self) -> &LeaseRecord {
        &self.record.as_ref().expect("a record").record
    }

    fn looks(&self) -> bool {
        matches!(self.call, Some(Call::Observe { .. }))
    }

    /// What the swap under way would write.
    fn writes(&self) -> &LeaseRecord {
        match &self.call {
            Some(Call::Swap { record, .. }) => record,
            other => panic!("no swap is under way but {other:?}"),
        }
    }
}

fn held_by(holder: Candidate, term: u64) -> LeaseRecord {
    LeaseRecord {
        holder: Some(holder),
        term: Term::new(term),
        lease_duration: Duration::from_secs(15),
        acquire_time: WallTime::EPOCH,
        renew_time: WallTime::EPOCH,
        outcome: None,
        origin: None,
    }
}

fn rival(term: u64) -> LeaseRecord {
    held_by(candidate("rival", "9"), term)
}

fn vacated(term: u64) -> LeaseRecord {
    LeaseRecord { holder: None, ..rival(term) }
}

const LOST_BY_DEADLINE: News = News::Lost { term: Term::new(1), reason: LossReason::RenewDeadline };

// --- Gaining leadership -------------------------------------------------------------------------

#[test]
fn the_first_candidate_looks_then_acquires_term_one_and_leads() {
    let mut world = World::new();
    assert!(world.looks());
    world.store_answers();
    assert_eq!((world.writes().term, world.leads()), (Term::new(1), false));
    world.store_answers();
    assert!(world.leads());
    assert_eq!(world.take_news(), [News::Elected { term: Term::new(1) }]);
    assert!(world.elector.leadership().was_ever_decided());
}

#[test]
fn belief_counts_from_before_the_write_was_sent() {
    let mut world = World::new();
    world.store_answers();
    world.now = at(1_500);
    world.store_answers();
    assert!(world.leads_at(9_999));
    assert!(!world.leads_at(10_000), "1.5 s more would be counting from the reply");
}

#[test]
fn a_look_at_the_own_record_never_grants_belief() {
    let mut world = World::on(Some(vacated(3)));
    world.store_answers();
    world.answer_is_lost();
    world.run_until_asked();
    world.store_answers();
    assert!(!world.leads());
    assert_eq!(world.writes().term, Term::new(5), "it leads again only under a new term");
    assert_eq!(world.take_news(), []);
}

#[test]
fn a_restarted_process_does_not_take_itself_for_the_holder_it_was() {
    let mut world = World::on(Some(held_by(candidate("me", "earlier"), 4)));
    world.run_until(14_999);
    assert!(!world.leads());
    assert_eq!(world.elector.leadership().holder(world.now).unwrap().identity, "me");
    world.run_until(15_021);
    assert_eq!(world.take_news().last(), Some(&News::Elected { term: Term::new(5) }));
}

#[test]
fn an_acquisition_that_was_applied_unheard_is_looked_up_and_claimed_under_a_new_term() {
    let mut world = World::new();
    world.store_answers();
    world.answer_is_lost();
    assert_eq!((world.stored().term, world.leads()), (Term::new(1), false));
    world.run_until(600);
    assert!(matches!(world.calls[2].1, Call::Observe { .. }), "a look comes first");
    assert_eq!(world.take_news(), [News::Elected { term: Term::new(2) }]);
}

#[test]
fn an_acquisition_that_was_not_applied_is_looked_up_and_tried_again() {
    let mut world = World::new();
    world.store_answers();
    world.request_is_lost();
    world.run_until(600);
    assert!(matches!(world.calls[2].1, Call::Observe { .. }), "a look comes first");
    assert_eq!(world.take_news(), [News::Elected { term: Term::new(1) }]);
}

#[test]
fn an_acquisition_answered_after_the_renew_deadline_means_nothing() {
    let mut world = World::new();
    world.store_answers();
    world.now = at(10_000);
    world.store_answers();
    assert!(!world.leads());
    assert_eq!(world.take_news(), []);
    world.run_until(10_000);
    assert_eq!(world.take_news(), [News::Elected { term: Term::new(2) }]);
}

#[test]
fn a_lost_race_is_followed_not_fought() {
    let mut world = World::on(Some(vacated(3)));
    world.store_answers();
    world.somebody_writes(rival(4));
    world.store_answers();
    assert!(!world.leads());
    let following = News::Following { holder: "rival".to_owned(), term: Term::new(4) };
    assert_eq!(world.take_news(), [following]);
    assert!(world.call.is_none());
}

// --- Keeping it ---------------------------------------------------------------------------------

#[test]
fn a_leader_renews_once_a_retry_period_and_keeps_term_and_acquire_time() {
    let mut world = World::leading();
    let acquired = world.stored().acquire_time.to_string();
    world.run_until(60_000);
    assert!(world.leads());
    assert_eq!(world.take_news(), []);
    let renewals = &world.calls[2..];
    assert_eq!(renewals.len(), 30);
    for (k, (sent, call)) in (1..).zip(renewals) {
        assert_eq!(*sent, at(k * 2_000));
        assert!(matches!(call, Call::Swap { .. }), "a leader in peace has no need to look");
    }
    assert_eq!(world.stored().term, Term::new(1));
    assert_eq!(world.stored().acquire_time.to_string(), acquired);
    assert_ne!(world.stored().renew_time.to_string(), acquired);
}

#[test]
fn the_pace_of_renewals_does_not_drift_with_slow_answers() {
    let mut world = World::leading();
    world.wake_at(2_000);
    world.now = at(3_000);
    world.store_answers();
    assert_eq!(world.wake_at, at(4_000));
}

#[test]
fn a_renewal_that_was_applied_unheard_is_renewed_from_there_without_losing_belief() {
    let mut world = World::leading();
    world.wake_at(2_000);
    world.answer_is_lost();
    assert!(world.leads());
    assert!(!world.leads_at(10_000), "an unknown outcome prolongs nothing");
    world.run_until(2_700);
    assert!(matches!(world.calls[3].1, Call::Observe { .. }), "a look comes first");
    let Call::Swap { expected, record, .. } = &world.calls[4].1 else { panic!("no renewal") };
    assert_eq!((expected.as_ref().unwrap().as_str(), record.term), ("2", Term::new(1)));
    assert!(world.leads_at(12_500));
    assert_eq!(world.take_news(), []);
}

#[test]
fn a_renewal_that_was_not_applied_is_tried_again_in_time() {
    let mut world = World::leading();
    world.wake_at(2_000);
    world.run_without_store_until(2_000 + CALL_TIMEOUT + 1);
    world.run_until(8_000);
    assert!(world.leads_at(12_000));
    assert_eq!(world.take_news(), []);
}

#[test]
fn a_renewal_that_collides_with_an_own_late_write_goes_on_from_it() {
    let mut world = World::leading();
    let own = world.stored().clone();
    world.wake_at(2_000);
    world.request_is_lost();
    world.run_until(2_000);
    // The look shows the old version; the write that was given up is applied only now.
    world.now = at(2_700);
    world.send(Event::Wake);
    world.store_answers();
    world.somebody_writes(own);
    world.run_until(4_000);
    assert!(world.leads_at(12_000));
    assert_eq!(world.take_news(), []);
}

// --- Losing it ----------------------------------------------------------------------------------

#[test]
fn every_renewal_is_reported_once_and_none_on_time_while_all_is_well() {
    let mut world = World::leading();
    world.run_until(10_000);
    assert_eq!(world.renewals, [Renewal::OnTime; 5]);
    let mut standby = World::standby();
    standby.run_until(10_000);
    assert_eq!(standby.renewals, []);
}

#[test]
fn a_renewal_that_fails_at_once_and_is_repeated_is_failed_but_not_late() {
    let mut world = World::leading();
    world.wake_at(2_000);
    world.request_is_lost();
    world.run_until(3_000);
    assert_eq!(world.renewals, [Renewal::Failed, Renewal::OnTime]);
}

#[test]
fn a_renewal_that_follows_one_that_hung_is_late() {
    let mut world = World::leading();
    world.wake_at(2_000);
    world.run_without_store_until(2_000 + CALL_TIMEOUT + 1);
    world.run_until(6_000);
    assert_eq!(world.renewals, [Renewal::Failed, Renewal::Late]);
    world.run_until(8_000);
    assert_eq!(world.renewals.last(), Some(&Renewal::OnTime), "counted from the late one");
}

#[test]
fn a_renewal_that_is_sent_late_because_the_process_did_not_run_is_late() {
    let mut world = World::leading();
    world.wake_at(2_000 + CALL_TIMEOUT + 1);
    world.store_answers();
    assert_eq!((world.renewals.as_slice(), world.leads()), ([Renewal::Late].as_slice(), true));
}

#[test]
fn a_renewal_answered_after_the_renew_deadline_is_late() {
    let mut world = World::leading();
    world.wake_at(2_000);
    world.now = at(10_000);
    world.store_answers();
    assert_eq!((world.renewals.as_slice(), world.leads()), ([Renewal::Late].as_slice(), false));
}

#[test]
fn a_renewal_that_finds_another_holder_is_refused() {
    let mut world = World::leading();
    world.somebody_writes(rival(2));
    world.run_until(2_000);
    assert_eq!(world.renewals, [Renewal::Refused]);
}

#[test]
fn a_store_outage_demotes_by_the_deadline_and_the_candidate_rejoins_by_itself() {
    let mut world = World::leading();
    world.run_without_store_until(9_999);
    assert!(world.leads());
    assert_eq!(world.take_news(), []);
    world.run_without_store_until(10_000);
    assert!(!world.leads());
    world.run_without_store_until(120_000);
    assert_eq!(world.take_news(), [LOST_BY_DEADLINE]);
    world.run_until(124_000);
    assert_eq!(world.take_news(), [News::Elected { term: Term::new(2) }]);
}

#[test]
fn a_wake_that_comes_late_finds_the_answer_already_turned_to_no() {
    let mut world = World::leading();
    let published = world.elector.leadership();
    world.now = at(47_000);
    assert!(!published.is_leading(world.now), "nobody had to tell the readers");
    world.send(Event::Wake);
    assert_eq!(world.take_news(), [LOST_BY_DEADLINE]);
    assert!(world.looks());
    world.run_until(47_000);
    assert_eq!(world.take_news(), [News::Elected { term: Term::new(2) }]);
}

#[test]
fn a_renewal_answered_after_the_renew_deadline_does_not_revive_the_term() {
    let mut world = World::leading();
    world.wake_at(2_000);
    world.now = at(10_000);
    world.store_answers();
    assert!(!world.leads());
    world.run_until(10_000);
    assert_eq!(world.take_news(), [LOST_BY_DEADLINE, News::Elected { term: Term::new(2) }]);
}

#[test]
fn whoever_is_superseded_stops_at_once() {
    for record in [rival(2), vacated(1), held_by(candidate("me", "other"), 2)] {
        let mut world = World::leading();
        world.somebody_writes(record);
        world.wake_at(2_000);
        world.store_answers();
        assert!(!world.leads());
        assert_eq!(
            world.news[0],
            News::Lost { term: Term::new(1), reason: LossReason::Superseded }
        );
    }
}

#[test]
fn a_hint_lets_a_leader_see_that_it_is_superseded_before_the_next_renewal() {
    let mut world = World::leading();
    world.somebody_writes(rival(2));
    world.now = at(100);
    world.send(Event::Changed);
    assert!(world.looks());
    world.store_answers();
    assert!(!world.leads());
}

#[test]
fn a_record_that_vanished_ends_belief_and_is_written_anew_with_a_higher_term() {
    let mut world = World::leading();
    world.record = None;
    world.wake_at(2_000);
    world.store_answers();
    assert!(!world.leads());
    assert_eq!(
        world.take_news(),
        [News::Lost { term: Term::new(1), reason: LossReason::RecordGone }]
    );
    world.run_until(20_000);
    assert_eq!(world.take_news(), [News::Elected { term: Term::new(2) }]);
}

#[test]
fn a_term_that_went_backwards_is_reported_and_nobody_is_trusted_for_a_lease() {
    let mut world = World::standby();
    world.somebody_writes(vacated(2));
    world.now = at(1_000);
    world.send(Event::Changed);
    world.store_answers();
    assert_eq!(
        world.take_news(),
        [News::TermWentBackwards { seen: Term::new(5), record: Term::new(2) }]
    );
    world.run_until(15_999);
    assert_eq!(world.take_news(), []);
    world.run_until(16_021);
    assert_eq!(world.take_news(), [News::Elected { term: Term::new(6) }]);
}

// --- Standing by --------------------------------------------------------------------------------

#[test]
fn a_standby_takes_over_at_the_end_of_the_lease_and_not_before() {
    let mut world = World::standby();
    world.run_until(14_999);
    assert_eq!(world.stored().term, Term::new(5));
    assert_eq!(world.elector.leadership().holder(at(14_999)).unwrap().identity, "rival");
    assert!(world.elector.leadership().holder(at(15_000)).is_none());
    world.run_until(15_021);
    assert_eq!(world.take_news(), [News::Elected { term: Term::new(6) }]);
}

#[test]
fn a_standby_waits_for_the_lease_in_the_record_not_for_its_own() {
    for seconds in [5, 60] {
        let lease_duration = Duration::from_secs(seconds);
        let mut world = World::on(Some(LeaseRecord { lease_duration, ..rival(5) }));
        world.run_until(seconds * 1_000 - 1);
        assert_eq!(world.stored().term, Term::new(5));
        world.run_until(seconds * 1_000 + 21);
        assert!(world.leads());
    }
}

#[test]
fn a_renewal_by_the_holder_starts_the_wait_anew() {
    let mut world = World::standby();
    world.run_until(13_900);
    world.somebody_writes(rival(5));
    world.run_until(28_900);
    assert!(!world.leads());
    world.run_until(31_000);
    assert!(world.leads());
}

#[test]
fn a_lease_that_the_store_says_is_over_is_taken_at_once() {
    let mut world = World::on(Some(rival(5)));
    world.remaining = Some(Duration::ZERO);
    world.run_until(0);
    assert_eq!(world.take_news().last(), Some(&News::Elected { term: Term::new(6) }));
}

#[test]
fn a_vacated_lease_is_taken_as_soon_as_a_hint_arrives() {
    let mut world = World::standby();
    world.somebody_writes(vacated(5));
    world.now = at(500);
    world.send(Event::Changed);
    world.run_until(500);
    assert_eq!(world.take_news(), [News::Elected { term: Term::new(6) }]);
}

#[test]
fn a_standby_looks_once_a_retry_period_and_never_writes() {
    let mut world = World::standby();
    world.remaining = Some(Duration::from_secs(15));
    for k in 1..=15 {
        world.somebody_writes(rival(5));
        world.run_until(k * 2_000);
    }
    assert!((14..=16).contains(&world.calls.len()), "{} looks", world.calls.len());
    assert!(world.calls.iter().all(|(_, call)| matches!(call, Call::Observe { .. })));
    assert_eq!(world.take_news(), [], "a holder that renews is no news");
}

/// A lease that is vacated just after a look was answered is taken within a retry period.
#[test]
fn a_standby_looks_again_a_retry_period_after_it_asked_however_late_the_answer() {
    let mut world = World::standby();
    world.remaining = Some(Duration::from_secs(15));
    for k in 1..=8 {
        world.somebody_writes(rival(5));
        let looked = world.run_until_asked();
        if k > 1 {
            let period = looked.since(world.calls[world.calls.len() - 2].0);
            assert_eq!(period, Duration::from_secs(2), "look {k}");
        }
        world.now = looked + Duration::from_millis(700);
        world.store_answers();
    }
}

#[test]
fn candidates_that_saw_the_same_hand_over_look_at_different_times_ever_after() {
    let looks = |seed| {
        let mut world = World::seeded(seed, Some(rival(5)));
        world.store_answers();
        world.remaining = Some(Duration::from_secs(15));
        let first = world.run_until_asked();
        world.store_answers();
        (first, world.run_until_asked().since(first))
    };
    let all: Vec<_> = (1..=20).map(looks).collect();
    assert!(all.iter().all(|(first, _)| *first <= at(2_000)));
    assert!(all.iter().all(|(_, period)| *period == Duration::from_secs(2)));
    let in_half = |half: u64| all.iter().filter(|(first, _)| *first <= at(half)).count();
    assert!((4..=16).contains(&in_half(1_000)), "{all:?}");
}

// --- Stepping down ------------------------------------------------------------------------------

#[test]
fn resigning_says_no_at_once_then_vacates_then_stays_down_for_the_cooldown() {
    let mut world = World::leading();
    world.now = at(1_000);
    world.send(Event::Resign { cooldown: Duration::from_secs(30) });
    assert!(!world.leads());
    assert_eq!((&world.writes().holder, world.writes().term), (&None, Term::new(1)));
    world.now = at(1_400);
    world.store_answers();
    let lost = News::Lost { term: Term::new(1), reason: LossReason::Resigned };
    assert_eq!(world.take_news(), [lost, News::Vacated { term: Term::new(1) }]);
    world.run_until(31_399);
    assert_eq!(world.take_news(), [], "the cooldown counts from the vacating");
    world.run_until(31_421);
    assert_eq!(world.take_news(), [News::Elected { term: Term::new(2) }]);
}

#[test]
fn resigning_without_a_cooldown_still_gives_up_the_term() {
    let mut world = World::leading();
    world.send(Event::Resign { cooldown: Duration::ZERO });
    assert!(!world.leads());
    assert_eq!(world.writes().holder, None);
    world.run_until(21);
    let lost = News::Lost { term: Term::new(1), reason: LossReason::Resigned };
    assert_eq!(
        world.take_news(),
        [lost, News::Vacated { term: Term::new(1) }, News::Elected { term: Term::new(2) }],
        "with nobody else there it leads again, under a new term"
    );
}

#[test]
fn resigning_waits_for_work_and_keeps_the_lease_meanwhile() {
    let mut world = World::leading();
    world.send(Event::Work { under_way: true });
    world.now = at(1_000);
    world.send(Event::Resign { cooldown: Duration::from_secs(1) });
    assert!(!world.leads());
    world.run_until(9_000);
    assert!(!world.leads());
    assert!(world.stored().is_held_by(&candidate("me", "1")));
    assert_eq!(world.stored().renew_time.to_string(), "1970-01-01T00:00:08.000Z");
    world.send(Event::Work { under_way: false });
    assert_eq!(world.writes().holder, None);
    world.store_answers();
    assert_eq!(world.take_news().last(), Some(&News::Vacated { term: Term::new(1) }));
    world.run_until(9_999);
    assert!(world.stored().holder.is_none());
}

#[test]
fn work_that_does_not_end_is_left_to_the_end_of_the_lease() {
    let mut world = World::leading();
    world.send(Event::Work { under_way: true });
    world.send(Event::Overdue);
    assert!(world.leads(), "nothing had to end");
    world.now = at(1_000);
    world.send(Event::Resign { cooldown: Duration::from_secs(60) });
    world.run_until(5_000);
    let renewed = world.stored().renew_time.to_string();
    assert_ne!(renewed, "1970-01-01T00:00:00.000Z", "renewed for the work");
    world.send(Event::Overdue);
    world.run_until(30_000);
    assert!(world.stored().is_held_by(&candidate("me", "1")), "not vacated under the work");
    assert_eq!(world.stored().renew_time.to_string(), renewed, "not renewed either");
    world.send(Event::Work { under_way: false });
    world.run_until(50_000);
    assert!(world.stored().is_held_by(&candidate("me", "1")), "it has run out: nothing to free");
    world.run_until(120_000);
    assert_eq!(world.stored().term, Term::new(2), "it stands again, under a new term");
}

#[test]
fn work_that_ends_late_but_within_the_lease_frees_it() {
    let mut world = World::leading();
    world.send(Event::Work { under_way: true });
    world.send(Event::Resign { cooldown: Duration::from_secs(60) });
    world.send(Event::Overdue);
    world.run_until(12_000);
    assert!(world.stored().is_held_by(&candidate("me", "1")));
    world.send(Event::Work { under_way: false });
    world.store_answers();
    assert_eq!(world.take_news().last(), Some(&News::Vacated { term: Term::new(1) }));
}

#[test]
fn a_shutdown_leaves_when_a_lease_that_runs_out_has_nothing_to_wait_for() {
    let mut world = World::leading();
    world.send(Event::Work { under_way: true });
    world.send(shutdown(60_000));
    world.send(Event::Overdue);
    world.run_until(20_000);
    assert!(!world.finished, "the work may still end");
    world.send(Event::Work { under_way: false });
    assert!(world.finished && world.stored().holder.is_some());
}

#[test]
fn a_vacate_that_was_not_applied_is_repeated() {
    let mut world = World::leading();
    world.send(Event::Resign { cooldown: Duration::from_secs(30) });
    world.request_is_lost();
    world.run_until(700);
    assert!(world.stored().holder.is_none());
    assert_eq!(world.take_news().last(), Some(&News::Vacated { term: Term::new(1) }));
}

#[test]
fn a_closed_gate_steps_down_and_an_open_one_stands_again_at_once() {
    let mut world = World::leading();
    world.send(Event::Gate { open: false });
    assert!(!world.leads());
    world.run_until(0);
    let lost = News::Lost { term: Term::new(1), reason: LossReason::GateClosed };
    assert_eq!(world.take_news(), [lost, News::Vacated { term: Term::new(1) }]);
    world.run_until(60_000);
    assert_eq!(world.take_news(), []);
    assert!(world.elector.leadership().standing_down(world.now).is_some());
    world.send(Event::Gate { open: true });
    world.run_until(60_000);
    assert_eq!(world.take_news(), [News::Elected { term: Term::new(2) }]);
}

#[test]
fn behind_a_gate_that_never_opened_a_candidate_looks_and_does_not_stand() {
    let mut world = World::new();
    world.elector = world.elector.clone().behind_gate();
    world.run_until(60_000);
    assert_eq!(world.take_news(), []);
    assert!(world.record.is_none() && !world.calls.is_empty());
    assert_eq!(world.elector.leadership().standing_down(world.now), Some(StandingDown::GateClosed));
    world.send(Event::Gate { open: true });
    world.run_until(60_000);
    assert_eq!(world.take_news(), [News::Elected { term: Term::new(1) }]);
}

#[test]
fn a_candidate_asked_to_step_down_while_it_acquires_frees_the_lease_and_never_leads() {
    let mut world = World::new();
    world.store_answers();
    world.send(Event::Gate { open: false });
    world.store_answers();
    assert!(!world.leads());
    assert_eq!(world.writes().holder, None);
    world.store_answers();
    assert_eq!(world.take_news(), [News::Vacated { term: Term::new(1) }]);
}

// --- Shutting down ------------------------------------------------------------------------------

fn shutdown(give_up_at: u64) -> Event {
    Event::Shutdown { give_up_at: at(give_up_at) }
}

#[test]
fn shutting_down_says_no_at_once_then_vacates_then_leaves() {
    let mut world = World::leading();
    world.send(shutdown(20_000));
    assert!(!world.leads());
    assert_eq!(world.writes().holder, None);
    world.store_answers();
    assert!(world.finished);
    assert_eq!(world.take_news().last(), Some(&News::Vacated { term: Term::new(1) }));
}

#[test]
fn shutting_down_waits_for_work() {
    let mut world = World::leading();
    world.send(Event::Work { under_way: true });
    world.send(shutdown(20_000));
    world.run_until(12_000);
    assert!(!world.finished && world.stored().holder.is_some());
    world.send(Event::Work { under_way: false });
    world.store_answers();
    assert!(world.finished && world.stored().holder.is_none());
}

#[test]
fn shutting_down_under_work_that_never_ends_gives_up_and_leaves_the_lease_to_run_out() {
    let mut world = World::leading();
    world.send(Event::Work { under_way: true });
    world.send(shutdown(20_000));
    world.run_until(19_999);
    assert!(!world.finished);
    world.run_until(20_000);
    assert!(world.finished && world.stored().holder.is_some());
}

#[test]
fn a_second_shutdown_can_only_shorten_the_first() {
    let mut world = World::leading();
    world.send(Event::Work { under_way: true });
    world.send(shutdown(5_000));
    world.send(shutdown(60_000));
    world.run_until(5_000);
    assert!(world.finished);
}

#[test]
fn a_store_that_hangs_cannot_hang_a_shutdown() {
    let mut world = World::leading();
    world.send(shutdown(20_000));
    world.run_without_store_until(CALL_TIMEOUT + 1);
    assert!(world.finished);

    let mut world = World::leading();
    world.wake_at(2_000);
    world.send(shutdown(60_000));
    world.run_without_store_until(2_000 + 2 * CALL_TIMEOUT + 2_000);
    assert!(world.finished, "also when a renewal hung before");
}

#[test]
fn a_shutdown_looks_up_an_unknown_acquisition_and_frees_it() {
    let mut world = World::new();
    world.store_answers();
    world.send(shutdown(20_000));
    assert!(!world.finished, "the acquisition may be applied");
    world.answer_is_lost();
    world.run_until(700);
    assert!(world.finished && world.stored().holder.is_none());
}

#[test]
fn a_standby_shuts_down_at_once() {
    let mut world = World::standby();
    world.send(shutdown(20_000));
    assert!(world.finished);
}

// --- Behaving towards the store -----------------------------------------------------------------

#[test]
fn failed_calls_are_repeated_ever_more_slowly_up_to_the_retry_period() {
    let mut world = World::new();
    for (at_least, at_most) in [(500, 600), (1_000, 1_200), (2_000, 2_400), (2_000, 2_400)] {
        let failed_at = world.now;
        world.request_is_lost();
        while !world.looks() {
            world.now = world.wake_at;
            world.send(Event::Wake);
        }
        let waited = world.now.since(failed_at).as_millis();
        assert!((at_least..=at_most).contains(&waited), "{waited} ms");
    }
}

#[test]
fn looks_that_only_clear_up_after_failed_writes_do_not_reset_the_backoff() {
    let mut world = World::new();
    while world.now < at(60_000) {
        if world.looks() {
            world.store_answers();
        } else if world.call.is_some() {
            world.request_is_lost();
        } else {
            world.now = world.wake_at;
            world.send(Event::Wake);
        }
    }
    assert!(world.calls.len() < 70, "{} calls in 60 s", world.calls.len());
}

#[test]
fn a_flood_of_hints_causes_few_looks_and_keeps_no_leader_from_renewing() {
    let mut world = World::leading();
    for ms in 1..=20_000 {
        world.now = at(ms);
        world.send(Event::Changed);
        if world.call.is_some() {
            world.store_answers();
        }
    }
    assert!(world.leads());
    assert_eq!(world.take_news(), []);
    let swaps = world.calls.iter().filter(|(_, call)| matches!(call, Call::Swap { .. })).count();
    assert_eq!(swaps, 11);
    assert!(world.calls.len() <= 20_000 / 5 + 12, "{} calls", world.calls.len());
}

#[test]
fn news_of_a_vacated_lease_is_acted_upon_without_a_look() {
    let mut world = World::standby();
    let freed = world.somebody_writes(vacated(5));
    world.now = at(1_000);
    world.send(Event::Vacated { term: Term::new(5), version: freed.clone() });
    assert_eq!(world.writes().term, Term::new(6));
    let Some(Call::Swap { expected, .. }) = &world.call else { panic!("it claims") };
    assert_eq!(expected.as_ref(), Some(&freed));
    world.store_answers();
    assert!(world.leads());
}

#[test]
fn false_news_of_a_vacated_lease_costs_a_refused_swap() {
    let mut world = World::standby();
    world.now = at(1_000);
    world.send(Event::Vacated { term: Term::new(5), version: Version::new("never") });
    world.store_answers();
    assert!(!world.leads());
    assert_eq!(world.record.as_ref().map(|o| o.record.term), Some(Term::new(5)), "it is as it was");
    world.run_until(14_999);
    assert_eq!(
        world.take_news(),
        [News::Following { holder: "rival".to_owned(), term: Term::new(5) }]
    );
}

#[test]
fn news_of_a_vacated_lease_is_looked_into_by_whoever_cannot_judge_it() {
    // A leader; a candidate whose call is under way; one that does not know what it last wrote.
    let news = || Event::Vacated { term: Term::new(5), version: Version::new("freed") };
    let mut leader = World::leading();
    leader.now = at(100);
    leader.send(news());
    assert!(leader.leads());
    assert!(matches!(leader.call, Some(Call::Observe { .. })));

    let mut looking = World::on(Some(rival(5)));
    looking.send(news());
    looking.store_answers();
    assert!(!looking.leads() && looking.call.is_none());
    looking.run_until(20);
    assert_eq!(looking.calls.len(), 2, "another look, because of the news");

    let mut unsure = World::on(None);
    unsure.store_answers();
    unsure.answer_is_lost();
    unsure.wake_at(1_000);
    unsure.send(Event::Vacated { term: Term::new(1), version: Version::new("freed") });
    assert!(matches!(unsure.call, Some(Call::Observe { .. })), "{:?}", unsure.call);
}

#[test]
fn hints_are_no_reason_to_ask_a_failing_store_sooner() {
    let mut world = World::standby();
    world.now = at(1_000);
    world.send(Event::Changed);
    world.request_is_lost();
    for ms in 1_001..1_500 {
        world.now = at(ms);
        world.send(Event::Changed);
        assert!(world.call.is_none());
    }
}

/// [`World::send`] checks every step; here it is sent everything, in any order, at any time.
#[test]
fn whatever_happens_it_never_spins_and_every_call_is_bounded() {
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..300 {
        let mut world = World::new();
        for _ in 0..300 {
            if world.finished {
                break;
            }
            match random.u32(0..16) {
                0 if random.bool() => world.send(Event::Changed),
                0 => {
                    let (term, version) =
                        (Term::new(random.u64(1..9)), random.u64(0..50).to_string());
                    world.send(Event::Vacated { term, version: Version::new(version) });
                }
                1 => world.send(Event::Gate { open: random.bool() }),
                2 => {
                    let cooldown = Duration::from_millis(random.u64(0..5_000));
                    world.send(Event::Resign { cooldown });
                }
                3 => world.send(Event::Work { under_way: random.bool() }),
                4 if random.u8(..) < 8 => {
                    let give_up_at = world.now + Duration::from_millis(random.u64(0..30_000));
                    world.send(Event::Shutdown { give_up_at });
                }
                5 => {
                    world.somebody_writes(rival(random.u64(1..9)));
                }
                6 => world.now = world.now + Duration::from_millis(random.u64(0..20_000)),
                7 if world.call.is_some() => world.request_is_lost(),
                8 if world.call.is_some() => world.answer_is_lost(),
                _ if world.call.is_some() => {
                    world.now = world.now + Duration::from_millis(random.u64(0..3));
                    world.store_answers();
                }
                _ => {
                    world.now = world.now.max(world.wake_at);
                    world.send(Event::Wake);
                }
            }
        }
    }
}

#[test]
fn a_new_term_does_not_begin_beside_work_of_the_old_one() {
    let mut world = World::leading();
    world.send(Event::Work { under_way: true });
    world.run_without_store_until(20_000);
    assert_eq!(world.take_news(), [LOST_BY_DEADLINE]);
    world.run_until(30_000);
    assert!(!world.leads(), "the store is back, the work is not gone");
    world.send(Event::Work { under_way: false });
    world.run_until(30_050);
    assert_eq!(world.take_news(), [News::Elected { term: Term::new(2) }]);
}

// --- Work that is done once ---------------------------------------------------------------------

fn outcome(succeeded: bool, attempts: u32) -> Box<Outcome> {
    Box::new(Outcome {
        succeeded,
        exit_code: if succeeded { 0 } else { 9 },
        holder: "somebody".to_owned(),
        term: Term::new(4),
        started: "then".to_owned(),
        finished: "now".to_owned(),
        attempts,
        stderr: None,
    })
}

impl World {
    /// A candidate for work that may fail three times, on a store with this record.
    fn once_on(record: LeaseRecord) -> Self {
        let mut world = Self::on(Some(record));
        world.elector = Elector::new(candidate("me", "1"), Timing::default(), 7).once(3);
        world.call = None;
        world.send(Event::Wake);
        world
    }

    fn finish(&mut self, succeeded: bool) {
        self.send(Event::Finish { outcome: outcome(succeeded, 0) });
    }
}

#[test]
fn an_outcome_is_written_by_the_write_that_vacates_and_belief_ends_before() {
    let mut world = World::leading();
    world.finish(true);
    assert!(!world.leads());
    let written = world.writes();
    assert!(written.holder.is_none());
    let outcome = written.outcome.as_ref().unwrap();
    assert_eq!((outcome.succeeded, outcome.term, outcome.attempts), (true, Term::new(1), 1));
    world.store_answers();
    assert_eq!(world.elector.leadership().outcome.unwrap().attempts, 1);
}

#[test]
fn nobody_stands_for_work_that_is_done_or_has_failed_for_good() {
    for (last, goes_on) in
        [(outcome(true, 1), false), (outcome(false, 3), false), (outcome(false, 2), true)]
    {
        let mut world = World::once_on(LeaseRecord { outcome: Some(last), ..vacated(4) });
        world.run_until(60_000);
        assert_eq!(world.leads(), goes_on);
    }
}

#[test]
fn attempts_are_counted_through_the_terms() {
    let mut world = World::once_on(LeaseRecord { outcome: Some(outcome(false, 1)), ..vacated(4) });
    world.run_until(30);
    assert_eq!(
        world.stored().outcome.as_ref().unwrap().attempts,
        1,
        "kept while it is tried again"
    );
    world.finish(false);
    let written = world.writes().outcome.clone().unwrap();
    assert_eq!((written.attempts, written.term), (2, Term::new(5)));
}

#[test]
fn work_in_flight_keeps_the_outcome_waiting_like_any_vacating() {
    let mut world = World::leading();
    world.send(Event::Work { under_way: true });
    world.finish(true);
    assert!(world.call.is_none());
    world.send(Event::Work { under_way: false });
    assert!(world.writes().outcome.is_some());
}

#[test]
fn an_outcome_is_written_after_a_lapse_if_the_record_is_still_the_own_one() {
    let mut world = World::leading();
    world.run_without_store_until(11_000);
    world.finish(true);
    world.run_until(40_000);
    let outcome = world.stored().outcome.as_ref().unwrap();
    assert_eq!((outcome.succeeded, outcome.term), (true, Term::new(1)), "before it stood again");
}

#[test]
fn an_outcome_whose_write_got_no_answer_is_looked_up_and_written_once() {
    for applied in [true, false] {
        let mut world = World::leading();
        world.finish(true);
        if applied {
            world.answer_is_lost()
        } else {
            world.request_is_lost()
        }
        world.run_until(20_000);
        assert_eq!(world.stored().outcome.as_ref().unwrap().attempts, 1, "applied: {applied}");
    }
}

#[test]
fn an_outcome_that_the_store_does_not_take_is_tried_until_the_lease_ends() {
    for answers_again in [true, false] {
        let mut world = World::leading();
        world.finish(true);
        // Over long before the lease, which ends at 15 s; so is the time of one call.
        world.send(shutdown(1_000));
        world.run_without_store_until(14_000);
        assert!(!world.finished, "the work would be done once more");
        if answers_again {
            world.run_until(15_000);
            assert!(world.stored().outcome.as_ref().is_some_and(|outcome| outcome.succeeded));
        } else {
            world.run_without_store_until(15_000);
            let (term, _) = world.elector.left_to_run_out().unwrap();
            assert_eq!(term, Term::new(1));
        }
        assert!(world.finished);
        let calls = world.calls.len();
        assert!(calls < 30, "{calls} calls");
    }
}

#[test]
fn an_outcome_is_dropped_when_somebody_else_took_over() {
    let mut world = World::leading();
    world.run_without_store_until(11_000);
    world.somebody_writes(rival(2));
    world.finish(true);
    world.run_until(24_000);
    assert!(world.stored().outcome.is_none());
    assert!(world.stored().holder.is_some(), "the other one is left alone");
}

#[test]
fn a_record_of_another_environment_is_reported_once() {
    let origin = |text: &str| Origin::new(text).unwrap();
    let (staging, prod) = (origin("Kubernetes namespace staging"), origin("ECS cluster prod"));
    let of = |origin: Option<&Origin>, term| LeaseRecord { origin: origin.cloned(), ..rival(term) };
    let met = |own: Option<&Origin>, records: [LeaseRecord; 2]| {
        let [first, second] = records;
        let mut world = World::on(Some(first));
        world.elector = Elector::new(candidate("me", "1"), Timing::default(), 7);
        world.elector = world.elector.clone().running_in(own.cloned());
        world.call = None;
        world.send(Event::Wake);
        world.store_answers();
        world.somebody_writes(second);
        world.run_until(10_000);
        let is_stranger = |news: &News| matches!(news, News::Stranger { .. });
        world.take_news().into_iter().filter(is_stranger).collect::<Vec<_>>()
    };
    let stranger = News::Stranger { origin: prod.clone(), own: staging.clone() };
    let own = Some(&staging);
    assert_eq!(met(own, [of(Some(&prod), 4), of(Some(&prod), 5)]), std::slice::from_ref(&stranger));
    assert_eq!(met(own, [of(own, 4), of(Some(&prod), 5)]), [stranger]);
    assert_eq!(met(own, [of(own, 4), of(None, 5)]), []);
    assert_eq!(met(None, [of(own, 4), of(Some(&prod), 5)]), []);
}

#[test]
fn work_whose_end_is_learned_while_the_next_term_is_acquired_is_not_begun_again() {
    for record in [Some(vacated(4)), None] {
        let mut world = World::leading();
        world.run_without_store_until(11_000);
        world.somebody_writes(record.unwrap_or_else(|| held_by(candidate("me", "1"), 1)));
        while !matches!(&world.call, Some(Call::Swap { .. })) {
            if world.call.is_some() {
                world.store_answers()
            } else {
                world.run_until_asked();
            }
        }
        let term = world.writes().term;
        world.finish(true);
        world.store_answers();
        assert!(!world.leads(), "the work is done");
        let written = world.writes();
        assert_eq!((&written.holder, written.term), (&None, term));
        assert!(written.outcome.as_ref().unwrap().succeeded);
        assert!(!world.news.contains(&News::Elected { term }));
    }
}

#[test]
fn nobody_stands_again_before_the_outcome_of_the_last_attempt_is_written() {
    let mut world = World::leading();
    world.run_without_store_until(11_000);
    world.finish(false);
    while world.stored().outcome.is_none() {
        if world.call.is_some() {
            if let Some(Call::Swap { record, .. }) = &world.call {
                assert_eq!(record.holder, None, "it stands before the outcome is written");
            }
            world.store_answers();
        } else {
            world.run_until_asked();
        }
    }
    world.run_until(60_000);
    assert_eq!(world.stored().outcome.as_ref().unwrap().attempts, 1);
    assert!(world.leads(), "and then again");
}
