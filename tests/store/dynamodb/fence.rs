//! Fencing: an application's write that is applied only while its term is the current one.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, ConditionCheck, Put, TransactWriteItem};
use bellwether::store::Store;

use crate::dynamodb::calls::{held, won};
use support::dynamodb::{Emulator, PATIENCE, SKEW, open};

/// Writes an item of the application, if `term` is still the term of `election`. This is the
/// example of docs/dynamodb.md, which a test there compares with it.
// fence:begin
async fn write_as_leader(
    dynamodb: &Client,
    election: &str,
    term: u64,
    write: Put,
) -> Result<bool, aws_sdk_dynamodb::Error> {
    let lease = ConditionCheck::builder()
        .table_name("leases")
        .key("election", AttributeValue::S(election.to_owned()))
        .condition_expression("#term = :term AND attribute_exists(#holder)")
        .expression_attribute_names("#term", "term")
        .expression_attribute_names("#holder", "holder")
        .expression_attribute_values(":term", AttributeValue::N(term.to_string()))
        .build()?;
    let written = dynamodb
        .transact_write_items()
        .transact_items(TransactWriteItem::builder().condition_check(lease).build())
        .transact_items(TransactWriteItem::builder().put(write).build())
        .send()
        .await;
    match written.map_err(|error| error.into_service_error()) {
        Ok(_) => Ok(true),
        // The first reason is the lease's. "TransactionConflict" would mean: try again.
        Err(TransactWriteItemsError::TransactionCanceledException(cancelled))
            if cancelled.cancellation_reasons().first().and_then(|reason| reason.code())
                == Some("ConditionalCheckFailed") =>
        {
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}
// fence:end

#[tokio::test]
async fn a_write_of_an_overtaken_leader_is_refused() {
    let emulator = Emulator::start();
    let dynamodb = emulator.client();
    let store = open(&emulator.url(), PATIENCE, Some(SKEW));
    store.init().await.unwrap();
    let write = |by: &str| {
        let item = Put::builder().table_name("leases");
        item.item("election", AttributeValue::S("of the application".to_owned()))
            .item("by", AttributeValue::S(by.to_owned()))
            .build()
            .unwrap()
    };
    let first = won(&store, None, &held("a", 1)).await;
    assert!(write_as_leader(&dynamodb, "default", 1, write("a")).await.unwrap());
    let renewed = won(&store, Some(&first), &held("a", 1)).await;
    assert!(write_as_leader(&dynamodb, "default", 1, write("a, renewed")).await.unwrap());

    won(&store, Some(&renewed), &held("b", 2)).await;
    assert!(!write_as_leader(&dynamodb, "default", 1, write("a, late")).await.unwrap());
    assert!(emulator.item("of the application").await.contains("a, renewed"), "untouched");
    assert!(write_as_leader(&dynamodb, "default", 2, write("b")).await.unwrap());
    assert!(!write_as_leader(&dynamodb, "other", 1, write("no_leader")).await.unwrap());
}

#[test]
fn the_example_of_the_page_is_the_one_that_is_tested() {
    let tested = include_str!("fence.rs");
    let tested = tested.split("// fence:begin\n").nth(1).unwrap();
    let tested = tested.split("// fence:end").next().unwrap().trim();
    let page = include_str!("../../../docs/dynamodb.md");
    assert!(page.contains(tested), "copy it from tests/store/dynamodb/fence.rs");
}
