//! Mistakes in the election itself.

use super::{Mutant, edit};

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "belief is counted from the reply",
        edits: &[
            edit(
                "election/elector.rs",
                "Some(held) => held.sent_at = sent_at,",
                "Some(held) => held.sent_at = now,",
            ),
            edit(
                "election/elector.rs",
                "let held = Held { term, sent_at };",
                "let held = Held { term, sent_at: now };",
            ),
        ],
        breaks: "I1 one believer",
    },
    Mutant {
        name: "readers see a flag instead of a deadline",
        edits: &[edit(
            "election/leadership.rs",
            "self.own.as_ref().filter(|own| now < own.until)",
            "self.own.as_ref().filter(|_| now == now)",
        )],
        breaks: "I1 one believer",
    },
    Mutant {
        name: "an unknown outcome is taken for a success",
        edits: &[edit(
            "election/elector.rs",
            "let Ok(swapped) = answer else {
            self.calls.unsure = true;
            self.name.swap_failed();
            return self.call_failed(now, sent);
        };",
            "let swapped = answer.unwrap_or_else(|_| Swapped::Won(crate::election::lease::Version::new(\"assumed\")));",
        )],
        breaks: "I1 one believer",
    },
    Mutant {
        name: "a rival waits for its own lease duration",
        edits: &[edit(
            "election/elector.rs",
            "self.learn(now, sent.at, observed);
        self.shown",
            "let mut observed = observed;
        if let Some(observed) = &mut observed {
            observed.record.lease_duration = self.timing.lease_duration();
        }
        self.learn(now, sent.at, observed);
        self.shown",
        )],
        breaks: "I1 one believer",
    },
    Mutant {
        name: "a rival counts from when it sent its look",
        edits: &[edit("election/watch.rs", "first_received: received,", "first_received: sent,")],
        breaks: "I1 one believer",
    },
    Mutant {
        name: "a stepped store clock overrules what was seen",
        edits: &[edit(
            "election/watch.rs",
            ".max(seen.not_before).min(seen.watched())",
            ".min(seen.watched())",
        )],
        breaks: "I1 one believer",
    },
    Mutant {
        name: "a stepped store clock overrules what was seen seldom",
        edits: &[edit(
            "election/watch.rs",
            "received + longest_belief(next.lease_duration())",
            "received + longest_belief(Duration::ZERO)",
        )],
        breaks: "I1 one believer",
    },
    Mutant {
        name: "a record that vanished is ignored",
        edits: &[edit("election/watch.rs", "= vanished || went_backwards", "= went_backwards")],
        breaks: "I1 one believer",
    },
    Mutant {
        name: "a term that went backwards is ignored",
        edits: &[edit(
            "election/watch.rs",
            "let went_backwards = !vanished && term < self.highest_term;",
            "let went_backwards = false;",
        )],
        breaks: "I1 one believer",
    },
    Mutant {
        name: "after lost writes a rival waits for the restored lease only",
        edits: &[edit(
            "election/watch.rs",
            "let lease = next.lease_duration().max(last.lease_duration());",
            "let lease = next.lease_duration();",
        )],
        breaks: "I1 one believer",
    },
    Mutant {
        name: "after lost writes a rival counts from the last look before",
        edits: &[edit(
            "election/watch.rs",
            "self.distrusted_until.max(received + lease)",
            "self.distrusted_until.max(last.last_sent + lease)",
        )],
        breaks: "I1 one believer",
    },
    Mutant {
        name: "no margin for clock rates",
        edits: &[edit(
            "election/timing.rs",
            "const LONGEST_RENEW_DEADLINE: f64 = 0.8;",
            "const LONGEST_RENEW_DEADLINE: f64 = 1.0;",
        )],
        breaks: "I1 one believer",
    },
    Mutant {
        name: "a look at the own record grants belief",
        edits: &[edit(
            "election/elector.rs",
            "let term = observed.as_ref().map_or(Term::ZERO, |o| o.record.term);
        let last = self.watch",
            "if let Some(own) = observed.as_ref().filter(|o| o.record.is_held_by(self.me()))
            && !self.lease.is_held()
        {
            self.lease = Lease::Leading(Held { term: own.record.term, sent_at });
        }
        let term = observed.as_ref().map_or(Term::ZERO, |o| o.record.term);
        let last = self.watch",
        )],
        breaks: "I2 terms grow",
    },
    Mutant {
        name: "the own record is claimed again under its old term",
        edits: &[edit(
            "election/elector.rs",
            "term: self.watch.next_term(),",
            "term: Term::new(
                    self.watch.next_term().get()
                        - u64::from(
                            self.watch
                                .observed()
                                .is_some_and(|o| o.record.holder.as_ref() == Some(self.me())),
                        ),
                ),",
        )],
        breaks: "I2 terms grow",
    },
    Mutant {
        name: "a late renewal revives a lapsed term",
        edits: &[edit("election/elector.rs", "now >= *until", "now > now.max(*until)")],
        breaks: "I2 terms grow",
    },
    Mutant {
        name: "a candidate never looks again after a failed swap",
        edits: &[edit(
            "election/elector.rs",
            "self.calls.unsure = true;
            self.name.swap_failed();
            return self.call_failed(now, sent);",
            "self.calls.send(InFlight::Look, sent_at);
            return;",
        )],
        breaks: "I3 a leader exists",
    },
    Mutant {
        name: "a standby names a dead holder",
        edits: &[edit(
            "election/leadership.rs",
            "self.rival.as_ref().filter(|rival| now < rival.live_until)",
            "self.rival.as_ref()",
        )],
        breaks: "I4 no dead holder is named",
    },
    Mutant {
        name: "work is killed only at the end of the lease",
        edits: &[edit(
            "election/timing.rs",
            "(self.lease_duration - self.renew_deadline) / 2",
            "(self.lease_duration - self.renew_deadline)",
        )],
        breaks: "I5 no old work",
    },
    Mutant {
        name: "a restarted process takes itself for the holder it was",
        edits: &[edit(
            "election/lease.rs",
            "self.holder.as_ref() == Some(candidate)",
            "self.holder.as_ref().is_some_and(|holder| holder.identity == candidate.identity)",
        )],
        breaks: "I5 no old work",
    },
    Mutant {
        name: "a new term begins beside work of the old one",
        edits: &[edit(
            "election/elector.rs",
            "!self.work_under_way && self.down_at(now).is_none()",
            "self.down_at(now).is_none()",
        )],
        breaks: "I5 no old work",
    },
    Mutant {
        name: "the lease of overdue work is kept, and vacated under it",
        edits: &[edit(
            "election/elector.rs",
            "Event::Overdue => self.let_run_out(now),",
            "Event::Overdue => {}",
        )],
        breaks: "I6 vacated last",
    },
    Mutant {
        name: "a lease that ran out under work whose end was not seen is vacated",
        edits: &[edit(
            "election/elector.rs",
            "is_some_and(|term| !self.lease.runs_out(term))",
            "is_some_and(|term| true || !self.lease.runs_out(term))",
        )],
        breaks: "I6 vacated last",
    },
    Mutant {
        name: "the record is vacated under work",
        edits: &[edit(
            "election/elector.rs",
            "stepping_down && !self.work_under_way && (",
            "stepping_down && (",
        )],
        breaks: "I6 vacated last",
    },
    Mutant {
        name: "the record is vacated before belief ends",
        edits: &[edit(
            "election/elector.rs",
            "Lease::Draining(held) => (None, tenure(held)),",
            "Lease::Draining(held) => (tenure(held), None),",
        )],
        breaks: "I6 vacated last",
    },
    Mutant {
        name: "failed calls are repeated without a pause",
        edits: &[edit(
            "election/elector/pace.rs",
            "self.not_before = now + self.jittered(backoff);",
            "self.not_before = now + self.jittered(backoff) / 1_000;",
        )],
        breaks: "I7 bounded calls",
    },
    Mutant {
        name: "a hint of a change is taken for the end of the lease",
        edits: &[edit(
            "election/elector.rs",
            "            Event::Changed => self.take_in_change(now, self.deferred(now)),
",
            "            Event::Changed => {
                let seen = self.watch.version().cloned().zip(self.watch.highest_term());
                if let Some((version, term)) = seen {
                    let handover = None;
                    let news = super::lease::Vacated { term, version, handover };
                    return self.take_in_vacated(now, news);
                }
                self.pace.hint();
            }
",
        )],
        breaks: "I1 one believer",
    },
    Mutant {
        name: "every hint causes a look",
        edits: &[edit(
            "election/elector/pace.rs",
            "self.looks_for_hint_at().is_some_and(|at| now >= at)",
            "self.hinted.is_some() && now == now",
        )],
        breaks: "I7 bounded calls",
    },
    Mutant {
        name: "a leader renews too often",
        edits: &[edit(
            "election/elector/pace.rs",
            "self.due_at = sent_at + self.retry_period;",
            "self.due_at = sent_at + self.retry_period / 2;",
        )],
        breaks: "I7 bounded calls",
    },
    Mutant {
        name: "a call may take as long as a lease",
        edits: &[edit(
            "election/elector.rs",
            "let timeout = sent_at + self.timing.call_timeout();",
            "let timeout = sent_at + self.timing.lease_duration();",
        )],
        breaks: "I8 bounded waits",
    },
    Mutant {
        name: "a candidate stands while its gate is closed",
        edits: &[edit(
            "election/elector.rs",
            "!self.work_under_way && self.down_at(now).is_none()",
            "!self.work_under_way",
        )],
        breaks: "I9 the gate is kept",
    },
    Mutant {
        name: "a leader ignores its gate",
        edits: &[edit(
            "election/elector.rs",
            "if let Some(reason) = self.down_at(now).map(StandingDown::ends_belief) {",
            "if let Some(reason) = self.down_at(now).map(StandingDown::ends_belief)
            && reason != LossReason::GateClosed
        {",
        )],
        breaks: "I9 the gate is kept",
    },
    Mutant {
        name: "a turn is taken after a crash as well",
        edits: &[edit(
            "election/elector/turn.rs",
            "return Some(over_at);",
            "return Some(over_at + retry_period / 8);",
        )],
        breaks: "I17 in turn",
    },
    Mutant {
        name: "each look defers the turn",
        edits: &[edit(
            "election/watch.rs",
            "Some((handover, seen.first_received))",
            "Some((handover, seen.last_received))",
        )],
        breaks: "I3 a leader exists",
    },
    Mutant {
        name: "the turn of an older release comes first",
        edits: &[edit("election/handover.rs", "if own > holder =>", "if own < holder =>")],
        breaks: "I17 in turn",
    },
    Mutant {
        name: "the turn of the oldest comes first",
        edits: &[edit(
            "election/handover.rs",
            "let age = age(seen_at.since(self.since), handover.uptime());",
            "let age = OLDEST - age(seen_at.since(self.since), handover.uptime());",
        )],
        breaks: "I17 in turn",
    },
    Mutant {
        name: "the turn of the least preferred comes first",
        edits: &[edit(
            "election/handover.rs",
            "PREFERENCE * u32::from(Preference::MAX - number)",
            "PREFERENCE * u32::from(number)",
        )],
        breaks: "I17 in turn",
    },
    Mutant {
        name: "no candidate waits for its turn",
        edits: &[edit(
            "election/elector/turn.rs",
            "Some(over_at.max(turn_at))",
            "Some(over_at.max(seen_at.min(turn_at)))",
        )],
        breaks: "I17 in turn",
    },
    Mutant {
        name: "the turn of a named successor is no other",
        edits: &[edit(
            "election/handover.rs",
            "Some(_) => FOR_SUCCESSOR + retry_period,",
            "Some(_) => (FOR_SUCCESSOR + retry_period) / 1_000,",
        )],
        breaks: "I17 in turn",
    },
    Mutant {
        name: "a named successor that receives no push is too late for its turn",
        edits: &[edit(
            "election/handover.rs",
            "Some(_) => FOR_SUCCESSOR + retry_period,",
            "Some(_) => FOR_SUCCESSOR,",
        )],
        breaks: "I17 in turn",
    },
    Mutant {
        name: "a named successor that is not there keeps its turn",
        edits: &[edit(
            "election/handover.rs",
            "Some(_) => FOR_SUCCESSOR + retry_period,",
            "Some(_) => FOR_SUCCESSOR * 1_000,",
        )],
        breaks: "I3 a leader exists",
    },
    Mutant {
        name: "a candidate claims a paused election",
        edits: &[edit(
            "election/elector.rs",
            "!self.work_under_way && self.down_at(now).is_none()",
            "!self.work_under_way
            && !matches!(
                self.down_at(now),
                Some(
                    StandingDown::GateClosed
                        | StandingDown::NothingToDo
                        | StandingDown::ShuttingDown
                        | StandingDown::Resigned { .. }
                )
            )",
        )],
        breaks: "I18 a pause is kept",
    },
    Mutant {
        name: "a leader ignores a pause",
        edits: &[edit(
            "election/elector.rs",
            "if let Some(reason) = self.down_at(now).map(StandingDown::ends_belief) {",
            "if let Some(reason) = self.down_at(now).map(StandingDown::ends_belief)
            && reason != LossReason::Paused
        {",
        )],
        breaks: "I18 a pause is kept",
    },
    Mutant {
        name: "a holder's write takes a pause away",
        edits: &[edit(
            "election/elector.rs",
            "let pause = self.watch.paused_at(now.boot).cloned();",
            "let pause = None;",
        )],
        breaks: "I18 a pause is kept",
    },
    Mutant {
        name: "a hint that a lease is free hides its pause",
        edits: &[edit(
            "election/lease.rs",
            "self.holder.is_none() && self.payload.is_none() && self.pause.is_none()",
            "self.holder.is_none() && self.payload.is_none()",
        )],
        breaks: "I18 a pause is kept",
    },
    Mutant {
        name: "a pause ends before its time",
        edits: &[edit("election/pause.rs", "received + lasts)", "received + lasts / 2)")],
        breaks: "I18 a pause is kept",
    },
    Mutant {
        name: "each look begins a pause once more",
        edits: &[edit(
            "election/watch.rs",
            "            current.judge();
            return None;",
            "            current.judge();
            if let Some(seen) = &mut self.pause {
                *seen = Sight::first(seen.pause.clone(), received);
            }
            return None;",
        )],
        breaks: "I3 a leader exists",
    },
    Mutant {
        name: "a pause hides that the store lost writes",
        edits: &[edit(
            "election/maintenance.rs",
            "Some(o) => o.outlived || o.record.term < seen,",
            "Some(o) => o.record.term < seen,",
        )],
        breaks: "I1 one believer",
    },
    Mutant {
        name: "a lease that may be freed, as by a pause, proves itself after lost writes",
        edits: &[edit(
            "election/elector/held.rs",
            "let hides_successor = seen.outlived && may_have_freed;",
            "let hides_successor = seen.outlived && may_have_freed && self.term == Term::ZERO;",
        )],
        breaks: "I2 terms grow",
    },
    Mutant {
        name: "a leader keeps its term when a pause ends",
        edits: &[edit(
            "election/elector.rs",
            "            Why::Renew => match self.lease.held_mut() {
                Some(held) => held.sent_at = sent_at,",
            "            Why::Renew => match self.lease.held_mut() {
                Some(held) => {
                    held.sent_at = sent_at;
                    if self.lease.is_draining()
                        && self.down_at(now).is_none()
                        && let Some(held) = self.lease.held()
                    {
                        self.lease = Lease::Leading(held);
                    }
                }",
        )],
        breaks: "I2 terms grow",
    },
    Mutant {
        name: "an announced renewal is not counted from when it arrived",
        edits: &[edit(
            "election/watch.rs",
            "self.sighted(Some(Observed { version, remaining: None, ..observed }), sent, received);",
            "if let Some(current) = &mut self.current {
                current.observed = Some(Observed { version, remaining: None, ..observed });
            }",
        )],
        breaks: "I1 one believer",
    },
    Mutant {
        name: "a record that is pushed counts from the look before it",
        edits: &[edit(
            "election/elector/looks.rs",
            "self.learn(now, looked_at, Some(shown));",
            "self.learn(looked_at, looked_at, Some(shown));",
        )],
        breaks: "I1 one believer",
    },
    Mutant {
        name: "a record that is pushed is taken for the newest",
        edits: &[edit(
            "election/elector/looks.rs",
            "filter(|_| is_newer && !is_busy)",
            "filter(|_| is_newer || !is_busy)",
        )],
        breaks: "I4 no dead holder is named",
    },
    Mutant {
        name: "announcements are always trusted",
        edits: &[edit(
            "election/elector/announced.rs",
            "pace.doubts_pushes = !announced;",
            "pace.doubts_pushes = announced && false;",
        )],
        breaks: "I3 a leader exists",
    },
    Mutant {
        name: "announcements are not checked",
        edits: &[
            edit("election/elector/pace.rs", "self.crowd.checks_at(self.last_call);", "None;"),
            edit(
                "election/elector/pace.rs",
                "early(self.check_period)",
                "early(self.check_period * 1_000)",
            ),
        ],
        breaks: "I3 a leader exists",
    },
    Mutant {
        name: "a look that shows no renewal ends the doubt in announcements",
        edits: &[edit("election/watch.rs", "self.looked.is_some().then_some(false)", "Some(true)")],
        breaks: "I3 a leader exists",
    },
    Mutant {
        name: "an old announcement that comes again is not noticed",
        edits: &[edit("election/watch.rs", "self.looked.is_some().then_some(false)", "None")],
        breaks: "I3 a leader exists",
    },
    Mutant {
        name: "each hint to many defers the look",
        edits: &[
            edit(
                "election/elector/pace.rs",
                "match &mut self.hinted {",
                "match None::<&mut Hinted> {",
            ),
            edit(
                "election/elector/pace.rs",
                "let at = self.crowd.after_change(now);",
                "let after = |last: &Hinted| last.at.max(now) + Duration::from_nanos(1);
                let at = self.crowd.after_change(self.hinted.as_ref().map_or(now, after));",
            ),
        ],
        breaks: "I3 a leader exists",
    },
    Mutant {
        name: "a standby that waits for a renewal looks without a pause",
        edits: &[edit(
            "election/elector/rhythm.rs",
            "let pause = (self.period * shares / PAUSE_SHARE).max(last.left).max(SHORTEST);",
            "let pause = self.period * shares * 0;",
        )],
        breaks: "I7 bounded calls",
    },
];
