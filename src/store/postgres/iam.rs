//! Logging in to RDS with IAM: instead of a password, a token that is good for one login.
//!
//! A token is a request to the service `rds-db`, signed but not sent. It is valid for fifteen
//! minutes, and the credentials behind it for hours: both are requested again for every connection.

use std::error::Error;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use tokio::sync::OnceCell;
use url::Url;

use crate::store::aws::credentials::NoCredentials;
use crate::store::aws::{self, Choice, Settled, Unsettled};

/// How long a token is good for: the longest that RDS accepts.
const VALID_FOR: Duration = Duration::from_secs(900);

/// How long a call to the source of the credentials may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Makes tokens from the standard AWS credential chain.
#[derive(Debug, Default)]
pub struct Iam {
    /// As given in the URL; else the chain's.
    region: Option<String>,
    settled: OnceCell<Settled>,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum NoToken {
    /// Neither the URL nor the environment names a region.
    #[error("{}; set AWS_REGION, or add ?region= to the URL", Unsettled::NoRegion)]
    NoRegion,
    /// The AWS settings cannot be found out.
    #[error(transparent)]
    Unsettled(Unsettled),
    /// The AWS settings are without a region, although one was found.
    #[error("no AWS region is set")]
    RegionLost,
    /// The credentials were given, and are not fetched.
    #[error("no AWS credentials are configured")]
    NoChain,
    /// The AWS settings are without a clock.
    #[error("the AWS SDK has no clock")]
    NoClock,
    /// No source gives credentials.
    #[error(transparent)]
    NoCredentials(#[from] NoCredentials),
    /// The request that the token is cannot be signed.
    #[error(transparent)]
    Unsigned(#[from] BoxError),
}

/// What the parts of the AWS SDK fail with.
type BoxError = Box<dyn Error + Send + Sync>;

/// For whom a token is, and where.
#[derive(Clone, Copy, Debug)]
pub struct Login<'a> {
    /// The instance's or cluster's own name: the token is good for no other.
    pub host: &'a str,
    /// Its port.
    pub port: u16,
    /// The user of the database.
    pub user: &'a str,
}

impl Iam {
    /// For databases in `region`; without it, in the region that the environment names.
    pub fn new(region: Option<String>) -> Self {
        Self { region, settled: OnceCell::new() }
    }

    /// A fresh token.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub async fn token(&self, login: Login<'_>) -> Result<String, NoToken> {
        let choice = Choice { region: self.region.clone(), profile: None };
        let settled = self.settled.get_or_try_init(|| aws::settle(&choice, None, PATIENCE)).await;
        let Settled { config, cache } = settled.map_err(|error| match error {
            Unsettled::NoRegion => NoToken::NoRegion,
            Unsettled::NoMetadata | Unsettled::Bundle(_) | Unsettled::BadRegion(_) => {
                NoToken::Unsettled(error)
            }
        })?;
        let region = config.region().ok_or(NoToken::RegionLost)?;
        let cache = cache.as_ref().ok_or(NoToken::NoChain)?;
        let credentials = cache.credentials().await?;
        let clock = config.time_source().ok_or(NoToken::NoClock)?;
        Ok(signed(login, region.as_ref(), credentials, clock.now())?)
    }
}

impl Iam {
    /// A server refused a token: the credentials behind it are fetched again.
    pub fn refused(&self) {
        if let Some(Settled { cache: Some(cache), .. }) = self.settled.get() {
            cache.refused();
        }
    }
}

fn signed(
    login: Login<'_>,
    region: &str,
    credentials: Credentials,
    now: SystemTime,
) -> Result<String, BoxError> {
    let mut settings = SigningSettings::default();
    settings.expires_in = Some(VALID_FOR);
    settings.signature_location = SignatureLocation::QueryParams;
    let identity = credentials.into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("rds-db")
        .time(now)
        .settings(settings)
        .build()?;
    let Login { host, port, user } = login;
    let mut url = Url::parse(&format!("https://{host}:{port}/"))?;
    url.query_pairs_mut().append_pair("Action", "connect").append_pair("DBUser", user);
    let request =
        SignableRequest::new("GET", url.as_str(), std::iter::empty(), SignableBody::empty())?;
    let (instructions, _) = sign(request, &parameters.into())?.into_parts();
    for (name, value) in instructions.params() {
        url.query_pairs_mut().append_pair(name, value);
    }
    // What is sent as the password is the URL without its scheme.
    Ok(url.as_str().trim_start_matches("https://").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the tests of the SDK for RDS.
    #[test]
    fn a_token_is_as_in_the_known_vector() {
        let host = "prod-instance.us-east-1.rds.amazonaws.com";
        let login = Login { host, port: 3306, user: "peccy" };
        let credentials = Credentials::new("akid", "secret", None, None, "test");
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_724_709_600);
        let token = signed(login, "us-east-1", credentials, now);
        assert_eq!(
            token.unwrap(),
            "prod-instance.us-east-1.rds.amazonaws.com:3306/?Action=connect&DBUser=peccy\
             &X-Amz-Algorithm=AWS4-HMAC-SHA256\
             &X-Amz-Credential=akid%2F20240826%2Fus-east-1%2Frds-db%2Faws4_request\
             &X-Amz-Date=20240826T220000Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host\
             &X-Amz-Signature=dd0cba843009474347af724090233265628ace491ea17ce3eb3da098b983ad89"
        );
    }

    #[test]
    fn what_to_do_without_a_region_is_in_the_words() {
        let words = "no AWS region is set; set AWS_REGION, or add ?region= to the URL";
        assert_eq!(NoToken::NoRegion.to_string(), words);
    }

    #[test]
    fn a_session_token_is_part_of_the_signature() {
        let login = Login { host: "db.example", port: 5432, user: "app" };
        let session = Some("a/session+token=".to_owned());
        let credentials = Credentials::new("akid", "secret", session, None, "test");
        let token = signed(login, "eu-west-1", credentials, SystemTime::UNIX_EPOCH);
        let token = token.unwrap();
        assert!(token.starts_with("db.example:5432/?Action=connect&DBUser=app&"), "{token}");
        assert!(token.contains("X-Amz-Security-Token=a%2Fsession%2Btoken%3D"), "{token}");
    }
}
