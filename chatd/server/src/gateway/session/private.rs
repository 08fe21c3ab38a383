//! Private requests as a session hears and tells of them: PASK, PANS, PCAN, PMOV and PRIV. The store decides; here bodies are
//! checked, and tickets and the relay are added to what it says.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use chat_proto::fault::{Code, Fault};
use chat_proto::limits;
use chat_proto::machine::private::requests::RequestId;
use chat_proto::wire::{self, PrivateNotice};
use prost::Message;
use tokio::sync::oneshot;

use super::input::Failure;
use super::{End, Session};
use crate::private::ticket::Ticket;
use crate::rate::Rate;
use crate::store::private::{Ask, Notice, Open, What};
use crate::store::{Op, Query, Store};

/// How often a session may tell that it moved.
pub(super) fn moves() -> Rate {
    let (burst, per_second) = limits::PRIVATE_MOVES;
    Rate::burst(burst, per_second)
}

impl<S: Store> Session<S> {
    pub(super) async fn private_ask(&mut self, ask: wire::PrivateAsk) -> Result<Bytes, Failure> {
        let id = request_id(&ask.id)?;
        if ask.note.len() > limits::NOTE_MAX {
            return Err(Code::TOO_LARGE.into());
        }
        let endpoint = match ask.endpoint {
            Some(endpoint) => checked(endpoint)?,
            // Nobody is to be told where.
            None if ask.check => wire::PeerEndpoint::default(),
            None => return Err(End::protocol().into()),
        };
        let own = endpoint.endpoint_id.clone();
        let to = self.gateway.accounts.look_up(&ask.to);
        let peer = to.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
        let (fence, note, ttl_ms, check) = (self.fence, ask.note, ask.ttl_ms, ask.check);
        let ask = Ask { fence, id, to, note, ttl_ms, endpoint, check };
        let ruling = self.private_op(|answer| Op::PrivateAsk(Box::new(ask), answer)).await?;
        let (asked, news) = ruling.map_or_else(|fault| (Err(fault), false), |ruling| (ruling.done, ruling.news));
        if !check {
            let outcome = asked.as_ref().map_or_else(|fault| fault.code, |_| Code::ACCEPTED);
            self.gateway.metrics.private_request(outcome);
            if news {
                self.audit_private("asked", asked.as_ref().err(), &peer);
            }
        }
        let asked = asked?;
        // The endpoint of this very request: since it was first asked the device may have another one.
        let open = asked.open.map(|open| self.opened(Open { own, ..open }));
        Ok(wire::PrivateAsked { id: asked.id.to_vec(), expires_in_ms: asked.expires_in_ms, open }
            .encode_to_vec()
            .into())
    }

    pub(super) async fn private_answer(&mut self, answer: wire::PrivateAnswer) -> Result<Bytes, Failure> {
        let id = request_id(&answer.id)?;
        let accept = match (answer.accept, answer.endpoint) {
            (true, Some(endpoint)) => Some(Box::new(checked(endpoint)?)),
            (true, None) => return Err(End::protocol().into()),
            (false, _) => None,
        };
        let said = if accept.is_some() { "accepted" } else { "declined" };
        let fence = self.fence;
        let ruling = self.private_op(|answer| Op::PrivateAnswer { fence, id, accept, answer }).await??;
        let done = ruling.done;
        if ruling.news {
            let peer = match &done {
                Ok(Some(open)) => open.account.to_string(),
                _ => "-".to_owned(),
            };
            self.audit_private(said, done.as_ref().err(), &peer);
        }
        let open = done?.map(|open| self.opened(open));
        Ok(wire::PrivateAnswered { open }.encode_to_vec().into())
    }

    pub(super) async fn private_cancel(&mut self, cancel: &wire::PrivateCancel) -> Result<Bytes, Failure> {
        let (fence, id) = (self.fence, request_id(&cancel.id)?);
        self.private_op(|answer| Op::PrivateCancel { fence, id, answer }).await??;
        Ok(Bytes::new())
    }

    /// Renews a ticket; with an endpoint, tells the peer's device that this side is there now. Nothing is remembered of it.
    pub(super) async fn private_move(&mut self, ask: wire::PrivateMove) -> Result<Bytes, Failure> {
        let (now, wall_ms) = (self.gateway.clock.mono_ms(), self.gateway.clock.wall_ms());
        if let Err(wait) = self.moves.take(moves(), now) {
            return Err(Fault { code: Code::SLOW_DOWN, retry_after_ms: Some(wait) }.into());
        }
        if !self.gateway.live.get().sessions.private {
            return Err(Code::PRIVATE_OFF.into());
        }
        let endpoint = ask.endpoint.map(checked).transpose()?;
        let own = |ticket: &Ticket| ticket.account == self.login.name && ticket.device == self.login.id;
        let ticket = self.gateway.private.tickets.check(&ask.ticket, wall_ms).filter(own);
        // Somebody else's, forged or too old: one answer (S27).
        let mut ticket = ticket.ok_or(Code::FORBIDDEN)?;
        // This session may be about to end with its device.
        let (answer, admissible) = oneshot::channel();
        self.gateway.store.query(Query::Admissible(ticket.account.clone(), ticket.device, answer));
        if !admissible.await.map_err(|_| End::storage())? {
            return Err(Code::FORBIDDEN.into());
        }
        let mut told = false;
        if let Some(endpoint) = endpoint {
            ticket.endpoint = key(&endpoint.endpoint_id)?;
            told = self.tell_moved(&ticket, endpoint).await?;
        }
        let moved = wire::PrivateMoved {
            ticket: self.gateway.private.tickets.issue(&ticket, wall_ms),
            relay: self.gateway.private.relay(),
            told,
        };
        Ok(moved.encode_to_vec().into())
    }

