//! `bellwether healthcheck`: for images without a shell or curl.

use super::exit::CommandError;
use super::logging::print_problem;
use crate::config::SidecarArgs;

/// Docker reserves every other code than this one and 0.
const UNHEALTHY: u8 = 1;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Request this path, such as /ready, instead of /started and /livez.
    #[arg(long, value_name = "PATH", value_parser = path)]
    path: Option<String>,

    #[command(flatten)]
    sidecar: SidecarArgs,
}

fn path(text: &str) -> Result<String, String> {
    let plain = text.bytes().all(|b| b.is_ascii_graphic());
    if text.starts_with('/') && plain {
        Ok(text.to_owned())
    } else {
        Err("use one like /ready".to_owned())
    }
}

pub(super) async fn run(args: Args) -> Result<u8, CommandError> {
    let client = args.sidecar.check()?;
    let paths = match &args.path {
        Some(path) => vec![path.as_str()],
        None => vec!["/started", "/livez"],
    };
    for path in paths {
        let why = match client.check(path).await {
            Ok(None) => continue,
            Ok(Some(response)) => format!("{path}: {}", response.message()),
            Err(error) => error.to_string(),
        };
        print_problem(&why);
        return Ok(UNHEALTHY);
    }
    Ok(0)
}
