//! What reads the time of the host: its clock, which boot that clock belongs to, and a timer that survives
//! suspend.

pub mod alarm;
pub mod boot;
pub mod clock;
