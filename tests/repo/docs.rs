//! The pages say what is: every link leads somewhere, every command line is one that the program
//! reads, every file and variable that is named is there, and every message of the log is explained.

mod changeover;
mod commands;
mod comparison;
mod fence;
mod http;
mod links;
mod log;
mod measured;
mod names;
mod pages;
mod platforms;
mod profiles;
mod rules;
mod scale;
mod shell;
mod words;
