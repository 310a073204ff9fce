//! What a faulty path to a store may do to an election: the same faults for every store behind HTTP.

use std::thread;
use std::time::Duration;

use support::http_proxy::{Fault, Proxy};
use support::{Flock, Witness, eventually};

/// Bears a call that hangs, and one more, on a machine that is busy.
pub const STEADY: [&str; 6] =
    ["--lease-duration", "9s", "--renew-deadline", "7s", "--retry-period", "500ms"];

/// Sidecars, each with a proxy of its own, and what their requests are called.
pub struct Paths<'a> {
    pub flock: &'a Flock,
    pub proxies: &'a [Proxy],
    pub write: &'static str,
    pub read: &'static str,
}

impl Paths<'_> {
    /// One fault of every kind, on a renewal and on a read: the leader stays.
    pub fn bear_each_once(&self, own: &[Fault]) {
        let Self { flock, proxies, write, read } = self;
        let leader = flock.settled();
        let term = flock.members[leader].leader().term();
        let witness = Witness::of(flock);
        let common = [
            Fault::DropAnswer,
            Fault::DropRequest,
            Fault::Reset,
            Fault::Hang,
            Fault::HangAfterwards,
            Fault::Delay(Duration::from_secs(3)),
        ];
        for fault in common.iter().chain(own) {
            let (renewals, looks) = (&proxies[leader], &proxies[1 - leader]);
            let (writes, reads) = (renewals.count(write), looks.count(read));
            renewals.once(write, fault.clone());
            looks.once(read, fault.clone());
            eventually("both continue", || {
                let more = renewals.count(write) > writes + 2 && looks.count(read) > reads + 2;
                more.then_some(())
            });
            assert_eq!(flock.settled(), leader, "{fault:?}");
            assert_eq!(flock.members[leader].leader().term(), term, "{fault:?}");
        }
        assert_eq!(flock.members[leader].log().events("lost"), 0);
        witness.saw_never_two();
    }

    /// The faults that leave the outcome of a write open, at random, on everything: there are never two,
    /// and afterwards one.
    pub fn weather(&self, own: Fault) {
        self.flock.settled();
        let witness = Witness::of(self.flock);
        for (place, proxy) in self.proxies.iter().enumerate() {
            let mut random = fastrand::Rng::with_seed(place as u64);
            let own = own.clone();
            proxy.on(move |_| match random.u8(0..10) {
                0 => Fault::DropAnswer,
                1 => Fault::DropRequest,
                2 => Fault::HangAfterwards,
                3 => Fault::Delay(Duration::from_millis(random.u64(0..1500))),
                4 => own.clone(),
                5 => Fault::Reset,
                _ => Fault::Pass,
            });
        }
        thread::sleep(Duration::from_secs(20));
        self.proxies.iter().for_each(|proxy| proxy.always(Fault::Pass));
        self.flock.settled();
        witness.saw_never_two();
    }
}
