//! Mistakes at the seams: in the driver, the holds and the gate, and in how the election uses them.

use super::{Mutant, edit};

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "what meets the deadline of a call is dropped",
        edits: &[edit("driver.rs", "            // Whatever was taken is stepped, also what meets the deadline: it comes but once.
", "            if self.clock.now().boot >= deadline {
                break verb.timed_out(self.call_limit);
            }
")],
        breaks: "I10 what was accepted takes effect",
    },
    Mutant {
        name: "work is looked at last",
        edits: &[edit("driver.rs", "            if let Poll::Ready(event) = work.as_mut().poll(context) {
                return Poll::Ready(Next::Event(event));
            }
", ""), edit("driver.rs", "ready.find(Poll::is_ready).unwrap_or(Poll::Pending)", "match ready.find(Poll::is_ready) {
                Some(ready) => ready,
                None => work.as_mut().poll(context).map(Next::Event),
            }")],
        breaks: "I6 vacated last",
    },
    Mutant {
        name: "a call has no deadline",
        edits: &[edit("driver.rs", "            if self.clock.now().boot >= deadline {", "            if self.clock.now().boot >= deadline + deadline.as_duration() {")],
        breaks: "I8 bounded waits",
    },
    Mutant {
        name: "readers see the step before",
        edits: &[edit("driver.rs", "        let Step { mut action, mut news } = self.elector.step(now, event);", "        let before = self.elector.leadership();
        let Step { mut action, mut news } = self.elector.step(now, event);"), edit("driver.rs", "self.view.send_replace(view);", "self.view.send_replace(before);")],
        breaks: "I9 the gate is kept",
    },
    Mutant {
        name: "readers see only what is news",
        edits: &[edit("driver.rs", "self.view.send_replace(view);", "if !news.is_empty() {
            self.view.send_replace(view);
        }")],
        breaks: "I9 the gate is kept",
    },
    Mutant {
        name: "a time-out is taken for a refusal",
        edits: &[edit("driver.rs", "Self::Swap => CallResult::Swapped(Err(error)),", "Self::Swap => {
                drop(error);
                CallResult::Swapped(Ok(Swapped::Lost(None)))
            }")],
        breaks: "I4 no dead holder is named",
    },
    Mutant {
        name: "a process does not start behind its gate",
        edits: &[edit("driver.rs", "Some(gated) => elector.behind_gate(gated),", "Some(gated) if url.is_some() => elector.behind_gate(gated),"), edit("driver.rs", "        None => elector,\n    };\n    let (view", "        _ => elector,\n    };\n    let (view")],
        breaks: "I9 the gate is kept",
    },
    Mutant {
        name: "work whose end was not seen is given up before the lease is over",
        edits: &[edit("driver/hold.rs", "if now < over_at {", "if now < overdue_at {")],
        breaks: "I6 vacated last",
    },
    Mutant {
        name: "work whose end was not seen is waited for forever",
        edits: &[edit("driver/hold.rs", "self.overdue_at.get_or_insert(now + self.grace.until_work_is_overdue());", "let _ = now + self.grace.until_work_is_overdue();")],
        breaks: "I3 a leader exists",
    },
    Mutant {
        name: "the election does not hear that work is overdue",
        edits: &[edit("driver/hold.rs", "work.is_overdue();", "let _ = work;")],
        breaks: "I6 vacated last",
    },
    Mutant {
        name: "a hold is not work",
        edits: &[edit("driver/hold.rs", "let work = Some(election.begin_work());", "let work = None;")],
        breaks: "I6 vacated last",
    },
    Mutant {
        name: "work that ends takes its grace beyond the lease",
        edits: &[edit("election/work.rs", "patience.map_or(kill_at, |patience| patience.min(kill_at))", "patience.map_or(kill_at, |patience| patience.max(kill_at))")],
        breaks: "I5 no old work",
    },
    Mutant {
        name: "the election does not hear that its gate closes",
        edits: &[edit("driver/gate.rs", "if open != sent {", "if open && !sent {")],
        breaks: "I9 the gate is kept",
    },
    Mutant {
        name: "silence does not close the gate",
        edits: &[edit("driver/gate.rs", "gate.open_until().filter(|_| open);", "gate.open_until().filter(|_| !open);")],
        breaks: "I9 the gate is kept",
    },
    Mutant {
        name: "one failure too many leaves the gate open",
        edits: &[edit("gate.rs", "self.failed < self.rules.failures &&", "self.failed <= self.rules.failures &&")],
        breaks: "I9 the gate is kept",
    },
    Mutant {
        name: "a cooldown is over at once",
        edits: &[edit("election/elector/standing.rs", "Resignation { cooldown, until: now + cooldown, successor }", "Resignation { cooldown, until: now, successor }")],
        breaks: "I10 what was accepted takes effect",
    },
    Mutant {
        name: "a shutdown waits for its work forever",
        edits: &[edit("election/elector.rs", "now >= give_up_at || (", "give_up_at < BootTime::ZERO || (")],
        breaks: "I10 what was accepted takes effect",
    },
    Mutant {
        name: "work that has ended counts on",
        edits: &[edit("election/elector.rs", "self.work_under_way = under_way;", "self.work_under_way |= under_way;")],
        breaks: "I3 a leader exists",
    },
    Mutant {
        name: "who shuts down leaves without freeing the lease",
        edits: &[edit("election/elector.rs", "&& !self.calls.unsure && !self.has_record_to_free();", "&& !self.calls.unsure;")],
        breaks: "I13 who left holds nothing",
    },
    Mutant {
        name: "an own record that is back after a fail-over is still the own one",
        edits: &[edit("election/elector.rs", "!o.outlived || self.lease.is_held();", "!o.outlived || o.outlived;")],
        breaks: "I2 terms grow",
    },
    Mutant {
        name: "after a lapse, overdue work is forgotten",
        edits: &[edit("election/elector.rs", "=> (self.watch.term_of(self.me()), now),", "=> return,")],
        breaks: "I6 vacated last",
    },
    Mutant {
        name: "a flood of hints keeps a leader from renewing",
        edits: &[edit("election/elector/pace.rs", "now >= self.due_at", "now >= self.due_at && self.hinted.is_none()")],
        breaks: "I3 a leader exists",
    },
    Mutant {
        name: "after a fail-over the term does not jump",
        edits: &[edit("election/watch.rs", "if outlived { TERM_JUMP } else { 1 }", "if outlived { TERM_JUMP / TERM_JUMP } else { 1 }")],
        breaks: "I2 terms grow",
    },
    Mutant {
        name: "who just started trusts a record that outlived a fail-over",
        edits: &[edit("election/watch.rs", "        if next.outlived() {
", "        if next.outlived() && self.current.is_some() {
")],
        breaks: "I5 no old work",
    },
    Mutant {
        name: "a record is not kept for the application beside its process",
        edits: &[edit("driver/leave.rs", "filter(|_| !delay.is_zero())", "filter(|_| delay == Duration::MAX)")],
        breaks: "I6 vacated last",
    },
    Mutant {
        name: "a record is kept for the application beside its process until the next turn only",
        edits: &[edit("driver/leave.rs", "timer.until(self.until)", "timer.until(BootTime::ZERO)")],
        breaks: "I6 vacated last",
    },
    Mutant {
        name: "a command starts before the history says so",
        edits: &[edit("once/protocol.rs", "        if !self.write_begin(&begun, term).await? {
            self.is_now(Stage::Looking);
            return Ok(None);
        }
", ""), edit("once/protocol.rs", "        let end = End { code,", "        let _ = self.write_begin(&begun, term).await?;
        let end = End { code,")],
        breaks: "I15 begun before it starts",
    },
    Mutant {
        name: "whether the begin was written is not looked up",
        edits: &[edit("once/protocol.rs", "Ok(self.write(begun, term, leads).await? == Written::Applied)", "self.write(begun, term, leads).await?;
        Ok(true)")],
        breaks: "I15 begun before it starts",
    },
    Mutant {
        name: "the end of a command is written over whatever is there",
        edits: &[edit("once/ledger.rs", "        let expected = self.version().cloned();
        let swap =", "        let found = self.store.observe(&self.record).await.ok().flatten();
        let expected = found.map(|found| found.version);
        let swap =")],
        breaks: "I11 outcomes are kept",
    },
    Mutant {
        name: "all works have one history",
        edits: &[edit("election/lease.rs", "Self(format!(\"{HISTORY}{work}\"))", "Self(format!(\"{HISTORY}{}\", work.as_str().len()))")],
        breaks: "I15 begun before it starts",
    },
    Mutant {
        name: "all works have one lease",
        edits: &[edit("election/lease.rs", "Self(format!(\"{WORK}{work}\"))", "Self(format!(\"{WORK}{}\", work.as_str().len()))")],
        breaks: "I3 a leader exists",
    },
    Mutant {
        name: "what failed counts as done",
        edits: &[edit("election/history/decision.rs", "let done = matches!(entry.state, State::Done { .. });", "let done = !matches!(entry.state, State::Begun { .. } | State::TakenBack { .. });")],
        breaks: "I11 outcomes are kept",
    },
    Mutant {
        name: "an older order begins after a newer one",
        edits: &[edit("election/history/decision.rs", "order.is_some_and(|order| *highest > order)", "order.is_some_and(|order| *highest > order + 1)")],
        breaks: "I16 in order",
    },
    Mutant {
        name: "the lease is freed before the end of the command is recorded",
        edits: &[edit("once/protocol.rs", "        self.is_now(Stage::Recording(piece.key.clone(), term, code));
", "        self.is_now(Stage::Recording(piece.key.clone(), term, code));
        drop(work);
        self.stand(false).await;
"), edit("once/protocol.rs", "        self.stand(false).await;
        drop(work);
        let gives_up", "        self.stand(false).await;
        let gives_up")],
        breaks: "I11 outcomes are kept",
    },
    Mutant {
        name: "a failure is taken for a success",
        edits: &[edit("election/history/transitions.rs", "(Goal::Do, State::Begun { .. }) if end.code == 0 => {", "(Goal::Do, State::Begun { .. }) if end.code <= 1 => {")],
        breaks: "I11 outcomes are kept",
    },
];
