//! The leader-only work under way, as it is reported to a driver.
//!
//! One channel reports that work is overdue, and that it has ended, in this order. After a pause of
//! the process the driver learns of both in one moment, and must not take the end for a confirmed
//! one.

use std::sync::Arc;

use tokio::sync::watch;

use crate::election::elector::Event;

/// What has been reported so far.
#[derive(Clone, Copy, Debug, Default)]
struct Report {
    under_way: usize,
    /// How often work was given up, ever.
    given_up: u64,
}

/// Leader-only work in flight. While one exists, the record is not vacated.
#[derive(Debug)]
pub struct Work(Arc<watch::Sender<Report>>);

impl Work {
    /// Reports that this work had to end and has not: the lease is no longer kept for it.
    pub fn is_overdue(&self) {
        self.0.send_modify(|report| report.given_up += 1);
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.0.send_modify(|report| report.under_way = report.under_way.saturating_sub(1));
    }
}

/// Where work is announced.
#[derive(Clone, Debug)]
pub(super) struct Reporter(Arc<watch::Sender<Report>>);

impl Reporter {
    pub(super) fn begin(&self) -> Work {
        self.0.send_modify(|report| report.under_way += 1);
        Work(Arc::clone(&self.0))
    }
}

/// Where the driver learns of it.
#[derive(Debug)]
pub(super) struct Reports {
    reports: watch::Receiver<Report>,
    given_up: u64,
}

pub(super) fn channel() -> (Reporter, Reports) {
    let (sender, reports) = watch::channel(Report::default());
    (Reporter(Arc::new(sender)), Reports { reports, given_up: 0 })
}

impl Reports {
    /// The next event about work; never, when no more can begin.
    pub(super) async fn next(&mut self) -> Event {
        if self.reports.changed().await.is_err() {
            return std::future::pending().await;
        }
        let Report { under_way, given_up } = *self.reports.borrow_and_update();
        if std::mem::replace(&mut self.given_up, given_up) != given_up {
            // What else has changed is the event after this one.
            self.reports.mark_changed();
            return Event::Overdue;
        }
        Event::Work { under_way: under_way > 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_that_is_given_up_is_overdue_before_it_has_ended() {
        let (reporter, mut reports) = channel();
        let (given_up, other) = (reporter.begin(), reporter.begin());
        assert!(matches!(reports.next().await, Event::Work { under_way: true }));
        given_up.is_overdue();
        drop((given_up, other));
        assert!(matches!(reports.next().await, Event::Overdue));
        assert!(matches!(reports.next().await, Event::Work { under_way: false }));
    }
}
