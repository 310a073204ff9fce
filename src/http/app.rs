//! What the responses are made from, as every handler gets it.

use std::sync::Arc;

use axum::extract::FromRef;
use serde::Serialize;

use super::access::Access;
use super::changes::Events;
use super::connections::Connections;
use super::election_state::Elections;
use crate::gate::Gate;
use crate::metrics::Metrics;

/// Where the records are, for people: do two instances share a store?
#[derive(Clone, Debug, Default, Serialize)]
pub struct StoreName {
    /// The URL, without its secrets.
    pub url: String,
    /// The namespace of the records, if they have one.
    pub namespace: Option<String>,
}

/// What the answers are made from.
pub struct App {
    /// The elections.
    pub elections: Elections,
    /// The counters.
    pub metrics: Metrics,
    /// None if there is no gate.
    pub gate: Option<Gate>,
    pub(super) store: StoreName,
    /// Who may change something.
    pub access: Access,
    pub(super) events: Events,
    pub(super) connections: Connections,
}

impl App {
    /// Without a gate, for at most `clients` at once.
    pub fn new(elections: Elections, metrics: Metrics, access: Access, clients: usize) -> Self {
        let events = Events::of(elections.iter().count());
        let connections = Connections::new(clients);
        Self {
            elections,
            metrics,
            gate: None,
            store: StoreName::default(),
            access,
            events,
            connections,
        }
    }

    /// With records that are there.
    #[must_use]
    pub fn on(self, store: StoreName) -> Self {
        Self { store, ..self }
    }

    /// Behind this gate, if there is one.
    #[must_use]
    pub fn behind(self, gate: Option<Gate>) -> Self {
        Self { gate, ..self }
    }
}

impl FromRef<Arc<App>> for Access {
    fn from_ref(app: &Arc<App>) -> Self {
        app.access.clone()
    }
}

impl FromRef<Arc<App>> for Elections {
    fn from_ref(app: &Arc<App>) -> Self {
        app.elections.clone()
    }
}
