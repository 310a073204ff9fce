//! The table: created if it is missing, and refused if it cannot keep the promises.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, MultiRegionConsistency,
    ScalarAttributeType, TableDescription, TableStatus,
};

use super::errors::{self, DynamoDbError};
use super::item;
use super::place::Place;
use crate::store::contract::StoreError;

/// How often a table that is being created is looked at.
const PAUSE: Duration = Duration::from_millis(500);

/// Looks in a row before giving up on a table that is being created: half a minute. AWS takes
/// five to ten seconds.
const LOOKS: usize = 60;

/// A table as it was found.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// It can be used.
    Ready,
    /// It is being created.
    Coming,
    /// There is none.
    Missing,
}

/// Looks at the table, once.
pub async fn check(client: &Client, place: &Place) -> Result<Found, StoreError> {
    match client.describe_table().table_name(place.table()).send().await {
        Ok(output) => match output.table() {
            Some(table) => judge(table, place),
            None => Err(place.unavailable("did not describe itself")),
        },
        Err(error) => match errors::failure(place, &error) {
            DynamoDbError::NoTable => Ok(Found::Missing),
            DynamoDbError::Explained(error) => Err(error),
        },
    }
}

/// Creates the table if there is none. Many at once are fine: one creates it, the others see that.
pub async fn create(client: &Client, place: &Place) -> Result<(), StoreError> {
    let request = client
        .create_table()
        .table_name(place.table())
        .billing_mode(BillingMode::PayPerRequest)
        .set_attribute_definitions(Some(attributes(place)?))
        .set_key_schema(Some(keys(place)?));
    let Err(error) = request.send().await else {
        tracing::info!(
            table = %place, event = "dynamodb_table_created",
            "the table did not exist; created it, billed by request"
        );
        return Ok(());
    };
    if error.code() == Some("ResourceInUseException") {
        return Ok(());
    }
    Err(match errors::failure(place, &error) {
        DynamoDbError::NoTable => place.unavailable("could not be created"),
        DynamoDbError::Explained(StoreError::Misconfigured(why)) => cannot_create(place, &why),
        DynamoDbError::Explained(error) => error,
    })
}

/// Waits until the table can be used, creating it if there is none.
pub async fn ensure(client: &Client, place: &Place) -> Result<(), StoreError> {
    for look in 0..LOOKS {
        // The second look is at once: where tables are there at once, there is no wait.
        if look > 1 {
            tokio::time::sleep(PAUSE).await;
        }
        match check(client, place).await? {
            Found::Ready => return Ok(()),
            Found::Coming => {}
            Found::Missing => create(client, place).await?,
        }
    }
    Err(coming(place))
}

/// The table is there, but not yet for use.
pub fn coming(place: &Place) -> StoreError {
    place.unavailable("is being created")
}

/// There is no table, and a command that only reads does not create one.
pub fn missing(place: &Place) -> StoreError {
    StoreError::Misconfigured(format!(
        "{place} does not exist; check name, region and account, then run `bellwether init --store \
         '{}'` or start an instance",
        place.url()
    ))
}

fn cannot_create(place: &Place, why: &str) -> StoreError {
    StoreError::Misconfigured(format!(
        "{place} does not exist, and cannot be created from here; create it once with a role that \
         may (dynamodb:CreateTable): `bellwether init --store '{}'`, or by \
         deploy/cloudformation/dynamodb-table.yaml; DynamoDB reports: {why}",
        place.url()
    ))
}

fn judge(table: &TableDescription, place: &Place) -> Result<Found, StoreError> {
    if !has_our_key(table) {
        return Err(errors::wrong_key(place));
    }
    let replicated = !table.replicas().is_empty() || table.global_table_version().is_some();
    let strong = table.multi_region_consistency() == Some(&MultiRegionConsistency::Strong);
    if replicated && !strong {
        return Err(place.misconfigured(
            "is a global table with eventual consistency: two regions could each elect a leader; \
             use a table of one region, or a global table with multi-region strong consistency",
        ));
    }
    Ok(match table.table_status() {
        // Its replicas or capacity are being changed: it can be used all the while.
        Some(TableStatus::Active | TableStatus::Updating) => Found::Ready,
        Some(TableStatus::Deleting) => return Err(place.unavailable("is being deleted")),
        Some(TableStatus::Creating) | None => Found::Coming,
        Some(status) => {
            let message = format!("cannot be used: its status is {}", status.as_str());
            return Err(place.misconfigured(message));
        }
    })
}

