//! `bellwether wait`: until the sidecar has started, the election is decided, or this instance leads.

use std::time::Duration;

use hyper::StatusCode;
use serde::Deserialize;

use super::exit::CommandError;
use crate::api::client::{Client, ClientError};
use crate::config::SidecarArgs;
use crate::election::duration;
use crate::http_client::FullResponse;
use crate::time::clock::HostClock;

/// How often to ask. The sidecar is on the same host.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// How long one question waits at the sidecar: beyond it, it is asked again, to learn that the
/// connection is dead.
const LONGEST_QUESTION: Duration = Duration::from_secs(30);

/// The least time for a request, however little is left.
const SHORTEST_QUESTION: Duration = Duration::from_millis(200);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Wait until this instance leads, not only until a leader is known.
    #[arg(long)]
    leading: bool,

    /// Wait only until /started is 200: for a container that starts after the sidecar, also behind a gate.
    #[arg(long, conflicts_with = "leading")]
    started: bool,

    /// How long to wait before giving up.
    #[arg(
        long,
        value_name = "TIME",
        value_parser = duration::parse,
        default_value = "60s"
    )]
    timeout: Duration,

    #[command(flatten)]
    sidecar: SidecarArgs,
}

pub(super) async fn run(args: Args) -> Result<u8, CommandError> {
    let client = args.sidecar.check()?;
    let give_up = HostClock::boot() + args.timeout;
    let mut reported = false;
    loop {
        let left = give_up.since(HostClock::boot());
        let request = async {
            match (args.leading, args.started) {
                (true, _) => leads(&client, left).await,
                (false, true) => is_ok(&client, "/started").await,
                (false, false) => is_ok(&client, "/ready").await,
            }
        };
        let request = tokio::time::timeout(left.max(SHORTEST_QUESTION), request).await;
        let why =
            match request.unwrap_or_else(|_| Ok(Some("the sidecar does not respond".to_owned()))) {
                Ok(None) => return Ok(0),
                Ok(Some(why)) => why,
                Err(
                    error @ (ClientError::Unreachable { .. }
                    | ClientError::NoDescriptor { .. }
                    | ClientError::Busy { .. }),
                ) => {
                    let why = error.to_string();
                    if !std::mem::replace(&mut reported, true) {
                        let at_most = humantime::format_duration(args.timeout).to_string();
                        tracing::info!(
                            why,
                            at_most,
                            event = "sidecar_awaited",
                            "waiting for the sidecar"
                        );
                    }
                    why
                }
                Err(error @ (ClientError::Refused { .. } | ClientError::Stranger { .. })) => {
                    return Err(CommandError::Unavailable(error.to_string()));
                }
            };
        let left = give_up.since(HostClock::boot());
        if left.is_zero() {
            let after = humantime::format_duration(args.timeout);
            return Err(CommandError::Undecided(format!("not within {after}: {why}")));
        }
        tokio::time::sleep(ASK_AGAIN.min(left)).await;
    }
}

/// Why this instance does not lead, if it does not.
async fn leads(client: &Client, left: Duration) -> Result<Option<String>, ClientError> {
    let mut leader = client.leader(left.min(LONGEST_QUESTION)).await?;
    if leader.leader {
        // How long the response took is not known: it may have waited.
        leader = client.leader_now().await?;
    }
    Ok((!leader.leader).then(|| leader.why_not()))
}

/// As a sidecar does: any other program could answer with 200 as well.
fn says_ok(response: &FullResponse) -> bool {
    #[derive(Deserialize)]
    struct Probe {
        ok: bool,
    }
    serde_json::from_slice::<Probe>(&response.body).is_ok_and(|probe| probe.ok)
}

/// Why a path is not answered with 200, if it is not.
async fn is_ok(client: &Client, path: &str) -> Result<Option<String>, ClientError> {
    let response = client.get(path).await?;
    match response.status {
        StatusCode::OK if says_ok(&response) => Ok(None),
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
            Ok(Some(response.message()))
        }
        _ => Err(client.refusal(&response)),
    }
}
