//! Sessions that go on after a restart: what is written down of them, and how they begin again.

use std::sync::Arc;
use std::time::Duration;

use chat_proto::control::private::{EndReason, SessionState};
use chat_proto::id::{ServerId, hex, unhex};
use chat_proto::limits::{PEER_AWAY, PEER_NOTICES_EVERY};
use chat_proto::machine::private::requests::RequestId;
use chat_proto::{method, wire};
use tokio::time::Instant;

use super::kept::{self, Kept, Saved, Secret};
use super::session::{Beginning, Read, Terms, millis};
use super::{For, Located, endpoint_of};
use crate::peer::{PeerError, Relay, Target};
use crate::pins::Judged;
use crate::profile::owner::{Loaded, Owner};

impl Owner {
    /// What is needed to go on after a restart is written down.
    pub(super) fn keep_sessions(&mut self) {
        let now = Instant::now();
        self.private.keep = super::Keep { last: Some(now), due: None };
        let Some((server, _)) = self.belongs else { return };
        let wall = self.around.world.now_ms();
        let secret = |hidden: bool| {
            let place = self.private.sessions.iter().map(|talk| &talk.place).find(|place| place.hidden == hidden);
            place.map(|place| Secret::new(&place.secret))
        };
        let saved = |talk: &super::Talk| Saved {
            id: hex(&talk.id[..]),
            peer: talk.peer.clone(),
            device: hex(&talk.device.device.0),
            key: hex(&talk.device.key),
            target: hex(&talk.target.endpoint),
            addresses: talk.target.addresses.iter().map(ToString::to_string).collect(),
            relay: talk.relay.as_ref().map(|relay| (relay.address.to_string(), hex(&relay.certificate))),
            ticket: talk.ticket.clone(),
            since_ms: talk.since_ms,
            until_ms: talk.terms.until.map(|until| wall.saturating_add(millis(until.saturating_duration_since(now)))),
            relay_only: talk.terms.relay_only,
            direct_only: talk.terms.direct_only,
            peer_hidden: talk.peer_hidden,
            asker: talk.asker,
        };
        let kept = Kept {
            server: hex(&server.0),
            endpoint: secret(false),
            hidden: secret(true),
            sessions: self.private.sessions.iter().map(saved).chain(self.private.resuming.values().cloned()).collect(),
        };
        if let Err(error) = kept::store(&self.key_directory(), &kept) {
            tracing::error!(%error, "a private session will not survive a restart");
        }
    }

    /// The same in a while: a peer that moves all the time must not cost a flush each time.
    pub(super) fn keep_soon(&mut self) {
        let next = self.private.keep.last.map_or_else(Instant::now, |last| last + PEER_NOTICES_EVERY);
        self.private.keep.due.get_or_insert(next);
    }

    /// Sessions of an earlier start go on, each as soon as the endpoint is there.
    pub fn resume_sessions(&mut self, kept: Kept) {
        let Some(server) = unhex(&kept.server).map(ServerId) else { return };
        let own = self.device.as_ref().map(|device| device.id);
        let (true, Some(own)) = (self.entry.logged_in, own) else {
            // They ended with the login.
            if let Err(error) = kept::store(&self.key_directory(), &Kept::default()) {
                tracing::error!(%error, "what was kept of private sessions stays behind");
            }
            return;
        };
        self.belongs.get_or_insert((server, own));
        for saved in kept.sessions {
            let Some(id) = unhex(&saved.id) else { continue };
            let relay_only = saved.relay_only;
            self.private.resuming.insert(id, saved);
            self.locate(id, For::Resume, relay_only, false);
        }
    }

    /// The endpoint is there: the session goes on as if its link had been lost. Where it cannot, it is over, and that is told.
    pub(super) fn resume(&mut self, id: &RequestId, located: Result<Located, PeerError>) {
        let Some(saved) = self.private.resuming.get(id).cloned() else { return };
        let (Ok(Located { place, .. }), Ok(key), Some((server, own_device)), Some(read)) =
            (located, self.peer_key(), self.belongs, understood(&saved))
        else {
            return self.end_resuming(id, EndReason::Link);
        };
        let Judged::Known(known) = self.around.pins.judge(server, &saved.peer, read.peer.key) else {
            return self.end_resuming(id, EndReason::Identity);
        };
        self.private.resuming.remove(id);
        // Another session took its place.
        if self.private.with(&saved.peer).is_some() {
            return;
        }
        let now = Instant::now();
        let left = saved.until_ms.map(|until| until.saturating_sub(self.around.world.now_ms()));
        let until = left.map(|left| now + Duration::from_millis(u64::try_from(left).unwrap_or(0)));
        let terms = Terms { relay_only: saved.relay_only, direct_only: saved.direct_only, until };
        let Saved { peer, ticket, asker, since_ms, .. } = saved;
        let beginning = Beginning { own: (server, own_device, key), known, asker, ticket, first: true };
        let talk = self.begin(peer, read, terms, place, beginning);
        let (state, renew) = (SessionState::Away, now + PEER_AWAY);
        self.private.sessions.push(super::Talk { state, since_ms, renew, proven: true, ..talk });
        self.private.to_move.push(*id);
        self.tell_moved();
    }

    /// Peers of resumed sessions learn by the server where this side is now: they may not be reachable otherwise.
    pub(super) fn tell_moved(&mut self) {
        if self.online().is_none() {
            return;
        }
        for id in std::mem::take(&mut self.private.to_move) {
            let Some(talk) = self.private.talk(&id).filter(|talk| talk.state != SessionState::Open) else { continue };
            let (place, ticket, terms) = (Arc::clone(&talk.place), talk.ticket.clone(), talk.terms);
            let Ok(key) = self.peer_key().map(|key| key.public()) else { continue };
            let loads = self.loads.clone();
            tokio::spawn(async move {
                let endpoint = endpoint_of(&place, key, terms.relay_only, terms.direct_only).await;
                let _ = loads.send(Loaded::Moving { id, ticket, endpoint });
            });
        }
    }

    /// The own addresses are known: they are told.
    pub fn moving(&mut self, id: RequestId, ticket: String, endpoint: wire::PeerEndpoint) {
        let moved = wire::PrivateMove { ticket, endpoint: Some(endpoint) };
        self.ask_server(method::PRIVATE_MOVE, &moved, move |answer| Loaded::Renewed { id, answer });
    }
}

/// What was kept of a session, understood.
fn understood(saved: &Saved) -> Option<Read> {
    let relay = |(address, certificate): &(String, String)| {
        Some(Relay { address: address.parse().ok()?, certificate: unhex(certificate)? })
    };
    let relay = saved.relay.as_ref().and_then(relay);
    let target = Target {
        endpoint: unhex(&saved.target)?,
        addresses: saved.addresses.iter().filter_map(|address| address.parse().ok()).collect(),
        relay: relay.clone(),
    };
    let (id, peer) = (unhex(&saved.id)?, saved.device()?);
    Some(Read { id, peer, target, relay, hidden: saved.peer_hidden, direct_only: saved.direct_only })
}
