//! Notes the `Date` of every answer of the service.

use std::fmt;
use std::sync::Arc;

use aws_sdk_dynamodb::config::interceptors::{
    BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
};
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::config_bag::{Storable, StoreReplace};

use crate::election::time::{BootTime, Clock};
use crate::store::service_clock::{ServiceClock, ServiceTime};

/// Hands dates to the service clock.
pub struct NotesDates {
    clock: Arc<dyn Clock>,
    service_clock: Arc<ServiceClock>,
}

impl NotesDates {
    /// For the answers of one service.
    pub fn new(clock: Arc<dyn Clock>, service_clock: Arc<ServiceClock>) -> Self {
        Self { clock, service_clock }
    }
}

/// When a request was sent, kept beside it.
#[derive(Debug)]
struct Sent(BootTime);

impl Storable for Sent {
    type Storer = StoreReplace<Self>;
}

impl Intercept for NotesDates {
    fn name(&self) -> &'static str {
        "NotesDates"
    }

    fn read_before_transmit(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        config.interceptor_state().store_put(Sent(self.clock.now().boot));
        Ok(())
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let received = self.clock.now().boot;
        if let (Some(sent), Some(date)) = (config.load::<Sent>(), date(context.response())) {
            self.service_clock.note(date, sent.0, received);
        }
        Ok(())
    }
}

/// The date of an answer, if it is the service's own and of now.
fn date(response: &HttpResponse) -> Option<ServiceTime> {
    let headers = response.headers();
    // Every answer of the service has an id; an error page of something on the way has none, and
    // another clock. What comes from a cache has an age (RFC 9111).
    headers.get("x-amzn-requestid")?;
    if headers.get("age").is_some() {
        return None;
    }
    ServiceTime::from_http_date(headers.get("date")?)
}

impl fmt::Debug for NotesDates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotesDates").finish_non_exhaustive()
    }
}
