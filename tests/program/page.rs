//! The status page, in a real browser against the real program.

mod browser;
mod shows;
