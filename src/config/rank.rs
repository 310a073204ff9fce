//! Which candidate leads next after a hand-over.

use clap::Args;

use super::InvalidConfig;
use crate::election::handover::{Preference, Rank};
use crate::election::history::Order;
use crate::election::time::BootTime;
use crate::platform::release::{self, UnknownRelease};
use crate::platform::surroundings;

/// The platform names it.
pub const AUTO: &str = "auto";

/// Which candidate leads next after a hand-over.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Election")]
pub struct RankArgs {
    /// A number that grows from release to release, such as a build number, or "auto": when a leader
    /// frees its lease, the candidates of the highest release claim it first.
    ///
    /// With "auto" it is the revision of the task definition on ECS, the id of the deployment on Elastic
    /// Beanstalk, and BELLWETHER_REVISION on Kubernetes. Of one release, and without this, the instance
    /// that started last claims first. So a roll-out has one hand-over.
    #[arg(long, env = "BELLWETHER_ORDER", value_name = "N")]
    order: Option<String>,

    /// How much this instance is preferred, from 0 to 3, among those of the same release and about the
    /// same age: by its zone, or a bigger machine.
    ///
    /// Give it to all candidates: one without it counts as 0, and does not wait for others if it has
    /// just started.
    #[arg(
        long,
        env = "BELLWETHER_PREFERENCE",
        value_name = "N",
        value_parser = clap::value_parser!(u8).range(0..=i64::from(Preference::MAX))
    )]
    preference: Option<u8>,
}

/// The error in an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOrder {
    /// Neither a number nor `auto`.
    #[error("use a whole number that is not negative, or auto")]
    NoNumber,
    /// No platform to ask.
    #[error(
        "auto works on ECS, Elastic Beanstalk and Kubernetes only; name the release with --order N"
    )]
    NoPlatform,
}

/// What is known of this instance before it starts.
#[derive(Clone, Copy, Debug)]
pub struct RankConfig {
    order: Option<Order>,
    preference: Option<Preference>,
}

impl RankConfig {
    /// The rank of an instance that started then.
    pub fn since(self, since: BootTime) -> Rank {
        Rank { order: self.order, since, preference: self.preference }
    }
}

impl RankArgs {
    /// Checks both. Reads the order from the platform if it is to come from there.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    pub async fn check(self) -> Result<RankConfig, InvalidConfig> {
        let order = match self.order.as_deref() {
            Some(AUTO) => order_of_platform().await?,
            Some(number) => Some(parse_order(number)?),
            None => None,
        };
        Ok(RankConfig { order, preference: self.preference.and_then(Preference::new) })
    }
}

/// A platform that does not answer is no reason not to stand: the age then has to do.
async fn order_of_platform() -> Result<Option<Order>, InvalidConfig> {
    let why = match release::find(surroundings::here()).await {
        Ok(release) if release.order.is_some() => return Ok(release.order),
        Ok(_) => "the platform gives no release".to_owned(),
        Err(UnknownRelease::NoPlatform) => return Err(InvalidOrder::NoPlatform.into()),
        Err(UnknownRelease::NoResponse(why)) => why.to_string(),
    };
    tracing::warn!(
        why,
        event = "order_unknown",
        "the order of this release is not known; at a hand-over the newest instance leads next"
    );
    Ok(None)
}

/// A number that every store and every JSON reader has.
///
/// # Errors
///
/// When it is none.
pub fn parse_order(text: &str) -> Result<Order, InvalidOrder> {
    let order = text.parse().ok().filter(|order| i64::try_from(*order).is_ok());
    order.ok_or(InvalidOrder::NoNumber)
}
