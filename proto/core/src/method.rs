//! The four-letter methods of the conversation between chatd and chat-server: the constants and nothing else.
//!
//! The body of each is the struct of the same noun in [`crate::wire`]; the prose is `proto/spec/wire.md`.

/// The four ASCII bytes that name what a frame is.
pub type Tag4 = [u8; 4];

/// Client asks the server to prove its long-term identity over this TLS channel.
pub const IDENTIFY: Tag4 = *b"IDNT";
/// Client names the account it wants to be; a short request of its own (mission rule 1).
pub const NAME: Tag4 = *b"NAME";
/// Client creates an account with a password and enrols its device.
pub const REGISTER: Tag4 = *b"REGI";
/// Client enrols its device by password.
pub const LOGIN: Tag4 = *b"LOGI";
/// Client logs in by the key of an enrolled device.
pub const DEVICE: Tag4 = *b"DEVI";
/// Client opens (or resumes) its session: streams, cursor, limits.
pub const HELLO: Tag4 = *b"HELO";
/// Client ends its session on purpose; answered behind the verdicts of its sends.
pub const LOGOUT: Tag4 = *b"LOGO";
/// Client hands over a message.
pub const SEND: Tag4 = *b"SEND";
/// Client gives up open places of a stream.
pub const VOID: Tag4 = *b"VOID";
/// Server tells decisions about sent messages (push).
pub const VERDICT: Tag4 = *b"VRDT";
/// Server says that nothing was decided beyond a place in a stream, send again (push).
pub const GAP: Tag4 = *b"GAPS";
/// Server says that it cannot decide now (push).
pub const TRY_LATER: Tag4 = *b"LATR";
/// Server hands over an inbox entry (push).
pub const DELIVER: Tag4 = *b"DLVR";
/// Client asks for the inbox from a position on.
pub const FETCH: Tag4 = *b"FTCH";
/// Server says that entries were taken by retention (push).
pub const GONE: Tag4 = *b"GONE";
/// Client acknowledges what its history holds.
pub const ACK: Tag4 = *b"ACKN";
/// Client tells how far messages of a sender were read; server passes it on (push).
pub const MARK: Tag4 = *b"MARK";
/// Client asks for, and server pushes, how far a recipient got (delivered, read).
pub const RECEIPT: Tag4 = *b"RCPT";
/// Client asks what the server decided about one place of a stream of its own.
pub const TRACE: Tag4 = *b"TRCE";
/// Server announces who came and went (push).
pub const PRESENCE: Tag4 = *b"PRES";
/// Client asks who is online.
pub const WHOELSE: Tag4 = *b"WHOE";
/// Client asks who was online since some time ago.
pub const WHOELSESINCE: Tag4 = *b"WHOS";
/// Client blocks an account.
pub const BLOCK: Tag4 = *b"BLOC";
/// Client unblocks an account.
pub const UNBLOCK: Tag4 = *b"UNBL";
/// Client asks whom it blocks.
pub const BLOCKED: Tag4 = *b"BLKD";
/// Client changes the account's password.
pub const PASSWORD: Tag4 = *b"PASS";
/// Client asks for the account's devices.
pub const DEVICES: Tag4 = *b"DEVS";
/// Client takes a device's key away.
pub const REVOKE: Tag4 = *b"RVOK";
/// Client tells that its user was active (mission rule 7).
pub const ACTIVE: Tag4 = *b"ACTV";
/// Client asks a user for a private session.
pub const PRIVATE_ASK: Tag4 = *b"PASK";
/// Client answers a private request.
pub const PRIVATE_ANSWER: Tag4 = *b"PANS";
/// Client withdraws a private request of its own.
pub const PRIVATE_CANCEL: Tag4 = *b"PCAN";
/// Client renews a private session's ticket, and may tell the peer where it is now.
pub const PRIVATE_MOVE: Tag4 = *b"PMOV";
/// Server tells what became of a private request, or where a peer is now (push).
pub const PRIVATE: Tag4 = *b"PRIV";
/// Either side asks whether the other lives.
pub const PING: Tag4 = *b"PING";
/// The answer to [`PING`].
pub const PONG: Tag4 = *b"PONG";

