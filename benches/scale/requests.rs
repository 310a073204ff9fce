//! The requests that reach a store, and when.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bellwether::election::time::BootTime;
use support::now;

const SECOND: Duration = Duration::from_secs(1);

/// How often the count is noted. The worst second is at most so much longer than a second.
const SAMPLE: Duration = Duration::from_millis(10);

pub struct Requests {
    samples: Arc<Mutex<Vec<(BootTime, usize)>>>,
    ends: Arc<AtomicBool>,
    sampler: Option<JoinHandle<()>>,
}

impl Requests {
    /// Those of a counter that only grows.
    pub fn of(count: impl Fn() -> usize + Send + 'static) -> Self {
        let (samples, ends) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<AtomicBool>::default());
        let (noted, has_ended) = (Arc::clone(&samples), Arc::clone(&ends));
        let sampler = thread::spawn(move || {
            while !has_ended.load(Ordering::Relaxed) {
                noted.lock().unwrap().push((now(), count()));
                thread::sleep(SAMPLE);
            }
        });
        Self { samples, ends, sampler: Some(sampler) }
    }

    /// In an average minute of what is to come.
    pub fn a_minute(&self, span: Duration) -> f64 {
        let since = now();
        thread::sleep(span);
        let samples = self.since(since);
        let (first, last) = (samples[0], samples[samples.len() - 1]);
        number(last.1 - first.1) / last.0.since(first.0).as_secs_f64() * 60.0
    }

    /// The most in any second that begins since then.
    pub fn most_in_a_second(&self, since: BootTime) -> usize {
        let samples = self.since(since);
        let end_of = |begin: BootTime| samples.partition_point(|(at, _)| *at < begin + SECOND);
        let within = |(begin, count): &(BootTime, usize)| {
            samples[end_of(*begin).min(samples.len() - 1)].1 - count
        };
        samples.iter().map(within).max().unwrap_or_default()
    }

    fn since(&self, since: BootTime) -> Vec<(BootTime, usize)> {
        let samples = self.samples.lock().unwrap();
        samples[samples.partition_point(|(at, _)| *at < since).saturating_sub(1)..].to_vec()
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        let _ = self.sampler.take().unwrap().join();
    }
}

/// A small number as one with a fraction.
pub fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}
