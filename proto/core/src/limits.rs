//! Every bound of the system with its unit and its reason. A queue, buffer, wait or name that is not bounded here is a defect.

use std::time::Duration;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Bytes of one message text: enough for a log excerpt, small enough to be held in memory many times (S16).
pub const TEXT_MAX: usize = 64 * KIB;
/// Bytes of a frame before login: strangers get little memory (S6).
pub const FRAME_MAX_STRANGER: usize = 4 * KIB;
/// Bytes of a frame after login: a message text and its envelope.
pub const FRAME_MAX: usize = TEXT_MAX + 8 * KIB;
/// Bytes of output queued for a session: beyond it the reader is slow and waits in the store (S21).
pub const OUTPUT_MAX: usize = 256 * KIB;
/// Bytes of one line on the control socket: 64 KiB of control characters is 384 KiB as JSON (S38).
pub const CONTROL_LINE_MAX: usize = 512 * KIB;
/// Bytes of one page of a list on the control socket: half a line, so that a page always fits (S38).
pub const CONTROL_PAGE_BYTES: usize = 256 * KIB;
/// Control connections at once per chatd: sixty-four terminals and scripts of one user (S38).
pub const CONTROL_CONNECTIONS: usize = 64;
/// A control connection that says nothing at first, or neither reads nor ends its line, is dropped after this (S38).
pub const CONTROL_STALL: Duration = Duration::from_secs(30);
/// Calls at once that chatd brings to their end although their callers are gone, each for at most the time that was asked for; one
/// more holds the seat of its caller (S38).
pub const CONTROL_ORPHANS: usize = 64;
/// Connections at once to a server's admin socket: operators and their scripts.
pub const ADMIN_CONNECTIONS: usize = 16;
/// An operator's verb gives up when the server did not answer within this.
pub const ADMIN_WITHIN: Duration = Duration::from_secs(60);
/// Connections at once that ask for health and metrics: a few monitors of this host; others wait in the backlog.
pub const HTTP_CONNECTIONS: usize = 16;
/// Such a connection is one question and its answer, done within this; a byte does not reset it.
pub const HTTP_WITHIN: Duration = Duration::from_secs(10);
/// Bytes of such a question: a path and some headers.
pub const HTTP_REQUEST_MAX: usize = 16 * KIB;
/// Bytes of one audit file before the next is begun: about 50,000 lines, read in a second.
pub const AUDIT_FILE_BYTES: u64 = 8 * 1024 * 1024;
/// Audit files kept: months on a small server, and never more than 40 MiB.
pub const AUDIT_FILES: usize = 4;
/// Bytes of one audit line; names and addresses are short, a longer one is not ours.
pub const AUDIT_LINE_MAX: u64 = 256 * 1024;
/// Audit lines that wait for the disk; beyond it they are counted as missing.
pub const AUDIT_QUEUE: usize = 4096;
/// Bytes of a credentials file that is imported: a million lines.
pub const IMPORT_FILE_MAX: u64 = 64 * 1024 * 1024;
/// Lines of a credentials file that one request carries: about a quarter of a second of hashing, far below a line's bytes.
pub const IMPORT_AT_ONCE: usize = 16;
/// Events kept for a slow follower of the control socket; beyond it the follower re-reads the history.
pub const CONTROL_EVENTS: usize = 1024;