fn has_our_key(table: &TableDescription) -> bool {
    let [key] = table.key_schema() else { return false };
    let text = |attribute: &AttributeDefinition| {
        attribute.attribute_name() == item::KEY
            && *attribute.attribute_type() == ScalarAttributeType::S
    };
    key.attribute_name() == item::KEY
        && *key.key_type() == KeyType::Hash
        && table.attribute_definitions().iter().any(text)
}

fn attributes(place: &Place) -> Result<Vec<AttributeDefinition>, StoreError> {
    let key = AttributeDefinition::builder()
        .attribute_name(item::KEY)
        .attribute_type(ScalarAttributeType::S);
    Ok(vec![key.build().map_err(|_| place.unavailable("could not be reached"))?])
}

fn keys(place: &Place) -> Result<Vec<KeySchemaElement>, StoreError> {
    let key = KeySchemaElement::builder().attribute_name(item::KEY).key_type(KeyType::Hash);
    Ok(vec![key.build().map_err(|_| place.unavailable("could not be reached"))?])
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::types::ReplicaDescription;
    use aws_sdk_dynamodb::types::builders::TableDescriptionBuilder;

    use super::*;
    use crate::store::dynamodb::Target;

    fn place() -> Place {
        Place::new(&Target::parse("dynamodb://leases?region=eu-west-1").unwrap())
    }

    fn ours() -> TableDescriptionBuilder {
        TableDescription::builder()
            .set_key_schema(Some(keys(&place()).unwrap()))
            .set_attribute_definitions(Some(attributes(&place()).unwrap()))
            .table_status(TableStatus::Active)
    }

    fn refusal(table: TableDescriptionBuilder) -> String {
        match judge(&table.build(), &place()) {
            Err(StoreError::Misconfigured(message)) => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_table_of_ours_is_used_when_it_is_there() {
        let found = |table: TableDescriptionBuilder| judge(&table.build(), &place()).unwrap();
        assert_eq!(found(ours()), Found::Ready);
        assert_eq!(found(ours().table_status(TableStatus::Updating)), Found::Ready);
        assert_eq!(found(ours().table_status(TableStatus::Creating)), Found::Coming);
        let archived = ours().table_status(TableStatus::Archived);
        assert!(refusal(archived).contains("ARCHIVED"));
    }

    #[test]
    fn another_key_schema_is_refused() {
        let sort = KeySchemaElement::builder().attribute_name("sort").key_type(KeyType::Range);
        assert!(refusal(ours().key_schema(sort.build().unwrap())).contains("no sort key"));
        let number = AttributeDefinition::builder()
            .attribute_name(item::KEY)
            .attribute_type(ScalarAttributeType::N);
        let number = vec![number.build().unwrap()];
        assert!(refusal(ours().set_attribute_definitions(Some(number))).contains("type S"));
    }

    #[test]
    fn a_global_table_is_refused_unless_it_is_strongly_consistent() {
        let replicated = || ours().replicas(ReplicaDescription::builder().region_name("b").build());
        assert!(refusal(replicated()).contains("eventual consistency"));
        let eventual = replicated().multi_region_consistency(MultiRegionConsistency::Eventual);
        assert!(refusal(eventual).contains("eventual consistency"));
        assert!(refusal(ours().global_table_version("2017.11.29")).contains("eventual"));
        let strong = replicated().multi_region_consistency(MultiRegionConsistency::Strong);
        assert_eq!(judge(&strong.build(), &place()), Ok(Found::Ready));
    }
}
