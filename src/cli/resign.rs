//! `bellwether resign`: asks the sidecar to step down.

use std::time::Duration;

use hyper::StatusCode;

use super::exit::CommandError;
use super::output::print_apart;
use crate::config::SidecarArgs;
use crate::election::duration;
use crate::platform::identity;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How long this instance does not stand again, counted from the end of its leader-only work.
    /// Without this, one lease duration.
    #[arg(
        long,
        value_name = "TIME",
        value_parser = duration::parse
    )]
    cooldown: Option<Duration>,

    /// The identity of the instance that is to lead next: it claims the lease first, and for a second and a
    /// retry period it alone. If there is no such instance, the others claim it then.
    #[arg(long, value_name = "NAME", value_parser = parse_successor)]
    to: Option<String>,

    #[command(flatten)]
    sidecar: SidecarArgs,
}

fn parse_successor(name: &str) -> Result<String, identity::InvalidIdentity> {
    identity::parse(name)
}

pub(super) async fn run(args: Args) -> Result<u8, CommandError> {
    let client = args.sidecar.check()?;
    let cooldown = args.cooldown.map(|cooldown| humantime::format_duration(cooldown).to_string());
    let body = serde_json::json!({ "cooldown": cooldown, "to": args.to }).to_string();
    let unavailable =
        |error: crate::api::client::ClientError| CommandError::Unavailable(error.to_string());
    let response = client.post("/resign", body).await.map_err(unavailable)?;
    match response.status {
        StatusCode::OK => {
            // Any program could answer with 200: the leader would continue to lead.
            client.read_leader(&response).map_err(unavailable)?;
            let cooldown = cooldown.as_deref().unwrap_or("one lease duration");
            let next = args.to.map(|to| format!(", and named '{to}' to lead next"));
            let next = next.unwrap_or_default();
            print_apart(format!("resigned; this instance stays down for {cooldown}{next}\n"))
                .await?;
            Ok(0)
        }
        StatusCode::BAD_REQUEST => Err(CommandError::Usage(response.message())),
        _ => Err(unavailable(client.refusal(&response))),
    }
}
