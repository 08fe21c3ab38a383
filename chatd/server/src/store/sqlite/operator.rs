//! What the operator does, inside the writer's transaction.

use chat_proto::fault::Code;
use chat_proto::wire::{self, kind};

use super::people::Decided;
use super::writer::Writer;
use crate::store::{AcctId, DevId};

impl Writer {
    /// One row with its audience, as a broadcast is: kept for all of them, though they leave.
    pub fn announcement(&mut self, text: String, now_ms: i64) -> Decided<u32> {
        if !self.begun.space.admits() {
            return Ok(Err(Code::STORAGE.into()));
        }
        let mut audience: Vec<AcctId> = self.begun.world.presence.all().collect();
        audience.sort_unstable();
        let sent = u32::try_from(audience.len()).unwrap_or(u32::MAX);
        if sent > 0 {
            let deliver = wire::Deliver {
                kind: kind::ANNOUNCEMENT,
                at_ms: now_ms,
                content_type: wire::TEXT_PLAIN.into(),
                body: text.into(),
                ..wire::Deliver::default()
            };
            self.own_entry(None, audience, DevId(0), deliver)?;
        }
        Ok(Ok(sent))
    }
}
