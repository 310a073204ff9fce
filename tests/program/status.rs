//! `status` on a terminal: what fits, and what is given back.

mod narrow;
mod scene;
mod watch;
