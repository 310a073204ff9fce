//! The program. The guard comes first: it has to be up before anything that could fail.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|first| first == bellwether::command::guard::SUBCOMMAND) {
        return bellwether::command::guard::main(args);
    }
    bellwether::cli::main()
}