/// Every method, for tests and fuzzers.
pub const ALL: &[Tag4] = &[
    IDENTIFY,
    NAME,
    REGISTER,
    LOGIN,
    DEVICE,
    HELLO,
    LOGOUT,
    SEND,
    VOID,
    VERDICT,
    GAP,
    TRY_LATER,
    DELIVER,
    FETCH,
    GONE,
    ACK,
    MARK,
    RECEIPT,
    TRACE,
    PRESENCE,
    WHOELSE,
    WHOELSESINCE,
    BLOCK,
    UNBLOCK,
    BLOCKED,
    PASSWORD,
    DEVICES,
    REVOKE,
    ACTIVE,
    PRIVATE_ASK,
    PRIVATE_ANSWER,
    PRIVATE_CANCEL,
    PRIVATE_MOVE,
    PRIVATE,
    PING,
    PONG,
];

/// The methods of the conversation between two chatd. The bodies are in [`crate::peer`], the prose is `proto/spec/peer.md`.
pub mod peer {
    use super::Tag4;

    /// Each side shows who it is and proves its key on this connection; nothing else is said or taken before.
    pub const HELLO: Tag4 = *b"PHEL";
    /// Each side names its streams.
    pub const STREAMS: Tag4 = *b"PSTR";
    /// Each side says what it has of the other's streams; messages follow.
    pub const WELCOME: Tag4 = *b"PWEL";
    /// A message.
    pub const SEND: Tag4 = *b"PSND";
    /// Places that were given up.
    pub const VOID: Tag4 = *b"PVOI";
    /// Everything up to a place is in the receiver's history.
    pub const VERDICT: Tag4 = *b"PVRD";
    /// Nothing beyond a place was taken: send again from there.
    pub const GAP: Tag4 = *b"PGAP";
    /// The receiver's disk takes nothing now.
    pub const TRY_LATER: Tag4 = *b"PLTR";
    /// The receiver's user read everything up to a place.
    pub const READ: Tag4 = *b"PRED";
    /// A file is offered.
    pub const FILE_OFFER: Tag4 = *b"PFOF";
    /// An offer is taken: its bytes may come, from an offset on, on a stream of their own.
    pub const FILE_ACCEPT: Tag4 = *b"PFAC";
    /// An offer is declined, or a transfer given up, by either side.
    pub const FILE_CANCEL: Tag4 = *b"PFCN";
    /// The receiver has the whole file, checked and on the disk.
    pub const FILE_DONE: Tag4 = *b"PFDN";
    /// The session is over, and why; the connection is closed behind it.
    pub const BYE: Tag4 = *b"PBYE";

    /// Every method, for tests and fuzzers.
    pub const ALL: &[Tag4] = &[
        HELLO,
        STREAMS,
        WELCOME,
        SEND,
        VOID,
        VERDICT,
        GAP,
        TRY_LATER,
        READ,
        FILE_OFFER,
        FILE_ACCEPT,
        FILE_CANCEL,
        FILE_DONE,
        BYE,
    ];
}

#[cfg(test)]
mod tests {
    /// The names in order: those of the constants, and those of the list.
    fn written(source: &str) -> (Vec<&str>, Vec<&str>) {
        let (constants, list) = source.split_once("pub const ALL: &[Tag4] = &[").unwrap();
        let list = list.split_once("];").unwrap().0;
        let name =
            |line| str::strip_prefix(str::trim(line), "pub const ")?.split_once(": Tag4 = ").map(|(name, _)| name);
        let listed = list.split(',').map(str::trim).filter(|name| !name.is_empty());
        (constants.lines().filter_map(name).collect(), listed.collect())
    }

    #[test]
    fn the_lists_leave_nothing_out() {
        let (server, peer) = include_str!("method.rs").split_once("pub mod peer {").unwrap();
        for (source, methods) in [(server, super::ALL), (peer, super::peer::ALL)] {
            let (constants, list) = written(source);
            assert_eq!(list, constants);
            assert_eq!(list.len(), methods.len());
        }
    }
}
