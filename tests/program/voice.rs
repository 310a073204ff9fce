//! Output that cannot block, be forged, or reveal secrets.

mod hostile;
mod jammed;
mod reasons;
mod secrets;
mod threads;
mod typed;
