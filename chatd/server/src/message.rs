//! Who gets a message: the rules that decide an offered place (mission rules 13 to 17, contract rule 1).
//!
//! Called by the store inside the deciding transaction; everything it reads is as of that moment.

use chat_proto::fault::Code;
use chat_proto::limits::CONTENT_TYPE_MAX;
use chat_proto::wire::{self, kind};

use crate::planted::planted;
use crate::store::AcctId;

/// What the rules must know, as of the deciding transaction.
pub trait Facts {
    /// Why a fact could not be had.
    type Error;
    /// The account of this name.
    fn account(&mut self, name: &str) -> Result<Option<AcctId>, Self::Error>;
    /// Whether `by` blocks `who`.
    fn blocks(&mut self, by: AcctId, who: AcctId) -> Result<bool, Self::Error>;
    /// Whether the account's inbox has room for another entry of `sender`.
    fn has_room(&mut self, account: AcctId, sender: AcctId) -> Result<bool, Self::Error>;
    /// Everyone announced online, grace included.
    fn online(&mut self) -> Vec<AcctId>;
}

/// To whom an accepted message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// To one account, with its number.
    Direct(AcctId),
    /// To all of these.
    Broadcast {
        /// The audience, fixed now (P7).
        audience: Vec<AcctId>,
        /// Some online account was left out because it blocks the sender or is full.
        missed: bool,
    },
}

/// Decides a message of `sender`: to whom it goes, or why not. `text_max` in bytes.
pub fn decide<F: Facts>(
    facts: &mut F,
    sender: AcctId,
    message: &wire::Send,
    text_max: u64,
) -> Result<Result<Accepted, Code>, F::Error> {
    // The envelope must fit too: an entry that its receiver cannot take would stand in his inbox's way for ever.
    if message.body.len() as u64 > text_max || message.content_type.len() > CONTENT_TYPE_MAX {
        return Ok(Err(Code::TOO_LARGE));
    }
    match message.kind {
        kind::BROADCAST => broadcast(facts, sender).map(Ok),
        kind::PRIVATE => Ok(Err(Code::UNSUPPORTED)),
        // Kinds of the server itself cannot be sent (S14); those of a newer client are stored raw.
        forged if forged >= kind::EXPIRED => Ok(Err(Code::FORBIDDEN)),
        _ => direct(facts, sender, &message.to),
    }
}

/// The order of the checks is the rule: unknown and oneself first, then the block list, then room.
fn direct<F: Facts>(facts: &mut F, sender: AcctId, to: &str) -> Result<Result<Accepted, Code>, F::Error> {
    let Some(recipient) = facts.account(to)? else { return Ok(Err(Code::UNKNOWN_USER)) };
    if recipient == sender && !planted("message-to-oneself") {
        return Ok(Err(Code::YOURSELF));
    }
    let unseen = planted("block-only-online") && !facts.online().contains(&recipient);
    if facts.blocks(recipient, sender)? && !unseen {
        return Ok(Err(Code::RECIPIENT_BLOCKED));
    }
    if !facts.has_room(recipient, sender)? {
        return Ok(Err(Code::INBOX_FULL));
    }
    Ok(Ok(Accepted::Direct(recipient)))
}

fn broadcast<F: Facts>(facts: &mut F, sender: AcctId) -> Result<Accepted, F::Error> {
    let mut audience = Vec::new();
    let mut missed = false;
    for account in facts.online() {
        if account == sender {
            continue;
        }
        let blocked = facts.blocks(account, sender)? && !planted("broadcast-to-blocker");
        if blocked || !facts.has_room(account, sender)? {
            missed = true;
        } else {
            audience.push(account);
        }
    }
    audience.sort_unstable();
    Ok(Accepted::Broadcast { audience, missed })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// alice 1, bob 2, carol 3; carol blocks alice; dave 4 is full and offline.
    struct Town;

    impl Facts for Town {
        type Error = std::convert::Infallible;
        fn account(&mut self, name: &str) -> Result<Option<AcctId>, Self::Error> {
            Ok(["alice", "bob", "carol", "dave"].iter().position(|n| *n == name).map(|i| AcctId(i as u32 + 1)))
        }
        fn blocks(&mut self, by: AcctId, who: AcctId) -> Result<bool, Self::Error> {
            Ok((by, who) == (AcctId(3), AcctId(1)))
        }
        fn has_room(&mut self, account: AcctId, _sender: AcctId) -> Result<bool, Self::Error> {
            Ok(account != AcctId(4))
        }
        fn online(&mut self) -> Vec<AcctId> {
            vec![AcctId(3), AcctId(2), AcctId(1)]
        }
    }

    fn send(from: u32, to: &str, kind: u32) -> Result<Accepted, Code> {
        let message = wire::Send { to: to.into(), kind, body: "hi".into(), ..Default::default() };
        let Ok(decided) = decide(&mut Town, AcctId(from), &message, 10);
        decided
    }

    #[test]
    fn each_refusal_has_its_code_and_place() {
        assert_eq!(send(1, "bob", kind::DIRECT), Ok(Accepted::Direct(AcctId(2))));
        assert_eq!(send(1, "nobody", kind::DIRECT), Err(Code::UNKNOWN_USER));
        assert_eq!(send(1, "alice", kind::DIRECT), Err(Code::YOURSELF));
        assert_eq!(send(1, "carol", kind::DIRECT), Err(Code::RECIPIENT_BLOCKED));
        assert_eq!(send(3, "alice", kind::DIRECT), Ok(Accepted::Direct(AcctId(1))), "blocking is one-way");
        assert_eq!(send(1, "dave", kind::DIRECT), Err(Code::INBOX_FULL));
        assert_eq!(send(1, "bob", kind::EXPIRED), Err(Code::FORBIDDEN));
        let long = wire::Send { to: "bob".into(), kind: kind::DIRECT, body: vec![0; 11].into(), ..Default::default() };
        assert_eq!(decide(&mut Town, AcctId(1), &long, 10), Ok(Err(Code::TOO_LARGE)));
    }

    #[test]
    fn a_broadcast_skips_blockers_and_the_sender() {
        let all = |audience: &[u32], missed| {
            Ok(Accepted::Broadcast { audience: audience.iter().map(|a| AcctId(*a)).collect(), missed })
        };
        assert_eq!(send(1, "", kind::BROADCAST), all(&[2], true));
        assert_eq!(send(2, "", kind::BROADCAST), all(&[1, 3], false));
    }
}