/// Characters of an account name: fits a terminal column (S19).
pub const NAME_MAX: usize = 32;
/// Bytes of a message's content type: an envelope must fit into what a frame has beside the text.
pub const CONTENT_TYPE_MAX: usize = 1024;
/// Bytes of a password: Argon2id takes any length, the wire does not (S10).
pub const PASSWORD_MAX: usize = 1024;
/// Bytes of a credentials file: a hundred thousand lines; it is held in memory while it is read or changed.
pub const CREDENTIALS_FILE_MAX: u64 = 16 * 1024 * 1024;
/// Bytes of a device's display name.
pub const DEVICE_NAME_MAX: usize = 64;
/// Bytes of a sender's own key for a message (`--id`).
pub const KEY_MAX: usize = 128;
/// Devices per account; one cursor each (contract rule 8).
pub const DEVICES_MAX: usize = 8;
/// Accounts that one account may block.
pub const BLOCKS_MAX: usize = 1000;
/// Invitations that hold at once: a class, a company; a list that still can be read.
pub const INVITES_MAX: u32 = 10_000;
/// Characters of a named cursor's name.
pub const CURSOR_NAME_MAX: usize = 64;
/// Named cursors of one profile: more are a script that makes a new one each time it runs.
pub const CURSORS_MAX: u32 = 100;
/// Messages behind a named cursor that are counted: beyond it "many" is enough to know.
pub const CURSOR_WAITING: u64 = 10_000;
/// Bytes of a text or pattern to search for.
pub const SEARCH_MAX: usize = 4 * KIB;
/// Bytes that a compiled pattern may take: what people write takes some KiB.
pub const PATTERN_MAX: usize = MIB;
/// Messages shown around a found one, on each side.
pub const CONTEXT_MAX: u32 = 100;
/// Profiles in one chatd.
pub const PROFILES_MAX: usize = 16;

/// Sends beyond the settled one that a client may have on the way (contract, SEND).
pub const SEND_WINDOW: u64 = 64;
/// Bytes of sends on the way.
pub const SEND_WINDOW_BYTES: usize = MIB;
/// Bytes of output queued for a server beyond which it is not listened to: two windows of texts. Beyond [`OUTPUT_MAX`] no text follows,
/// so one that reads at all never lets it come to that; answers to one that does not would pile up.
pub const LINK_OUTPUT_MAX: usize = 2 * SEND_WINDOW_BYTES;
/// Who asks for everything again gets it after this at the earliest: one small frame makes a whole window.
pub const SEND_AGAIN_AFTER: Duration = Duration::from_millis(250);
/// Decisions that the server keeps per stream: as many as may be on the way (contract rule 2).
pub const DECISIONS_KEPT: usize = SEND_WINDOW as usize;
/// Deliveries given to a device and not acknowledged (contract, DELIVER).
pub const DELIVER_WINDOW: usize = 256;
/// Bytes of deliveries given and not acknowledged.
pub const DELIVER_WINDOW_BYTES: usize = MIB;
/// Bytes of receipts and read marks that a client took and has not written down: beyond it the server waits (as [`OUTPUT_MAX`]).
pub const UNWRITTEN_MAX: usize = 256 * KIB;
/// An acknowledgement waits at most this long for company (contract rule 12).
pub const ACK_DELAY: Duration = Duration::from_millis(200);
/// Streams of one device with open sends that a HELLO may name.
pub const OPEN_STREAMS_MAX: usize = 64;
/// The part of an inbox's quota that one sender may fill, in percent (S22).
pub const SENDER_SHARE_PERCENT: u32 = 10;
/// The part of it that all may fill to whom its owner never wrote, in percent: a crowd of strangers leaves room for the others (S22).
pub const STRANGERS_SHARE_PERCENT: u32 = 50;
/// No share is smaller than this, however small the quota: what one sender may have on the way.
pub const SENDER_SHARE_MIN: u32 = SEND_WINDOW as u32;
/// Accounts of which an account is remembered in memory to have written to them: half a MiB for one who writes to everybody.
pub const CONTACTS_REMEMBERED: usize = 65_536;
/// Streams that a HELLO names as known, so that a server which was set back by as many starts takes no device for an old copy: 1 KiB
/// of a stranger's frame.
pub const KNOWN_STREAMS: usize = 128;
/// Messages waiting in one outbox: days of an offline script (each is a row on disk and 64 bytes of memory).
pub const OUTBOX_MAX: usize = 10_000;
/// Names of people seen lately that one profile remembers for completion: a page of whoelse and some more, 100 KiB.
pub const NAMES_SEEN: usize = 2048;
/// Messages of one sender that wait for one recipient and whose delivery is told; of more, the oldest are told with the next.
pub const RECEIPTS_WAITING: usize = 256;
/// Receipts that a session may follow at once.
pub const RECEIPTS_FOLLOWED: usize = 1024;

