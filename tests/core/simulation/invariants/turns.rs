//! Which candidate has to claim a vacated lease before which other, as users are promised it. It is not computed as the
//! candidates do: only differences that are plain are judged.

use std::time::Duration;

/// A candidate, or the holder that left, at that moment.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    pub order: Option<u64>,
    pub uptime: Duration,
    pub preference: Option<u8>,
}

/// How much later than it may a candidate claims: a random pause, a look, and a late timer.
pub const SLACK: Duration = Duration::from_millis(30);

/// The longest that a candidate leaves a vacated lease to others, of whom no one is named.
pub const LONGEST: Duration = Duration::from_millis(400);

/// How long a named one is waited for, beside a retry period.
pub const FOR_SUCCESSOR: Duration = Duration::from_secs(1);

impl Standing {
    /// 0: of a newer release than the holder that left, or none is known.
    fn release(&self, left: &Self) -> u8 {
        match (self.order, left.order) {
            (_, None) => 0,
            (Some(own), Some(left)) if own > left => 0,
            (Some(own), Some(left)) if own == left => 1,
            (_, Some(_)) => 2,
        }
    }

    fn is_new(&self, left: &Self) -> bool {
        self.uptime <= (left.uptime / 8).min(Duration::from_secs(30))
    }

    /// Whether it claims plainly before `other`.
    pub fn is_before(&self, other: &Self, left: &Self) -> bool {
        let (own, others) = (self.release(left), other.release(left));
        let preferred = self.preference == other.preference
            || self.preference.zip(other.preference).is_some_and(|(own, other)| own > other);
        if own != others {
            return own < others && preferred && self.uptime <= other.uptime;
        }
        let is_newer = self.is_new(left) && other.uptime >= left.uptime / 2 && left.order.is_none();
        let far = self.preference.zip(other.preference) == Some((3, 0));
        let ages = self.uptime.as_secs_f64() / other.uptime.as_secs_f64().max(0.001);
        (is_newer && preferred) || (far && (0.9..1.1).contains(&ages))
    }

    /// Whether it has no candidate to wait for.
    pub fn is_first(&self, left: &Self) -> bool {
        self.release(left) == 0 && self.is_new(left) && matches!(self.preference, None | Some(3))
    }
}
