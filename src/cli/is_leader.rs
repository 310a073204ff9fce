//! `bellwether is-leader`: a question for shell scripts.

use super::exit::{CommandError, EXIT_UNDECIDED};
use super::logging::print_problem;
use super::output::print_apart;
use crate::config::SidecarArgs;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print nothing; the exit code is the answer.
    #[arg(long, short)]
    quiet: bool,

    #[command(flatten)]
    sidecar: SidecarArgs,
}

pub(super) async fn run(args: Args) -> Result<u8, CommandError> {
    let client = args.sidecar.check()?;
    let (code, words) = match client.leader_now().await {
        Ok(leader) if leader.leader => (0, format!("yes: {} leads", leader.identity)),
        Ok(leader) if leader.holder_identity.is_some() => (1, format!("no: {}", leader.why_not())),
        Ok(leader) => (EXIT_UNDECIDED, format!("not decided: {}", leader.why_not())),
        Err(error) => (EXIT_UNDECIDED, error.to_string()),
    };
    match code {
        _ if args.quiet => {}
        EXIT_UNDECIDED => print_problem(&words),
        _ => {
            print_apart(format!("{words}\n")).await?;
        }
    }
    Ok(code)
}
