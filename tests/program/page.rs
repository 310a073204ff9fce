//! The status page, in a real browser against the real program; and the site of the documentation.

mod browser;
mod moments;
mod names;
mod pictures;
mod scene;
mod shows;
mod site;
mod trouble;