/// A peer that was silent this long is asked whether it lives.
pub const PING_AFTER: Duration = Duration::from_secs(30);
/// The answer to a PING must come within this; two misses end the connection (dead within 75 s in all).
pub const PONG_WITHIN: Duration = Duration::from_secs(20);
/// Unacknowledged bytes older than this end a TCP connection (TCP_USER_TIMEOUT). A little more than [`SLOW_READER`], which says why.
pub const TCP_USER_TIMEOUT: Duration = Duration::from_secs(35);
/// Bytes that a client may send before its TLS handshake is done: a hello with post-quantum keys takes 2 KiB (S6).
pub const HANDSHAKE_MAX: usize = 16 * KIB;
/// A TLS handshake must be done within this (S4).
pub const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// A stranger must be logged in within this; a byte does not reset it (S4). Time for typing a password comes on a new connection.
pub const AUTH_WITHIN: Duration = Duration::from_secs(20);
/// A session whose output makes no progress for this long is ended, and resumes later (S21).
pub const SLOW_READER: Duration = Duration::from_secs(30);
/// TRYLATER asks for at most this wait.
pub const TRY_LATER_MAX: Duration = Duration::from_secs(60);

/// A client that sends on though it was told to try later, so often in a row, is ended (S20).
pub const FLOODS_IN_A_ROW: u32 = 3;

/// A link that is closed gets this long to take the last words and hang up (S1).
pub const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// Connections that are not logged in, in all (S5).
pub const STRANGERS_MAX: usize = 256;
/// Connections that are not logged in, per /32 or /64 (S5).
pub const STRANGERS_PER_SOURCE: usize = 16;
/// Sources (addresses, /64s) whose rates are remembered: a few hundred KiB.
pub const SOURCES_MAX: usize = 16_384;
/// Descriptors kept for sessions that are logged in (S5).
pub const DESCRIPTOR_RESERVE: usize = 64;
/// Listen backlog: a reconnect storm of a few thousand is not refused.
pub const LISTEN_BACKLOG: i32 = 4096;

/// Password hashes at once: two cores, 19 MiB each (S11).
pub const HASHES_AT_ONCE: usize = 2;
/// Logins waiting for a hash; beyond it BUSY (S11).
pub const HASH_QUEUE: usize = 64;
/// Password checks of one name in a minute, from everywhere; more wait, nobody is refused (S12).
pub const HASHES_PER_NAME_AND_MINUTE: u32 = 20;
/// Who waits for his turn at a name's password waits at most this long, which does not count in [`AUTH_WITHIN`]: all strangers that
/// there may be, one behind the other at the usual rate (S12).
pub const TRY_WITHIN: Duration = Duration::from_secs(15 * 60);
/// Wrong passwords in a row before the lock (mission rule 3).
pub const LOCKOUT_AFTER: u32 = 3;
/// The longest lock of repeated ones (mission rule 3).
pub const LOCKOUT_MAX: Duration = Duration::from_secs(15 * 60);
/// Failure counters kept, for names that exist and names that do not (S12).
pub const LOCKOUT_ENTRIES: usize = 65_536;

