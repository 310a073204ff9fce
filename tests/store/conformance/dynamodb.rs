//! The DynamoDB store, on an emulator.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::primitives::{DateTime, DateTimeFormat};
use aws_sdk_dynamodb::types::AttributeValue;
use bellwether::election::lease::ElectionName;
use bellwether::store::Store;

use crate::conformance::subject::Subject;
use support::dynamodb::{Emulator, PATIENCE, SKEW, open, url};

struct DynamoDb {
    emulator: Emulator,
    /// What the URL has beside the table.
    more: &'static str,
    /// What keys begin with.
    prefix: &'static str,
    skew: Option<Duration>,
}

async fn dynamodb(more: &'static str, prefix: &'static str, skew: Option<Duration>) -> DynamoDb {
    DynamoDb { emulator: Emulator::start(), more, prefix, skew }
}

impl DynamoDb {
    fn key(&self, election: &str) -> AttributeValue {
        AttributeValue::S(format!("{}{election}", self.prefix))
    }

    async fn set(&self, election: &str, attribute: &str, value: AttributeValue) {
        let request = self.emulator.client().update_item().table_name("leases");
        let request = request
            .key("election", self.key(election))
            .update_expression("SET #attribute = :value")
            .expression_attribute_names("#attribute", attribute)
            .expression_attribute_values(":value", value);
        request.send().await.unwrap();
    }
}

#[async_trait]
impl Subject for DynamoDb {
    fn store(&self) -> Arc<dyn Store> {
        self.from_another_process()
    }

    fn from_another_process(&self) -> Arc<dyn Store> {
        open(&format!("{}{}", url(self.emulator.port()), self.more), PATIENCE, self.skew)
    }

    fn has_a_clock(&self) -> bool {
        self.skew.is_some()
    }

    /// The skew, the whole second that a date cuts off, and the request on its way.
    fn judges_late_by(&self) -> Duration {
        self.skew.unwrap_or_default() + Duration::from_secs(2)
    }

    fn pushes_hints(&self) -> bool {
        false
    }

    /// The clock is the service's: instead of it, the end of every lease is moved.
    async fn let_pass(&self, time: Duration) {
        let scanned = self.emulator.client().scan().table_name("leases").send().await.unwrap();
        for item in scanned.items() {
            let key = item["election"].as_s().unwrap().strip_prefix(self.prefix).unwrap();
            let expires = item["expires"].as_s().unwrap();
            let expires = DateTime::from_str(expires, DateTimeFormat::DateTime).unwrap();
            let time = i64::try_from(time.as_millis()).unwrap();
            let expires = DateTime::from_millis(expires.to_millis().unwrap() - time);
            let expires = expires.fmt(DateTimeFormat::DateTime).unwrap();
            self.set(key, "expires", AttributeValue::S(expires)).await;
        }
    }

    async fn write_future_shape(&self, election: &ElectionName) -> Option<String> {
        self.set(election.as_str(), "format", AttributeValue::N("99".to_owned())).await;
        self.set(election.as_str(), "more", AttributeValue::S("of the future".to_owned())).await;
        Some(self.raw(election).await)
    }

    async fn raw(&self, election: &ElectionName) -> String {
        self.emulator.item(self.key(election.as_str()).as_s().unwrap()).await
    }
}

mod own_table {
    crate::conformance::conformance!(super::dynamodb("", "", Some(super::SKEW)));
}

mod shared_table {
    crate::conformance::conformance!(super::dynamodb("&prefix=flock", "flock/", Some(super::SKEW)));
}

mod without_a_clock {
    crate::conformance::conformance!(super::dynamodb("", "", None));
}
