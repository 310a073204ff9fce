//! `bellwether completions` and `bellwether man`: made from the command line's own description.

use std::path::PathBuf;

use clap_complete::Shell;

use super::exit::CommandError;
use super::output::print;

#[derive(Debug, clap::Args)]
pub(super) struct CompletionsArgs {
    /// Which shell.
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

#[derive(Debug, clap::Args)]
pub(super) struct ManArgs {
    /// The folder, which has to exist.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(super) fn completions(
    args: &CompletionsArgs,
    mut program: clap::Command,
) -> Result<u8, CommandError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut program, "bellwether", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(0)
}

pub(super) fn man(args: &ManArgs, program: clap::Command) -> Result<u8, CommandError> {
    let shown = args.folder.display();
    clap_mangen::generate_to(program, &args.folder).map_err(|error| {
        CommandError::Unavailable(format!("cannot write the manual pages into {shown}: {error}"))
    })?;
    Ok(0)
}
