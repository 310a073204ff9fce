//! The program. The guard comes first: it has to be up before anything that could fail.

use std::process::ExitCode;

use bellwether::cli;
use bellwether::command::{guard, start};

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    // Under that name, what follows is a command of its user's.
    let is_leader_only = args.next().is_some_and(|name| cli::is_leader_only(&name));
    let first = args.next().filter(|_| !is_leader_only);
    if first.as_ref().is_some_and(|first| first == start::SUBCOMMAND) {
        return start::main(args);
    }
    if first.is_some_and(|first| first == guard::SUBCOMMAND) {
        // The standard library's panic text could block on a standard error that is not read.
        std::panic::set_hook(Box::new(|_| {}));
        return guard::main(args);
    }
    cli::main()
}
