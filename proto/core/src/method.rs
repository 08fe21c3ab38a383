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
    PING,
    PONG,
];
