//! What reads the time of the host: which boot of which clock this is, and a timer that survives suspend.

pub mod alarm;
pub mod boot;