    /// Tells the peer's device. A block does not end a session (mission rule 21), but to who is blocked the peer seems not to be here.
    async fn tell_moved(&self, ticket: &Ticket, endpoint: wire::PeerEndpoint) -> Result<bool, Failure> {
        let Some(mailbox) = self.gateway.directory.device(&ticket.peer, ticket.peer_device) else { return Ok(false) };
        let open = wire::PrivateOpen {
            id: ticket.session.to_vec(),
            account: ticket.account.to_string(),
            device_id: ticket.device.0.to_vec(),
            endpoint: Some(endpoint),
            asker: !ticket.asker,
            relay: self.gateway.private.relay(),
            // The one that the peer has is still good.
            ticket: String::new(),
        };
        mailbox.moved(PrivateNotice {
            what: PrivateNotice::MOVED,
            id: open.id.clone(),
            account: open.account.clone(),
            open: Some(open),
            ..PrivateNotice::default()
        });
        let (answer, blocked) = oneshot::channel();
        self.gateway.store.query(Query::Blocked(mailbox.login().acct, answer));
        let blocked = blocked.await.map_err(|_| End::storage())?;
        Ok(!blocked.contains(&ticket.account))
    }

    /// Tells what became of requests, and which peers moved.
    pub(super) fn tell_private(&mut self, notices: Vec<Notice>, moved: Vec<PrivateNotice>) {
        for notice in notices {
            let notice = self.notice(notice);
            self.push_private(&notice);
        }
        moved.iter().for_each(|notice| self.push_private(notice));
    }

    fn push_private(&mut self, notice: &PrivateNotice) {
        self.link.queue(&chat_proto::frame::Frame::new(chat_proto::method::PRIVATE, 0, notice));
    }

    fn notice(&self, notice: Notice) -> PrivateNotice {
        let Notice { id, account, what, .. } = notice;
        let told = PrivateNotice {
            what: what.number(),
            id: id.to_vec(),
            account: account.to_string(),
            ..PrivateNotice::default()
        };
        match what {
            What::Request { note, expires_in_ms, peer_key } => PrivateNotice { note, expires_in_ms, peer_key, ..told },
            What::Accepted(open) => PrivateNotice { open: Some(self.opened(open)), ..told },
            What::Declined | What::Expired | What::Left | What::Withdrawn | What::Answered => told,
        }
    }

    /// With this side's ticket, and the relay.
    fn opened(&self, open: Open) -> wire::PrivateOpen {
        let ticket = key(&open.own).map(|endpoint| Ticket {
            session: open.id,
            account: self.login.name.clone(),
            device: self.login.id,
            endpoint,
            peer: open.account.clone(),
            peer_device: open.device,
            asker: open.asker,
        });
        let issue = |ticket| self.gateway.private.tickets.issue(&ticket, self.gateway.clock.wall_ms());
        wire::PrivateOpen {
            id: open.id.to_vec(),
            account: open.account.to_string(),
            device_id: open.device.0.to_vec(),
            endpoint: Some(open.endpoint),
            asker: open.asker,
            relay: self.gateway.private.relay(),
            ticket: ticket.map(issue).unwrap_or_default(),
        }
    }

    async fn private_op<T>(&self, op: impl FnOnce(crate::store::Answer<T>) -> Op) -> Result<Result<T, Fault>, End> {
        let (answer, done) = oneshot::channel();
        self.gateway.store.submit(op(answer)).await;
        done.await.map_err(|_| End::storage())
    }

    /// Who asked whom is in the audit log; where they can be reached is not. For news alone: what can be said again and again at no
    /// cost would push everything else out of it.
    fn audit_private(&self, what: &str, refused: Option<&Fault>, peer: &str) {
        let how = refused.map_or_else(String::new, |fault| format!(" refused, {}", fault.code.name()));
        let peer = chat_proto::display::line(peer);
        let name = self.login.name.as_str();
        let line = format_args!("private request {what}{how}: account {name}, peer {peer}");
        self.gateway.audit.line(self.link.peer_addr(), name, line);
    }
}

fn request_id(bytes: &[u8]) -> Result<RequestId, End> {
    bytes.try_into().map_err(|_| End::protocol())
}

fn key(bytes: &[u8]) -> Result<[u8; 32], End> {
    bytes.try_into().map_err(|_| End::protocol())
}

/// An endpoint as it may be passed on: keys of the right size, addresses that are some, and few. Those at which nobody can be reached
/// are left out, and all of them where only the relay is to be used.
fn checked(mut endpoint: wire::PeerEndpoint) -> Result<wire::PeerEndpoint, End> {
    key(&endpoint.endpoint_id)?;
    key(&endpoint.peer_key)?;
    if endpoint.addresses.len() > limits::PEER_ADDRESSES_MAX || (endpoint.relay_only && endpoint.direct_only) {
        return Err(End::protocol());
    }
    let parsed: Result<Vec<SocketAddr>, _> = endpoint.addresses.iter().map(|address| address.parse()).collect();
    let parsed = parsed.map_err(|_| End::protocol())?;
    let told = parsed.into_iter().filter(|address| is_reachable(address) && !endpoint.relay_only);
    endpoint.addresses = told.map(|address| address.to_string()).collect();
    Ok(endpoint)
}

fn is_reachable(address: &SocketAddr) -> bool {
    let ip = address.ip();
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !broadcast
}
