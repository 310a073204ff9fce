//! The image: what is in it, and that the binary needs nothing else.
//!
//! Needs root, to enter a folder as if it were all there is (in a container, that is the default).

mod alone;
mod build;
mod container;
mod parts;
mod runtime;
