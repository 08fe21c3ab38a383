//! What the server does for private sessions beside brokering them: it issues tickets, and runs the relay that admits by them.
//!
//! Owned by the gateway, whose sessions ask it when a request was accepted. The broker itself belongs to the store's writer.

pub mod relay;
pub mod ticket;

use std::sync::{Arc, RwLock};

use chat_proto::wire::PrivateRelay;

use crate::StartError;
use crate::certificate::Served;
use crate::clock::Clock;
use crate::config::Config;
use crate::gateway::Gateway;
use crate::listen::RelayPlace;
use crate::settings::Live;
use crate::store::Store;
use crate::sync::read;
use relay::Relay;
use ticket::Tickets;

/// Tickets and relay.
pub struct Private {
    /// Issues and checks tickets.
    pub tickets: Arc<Tickets>,
    relay: Option<Relay>,
    tls: Arc<RwLock<Served>>,
}

impl Private {
    /// Listens at `place`, where there shall be a relay; `secret` seals tickets, `store` knows who may use it. Must be called within
    /// a runtime.
    pub fn start<S: Store>(
        config: &Config,
        place: Option<RelayPlace>,
        secret: &[u8; 32],
        store: &Arc<S>,
        tls: &Arc<RwLock<Served>>,
        clock: Clock,
        live: &Arc<Live>,
    ) -> Result<Private, StartError> {
        let tickets = Arc::new(Tickets::new(secret));
        let listen = |place| {
            let (tickets, live) = (Arc::clone(&tickets), Arc::clone(live));
            // A connection to the relay that is slow to end must not keep the store open.
            let store = Arc::downgrade(store);
            let look_up = Box::new(move |query| {
                if let Some(store) = store.upgrade() {
                    store.query(query);
                }
            });
            Relay::listen(place, config, tls, tickets, look_up, clock, live)
        };
        let relay = place.map(listen).transpose()?;
        Ok(Private { tickets, relay, tls: Arc::clone(tls) })
    }

    /// The relay as clients are told of it, where there is one.
    pub fn relay(&self) -> Option<PrivateRelay> {
        let port = self.relay.as_ref()?.port();
        Some(PrivateRelay { port: port.into(), certificate: read(&self.tls).sha256.to_vec() })
    }

    /// Connections that the relay admitted.
    pub fn relayed(&self) -> usize {
        self.relay.as_ref().map_or(0, Relay::connections)
    }

    /// What the relay did so far, where there is one.
    pub fn carried(&self) -> Option<relay::Carried> {
        self.relay.as_ref().map(Relay::carried)
    }

    /// The configuration was read anew.
    pub fn configured(&self, config: &Config) {
        if let Some(relay) = &self.relay {
            relay.configured(config);
        }
    }
}

/// Starts the relay's tasks, where there is a relay; they end when the shutdown begins.
pub fn serve<S: Store>(gateway: &Arc<Gateway<S>>) {
    if let Some(relay) = &gateway.private.relay {
        relay.serve(gateway);
    }
}