/// Commands waiting for the store writer; beyond it sessions stop reading.
pub const WRITER_QUEUE: usize = 8192;
/// Commands in one commit: a batch stays under a few milliseconds of SQL.
pub const WRITER_BATCH: usize = 1024;
/// Log rows that the folder takes in one transaction, and sorted changes after which it takes no more: enough that several changes
/// share a page where there are a thousand accounts, few enough that commits do not wait for long.
pub const FOLD_CHANGES: usize = 4096;
/// Log rows that may wait for the folder: what a start replays into memory.
pub const UNFOLDED_MAX: usize = 65_536;
/// Names in one presence notice; above it only a count (mission rule 12).
pub const PRESENCE_NAMES: usize = 32;
/// One presence tick: notices of this long are sent together (mission rule 12).
pub const PRESENCE_TICK: Duration = Duration::from_millis(100);
/// Presence notices wait this much longer for each receiver, so that a login storm never takes more than a twentieth of a core
/// (mission rule 12): a notice costs a receiver about 5 us.
pub const PRESENCE_TICK_PER_RECEIVER: Duration = Duration::from_micros(100);
/// Changes of one tick that are kept with their names; beyond it only the count.
pub const PRESENCE_CHANGES: usize = 4096;
/// Presence notices that wait for one session; beyond it only the count.
pub const PRESENCE_WAITING: usize = 32;
/// Words about private requests that wait for one session, one for each request; a session that has more is ended, and told anew what
/// is open when it comes back.
pub const PRIVATE_WAITING: usize = 256;
/// Moves of private sessions that one session may tell at once, and how many a second after that: a laptop that changes networks
/// tells one for each peer.
pub const PRIVATE_MOVES: (u32, u32) = (PRIVATE_SESSIONS_MAX as u32, 2);
/// Read marks that wait for one session; beyond it older ones are left out, the client asks again after a reconnect.
pub const MARKS_WAITING: usize = 1024;
/// Names in one page of whoelse.
pub const PEOPLE_PAGE: usize = 1000;

/// First wait before a reconnect; doubles with jitter up to [`BACKOFF_MAX`].
pub const BACKOFF_MIN: Duration = Duration::from_millis(250);
/// Longest wait before a reconnect.
pub const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// Hooks in one configuration: each has a queue of its own.
pub const HOOKS_MAX: usize = 32;
/// Hooks that run at once in one chatd: a storm of messages must not become a storm of processes.
pub const HOOKS_AT_ONCE: usize = 4;
/// Events that wait for one hook in memory; messages beyond it wait in the history, older other events are left out.
pub const HOOK_WAITING: usize = 256;
/// Failed events of one hook that are tried again by themselves; beyond it the oldest becomes a dead letter.
pub const HOOK_RETRYING: usize = 256;
/// Dead letters of one profile; beyond it the oldest is forgotten.
pub const HOOK_LETTERS: usize = 1000;
/// A run may take so long when the configuration says nothing.
pub const HOOK_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest time that the configuration may give a run: what takes longer belongs into a service of its own.
pub const HOOK_TIMEOUT_MAX: Duration = Duration::from_secs(10 * 60);
/// A hook that ran too long is asked to end, and gets so long before it is made to.
pub const HOOK_KILL_AFTER: Duration = Duration::from_secs(1);
/// Repetitions of a failed run when the configuration says nothing: with the waits below about three minutes.
pub const HOOK_RETRIES: u32 = 4;
/// The most repetitions that the configuration may ask for.
pub const HOOK_RETRIES_MAX: u32 = 20;
/// The wait before the first repetition when the configuration says nothing; each further one is four times as long.
pub const HOOK_RETRY_AFTER: Duration = Duration::from_secs(2);
/// The longest wait before a repetition.
pub const HOOK_RETRY_MAX: Duration = Duration::from_secs(5 * 60);
/// Bytes of a run's output that are kept for the log and for `hooks test`; the rest is read and dropped.
pub const HOOK_OUTPUT: usize = 4 * KIB;
/// Lines of a run's output that go to the log.
pub const HOOK_LOG_LINES: usize = 20;

