//! Private requests inside the writer's order: who blocks whom and who is here is as of the deciding moment. Nothing of it is
//! written: the broker is memory alone.

use chat_proto::fault::{Code, Fault};
use chat_proto::id::{AccountName, DeviceId};
use chat_proto::machine::private::broker::{self, Notice, Party, Standing, What};
use chat_proto::machine::private::requests::RequestId;
use chat_proto::wire::PeerEndpoint;

use super::apply::Spent;
use super::people::Decided;
use super::start;
use super::writer::{Effect, Writer};
use crate::store::private::{self, Ask, Asked, Open, Ruling};
use crate::store::{AcctId, DevId, Fence, StoreError};

impl Writer {
    pub fn private_ask(&mut self, ask: Ask) -> Decided<Ruling<Asked>> {
        if !self.owns(ask.fence) {
            return Ok(Err(Code::REPLACED.into()));
        }
        let again = !ask.check && self.begun.world.broker.knows(&ask.id, ask.fence.acct, ask.fence.dev);
        if let Some(wait) = (!again).then(|| self.spend(ask.fence.acct, Spent::PrivateRequest)).flatten() {
            return Ok(Err(Fault { code: Code::LIMIT, retry_after_ms: Some(wait) }));
        }
        let done = self.ask_broker(ask)?;
        Ok(Ok(Ruling { done, news: !again }))
    }

    fn ask_broker(&mut self, ask: Ask) -> Decided<Asked> {
        let Ask { fence, id, to, note, ttl_ms, endpoint, check } = ask;
        let to = match to {
            Some(to) => start::account_by_name(&self.begun.conn, &mut self.begun.world, &to)?,
            None => None,
        };
        let Some(to) = to else {
            // Whoever tries names by this way has no more tries than by messages.
            let refused = self.spend(fence.acct, Spent::UnknownRecipient);
            let limited = |wait| Fault { code: Code::LIMIT, retry_after_ms: Some(wait) };
            return Ok(Err(refused.map_or_else(|| Code::UNKNOWN_USER.into(), limited)));
        };
        let standing = self.standing(fence.acct, to)?;
        let ask = broker::Ask { id, from: self.party(fence, endpoint), to, note, ttl_ms };
        let (terms, now) = (self.settings.private, self.mono_ms);
        let broker = &mut self.begun.world.broker;
        let done = if check {
            let nothing = broker::Asked { id, expires_in_ms: 0, open: None };
            broker.handle_check(&ask, standing, terms, now).map(|()| nothing)
        } else {
            broker.handle_ask(ask, standing, terms, now)
        };
        self.tell_private()?;
        match done {
            Err(fault) => Ok(Err(fault)),
            Ok(broker::Asked { id, expires_in_ms, open: None }) => Ok(Ok(Asked { id, expires_in_ms, open: None })),
            Ok(broker::Asked { id, expires_in_ms, open: Some(open) }) => {
                Ok(self.named(open)?.map(|open| Asked { id, expires_in_ms, open: Some(open) }))
            }
        }
    }

    pub fn private_answer(
        &mut self,
        fence: Fence,
        id: RequestId,
        accept: Option<PeerEndpoint>,
    ) -> Decided<Ruling<Option<Open>>> {
        if !self.owns(fence) {
            return Ok(Err(Code::REPLACED.into()));
        }
        let (terms, now) = (self.settings.private, self.mono_ms);
        let by = accept.map(|endpoint| self.party(fence, endpoint));
        // What time did is told by itself: the rest is of this answer.
        self.begun.world.broker.handle_time(now);
        self.tell_private()?;
        let told = self.effects.len();
        let broker = &mut self.begun.world.broker;
        let done = match by {
            Some(by) => broker.handle_accept(id, by, terms, now).map(Some),
            None => broker.handle_decline(id, fence.acct, fence.dev, now).map(|()| None),
        };
        self.tell_private()?;
        let news = self.effects.len() > told;
        let done = match done {
            Err(fault) => Err(fault),
            Ok(None) => Ok(None),
            Ok(Some(open)) => self.named(open)?.map(Some),
        };
        Ok(Ok(Ruling { done, news }))
    }

    pub fn private_cancel(&mut self, fence: Fence, id: RequestId) -> Decided<()> {
        if !self.owns(fence) {
            return Ok(Err(Code::REPLACED.into()));
        }
        let done = self.begun.world.broker.handle_cancel(id, fence.acct, self.mono_ms);
        self.tell_private()?;
        Ok(done)
    }

    /// Passes on what the broker has to tell.
    pub fn tell_private(&mut self) -> Result<(), StoreError> {
        while let Some(notice) = self.begun.world.broker.poll_notice() {
            let Notice { to, id, peer, what } = notice;
            let Some(account) = self.name_of(peer)? else { continue };
            let what = match what {
                What::Accepted(open) => match self.named(open)? {
                    Ok(open) => What::Accepted(open),
                    Err(_) => continue,
                },
                What::Request { note, expires_in_ms, peer_key } => What::Request { note, expires_in_ms, peer_key },
                What::Declined => What::Declined,
                What::Expired => What::Expired,
                What::Left => What::Left,
                What::Withdrawn => What::Withdrawn,
                What::Answered => What::Answered,
            };
            self.effects.push(Effect::Private(private::Notice { to, id, account, what }));
        }
        Ok(())
    }

    fn standing(&mut self, asker: AcctId, asked: AcctId) -> Result<Standing, StoreError> {
        start::account(&self.begun.conn, &mut self.begun.world, asker)?;
        start::account(&self.begun.conn, &mut self.begun.world, asked)?;
        let world = &self.begun.world;
        Ok(Standing {
            blocked: world.blocks(asked, asker),
            blocking: world.blocks(asker, asked),
            online: world.presence.is_online(asked),
        })
    }

    fn party(&self, fence: Fence, endpoint: PeerEndpoint) -> Party<AcctId, DevId> {
        let run = self.begun.world.devices.get(&fence.dev).and_then(|device| device.runs.first());
        Party { account: fence.acct, device: fence.dev, run: run.map_or(0, |(run, _)| *run), endpoint }
    }

    /// The same with names; SESSION_ENDED when the other side is no account or no device any more.
    fn named(&mut self, open: broker::Open<AcctId, DevId>) -> Decided<Open> {
        let broker::Open { id, account, device, endpoint, own, asker } = open;
        let (name, device_id) = (self.name_of(account)?, self.device_id(device));
        let (Some(account), Some(device)) = (name, device_id) else { return Ok(Err(Code::SESSION_ENDED.into())) };
        Ok(Ok(Open { id, account, device, endpoint, own, asker }))
    }

    fn name_of(&mut self, acct: AcctId) -> Result<Option<AccountName>, StoreError> {
        let account = start::account(&self.begun.conn, &mut self.begun.world, acct)?;
        Ok(account.map(|account| account.name.clone()))
    }

    fn device_id(&self, dev: DevId) -> Option<DeviceId> {
        self.begun.world.devices.get(&dev).map(|device| device.id)
    }
}