/// Bytes of the note that goes with a private request: one line of a notice.
pub const NOTE_MAX: usize = 256;
/// Private requests of one account that are open at once, to all others together.
pub const REQUESTS_OUT: usize = 16;
/// Private requests to one account that are open at once; a list that can still be read.
pub const REQUESTS_IN: usize = 64;
/// How long a private request is open when nothing is said: `private.request_ttl` (mission rule 24).
pub const REQUEST_TTL: Duration = Duration::from_secs(120);
/// The longest time that `private.request_ttl` may say.
pub const REQUEST_TTL_MAX: Duration = Duration::from_secs(3600);
/// An accepted request is remembered so long, for a side whose link broke before it heard of it.
pub const REQUEST_REMEMBERED: Duration = Duration::from_secs(60);
/// Addresses of one endpoint that are told to a peer.
pub const PEER_ADDRESSES_MAX: usize = 16;
/// Private sessions of one profile at once: each costs about 100 KiB and a keep-alive.
pub const PRIVATE_SESSIONS_MAX: usize = 64;
/// A peer that cannot be reached keeps its session so long (mission rule 26).
pub const PEER_AWAY: Duration = Duration::from_secs(60);
/// A private session's connection that says nothing, not even a keep-alive, is dead after this (S30: below 60 s).
pub const PEER_IDLE: Duration = Duration::from_secs(20);
/// Keep-alives of a private session's connection.
pub const PEER_KEEP_ALIVE: Duration = Duration::from_secs(5);
/// A connection must have proven its key within this.
pub const PEER_HELLO_WITHIN: Duration = Duration::from_secs(10);
/// QUIC streams that a peer may have open at once (S30).
pub const PEER_STREAMS: u32 = 16;
/// Bytes that a peer may have on the way to us in one connection (S30).
pub const PEER_WINDOW: usize = MIB;
/// Handshakes that may be under way; beyond half of it those that came by the relay or were told of prove their address too, by QUIC Retry
/// (S13).
pub const PEER_HANDSHAKES: usize = 256;
/// Bytes of a private session's ticket.
pub const TICKET_MAX: usize = 512;
/// Connections of one account to the relay: two for each of its devices, and as many again while links break.
pub const RELAY_CONNECTIONS: usize = 64;
/// Bytes of an HTTP request to the relay: its ticket, its proof and some headers are 2 KiB (S6).
pub const RELAY_REQUEST_MAX: usize = 16 * KIB;
/// Endpoints that learn their address from the relay at once: a few kilobytes each (S13).
pub const DISCOVERIES: usize = 4096;
/// The same from one source: an office behind one address.
pub const DISCOVERIES_PER_SOURCE: usize = 64;
/// Discoveries that are shaking hands, of addresses that were proven by QUIC Retry (S13).
pub const DISCOVERY_HANDSHAKES: usize = 256;
/// A relay ticket is good for so long; a chatd renews it before.
pub const TICKET_TTL: Duration = Duration::from_secs(12 * 3600);
/// At most one word about private activity in this time goes to the server: it learns that its user is there and no more (mission
/// rule 7).
pub const ACTIVE_EVERY: Duration = Duration::from_secs(1);
/// Followers are told how a private session goes at most once in this time, with what holds then (S32).
pub const PEER_NOTICES_EVERY: Duration = Duration::from_secs(1);
/// Bytes of a file's name: what file systems take.
pub const FILE_NAME_MAX: usize = 255;
/// Files that one profile sends or receives at once; others wait.
pub const FILES_AT_ONCE: usize = 4;
/// Offers and transfers of one profile that are remembered, ended ones too.
pub const FILES_MAX: usize = 256;
/// Offers of one peer that wait for an answer.
pub const FILE_OFFERS_OF_PEER: usize = 16;
/// Bytes of a file that are read, sent and written at once.
pub const FILE_CHUNK: usize = 256 * KIB;
/// A transfer that moves no byte for so long gives its place to another one; it can be resumed.
pub const FILE_STALL: Duration = Duration::from_secs(60);
/// Offers that one peer may make at once; one more each second (S32).
pub const FILE_OFFERS_AT_ONCE: u32 = 32;
/// Transfers of one peer that are over beyond which its own oldest makes room for its next, not another peer's.
pub const FILES_OF_PEER: usize = FILES_MAX / 4;
