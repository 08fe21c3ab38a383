//! What the store is asked to decide and commit.

use chat_proto::fault::Fault;
use chat_proto::id::{AccountName, DeviceId, Incarnation, Position};
use chat_proto::machine::presence::Reason;
use chat_proto::machine::private::requests::RequestId;
use chat_proto::wire;
use tokio::sync::oneshot;

use super::{AcctId, DevId, Failure, Fence, Login, NewDevice, SessionNo, Settings, private};

/// Something to decide and commit.
#[derive(Debug)]
pub enum Op {
    /// Make an account with its first device; an invitation is used up by the same commit. NAME_TAKEN, BAD_INVITE.
    CreateAccount {
        /// Its name.
        name: AccountName,
        /// Argon2id hash in PHC form.
        phc: String,
        /// Its first device.
        device: NewDevice,
        /// The invitation that it is made with.
        invite: Option<InviteHash>,
        /// Answered when durable.
        answer: Answer<Login>,
    },
    /// Make an account that has no device yet. NAME_TAKEN.
    AddAccount {
        /// Its name.
        name: AccountName,
        /// Argon2id hash in PHC form.
        phc: String,
        /// Answered when durable.
        answer: Answer<AcctId>,
    },
    /// Enrol a device (or the same key again, which is a success). TOO_MANY_DEVICES; WRONG_CREDENTIALS when the password was
    /// changed since it was checked, REVOKED for a device whose key was taken.
    Enrol {
        /// The account, its password checked.
        acct: AcctId,
        /// The stored hash that the password fits.
        phc: String,
        /// The device.
        device: NewDevice,
        /// Answered when durable.
        answer: Answer<Login>,
    },
    /// Replace the stored hash by one with today's parameters, unless the password was changed meanwhile.
    Rehash {
        /// The account.
        acct: AcctId,
        /// The hash that is replaced.
        old: String,
        /// The new hash.
        phc: String,
    },
    /// Replace the stored hash by that of another password; a notice tells the account. WRONG_CREDENTIALS.
    SetPassword {
        /// The account.
        acct: AcctId,
        /// The new hash.
        phc: String,
        /// Which devices lose their keys with it.
        revoke: Revoke,
        /// Who asks.
        asker: Option<Asker>,
        /// How many devices lost their keys; answered when durable.
        answer: Answer<u32>,
    },
    /// Take a device's key away: its session ends, its streams close, it holds nothing back. UNKNOWN_DEVICE.
    Revoke {
        /// Who asks.
        fence: Fence,
        /// Which of the account's devices.
        device: DeviceId,
        /// Answered when durable.
        answer: Answer<()>,
    },
    /// Keep an invitation. NAME_TAKEN, LIMIT.
    CreateInvite {
        /// Of its code.
        hash: InviteHash,
        /// The one account that may be made with it.
        name: Option<AccountName>,
        /// How many accounts may be made with it.
        uses: u32,
        /// It holds for so many milliseconds of running.
        lasts_ms: u64,
        /// Its number; answered when durable.
        answer: Answer<u32>,
    },
    /// Withdraw an invitation. UNKNOWN_INVITE.
    RevokeInvite {
        /// Its number.
        id: u32,
        /// Answered when durable.
        answer: Answer<()>,
    },
    /// All invitations that hold.
    Invites(Answer<Vec<Invite>>),
    /// Open a session: raises the device's session epoch, ends what the policy ends, computes WELCOME. ALREADY_LOGGED_IN,
    /// DUPLICATE_DEVICE.
    Open(Box<OpenSession>, Answer<Opened>),
    /// End a session; a late one of a replaced session changes nothing. Stands behind the sends of its connection.
    Close {
        /// Which.
        fence: Fence,
        /// How.
        how: Ending,
        /// End the sessions of the account's other devices too.
        all_devices: bool,
        /// Wall clock.
        now_ms: i64,
        /// Answered when durable; dropped when nobody waits.
        answer: Option<Answer<()>>,
    },
    /// Messages of one session in the order they came. Verdicts come by [`super::Outlet::verdict`].
    Send {
        /// Who sends.
        fence: Fence,
        /// What.
        items: Vec<wire::Send>,
        /// Wall clock.
        now_ms: i64,
    },
    /// Places given up. Verdicts come by [`super::Outlet::verdict`].
    Void {
        /// Who.
        fence: Fence,
        /// Which.
        item: wire::Void,
    },
    /// The device holds everything up to here. Not flushed on its own.
    Ack {
        /// Who.
        fence: Fence,
        /// [`chat_proto::machine::inbox::Feed::acked`].
        acked: u64,
        /// [`chat_proto::machine::inbox::Feed::cursor`].
        cursor: u64,
    },
    /// Messages of `sender` were read up to a place.
    Mark {
        /// Who read.
        fence: Fence,
        /// Whose messages.
        sender: AccountName,
        /// Up to here.
        n: u64,
        /// Tell the sender.
        share: bool,
        /// Answered when durable. UNKNOWN_USER.
        answer: Answer<()>,
    },
    /// What was decided about one place of a stream of this device.
    Trace {
        /// Who asks.
        fence: Fence,
        /// Stream.
        incarnation: Incarnation,
        /// Place.
        cseq: u64,
        /// Answered once everything that it speaks of is durable.
        answer: Answer<wire::Traced>,
    },
    /// How far these accounts got with this account's messages; from now on changes come by [`super::Outlet::receipt`].
    Follow {
        /// Who asks.
        fence: Fence,
        /// Whom.
        accounts: Vec<AccountName>,
        /// Answered at once.
        answer: Answer<wire::Receipts>,
    },
    /// Block or unblock. UNKNOWN_USER, YOURSELF, NOT_BLOCKED, TOO_MANY_BLOCKS; answers whether it changed anything.
    Block {
        /// Who.
        fence: Fence,
        /// Whom.
        who: AccountName,
        /// On, or off.
        on: bool,
        /// Answered when durable.
        answer: Answer<bool>,
    },
    /// Ask an account for a private session, or ask again. UNKNOWN_USER, and what
    /// [`chat_proto::machine::private::broker::Broker::handle_ask`] refuses; LIMIT, also instead of a ruling.
    PrivateAsk(Box<private::Ask>, Answer<private::Ruling<private::Asked>>),
    /// Say yes or no to a private request. UNKNOWN_REQUEST, WITHDRAWN, REQUEST_EXPIRED, NO_RELAY, NO_DIRECT_PATH, PRIVATE_OFF.
    PrivateAnswer {
        /// Who.
        fence: Fence,
        /// The request.
        id: RequestId,
        /// Yes, with the endpoint; or no.
        accept: Option<Box<wire::PeerEndpoint>>,
        /// With yes: what is needed to meet.
        answer: Answer<private::Ruling<Option<private::Open>>>,
    },
    /// Withdraw a private request of one's own. UNKNOWN_REQUEST.
    PrivateCancel {
        /// Who.
        fence: Fence,
        /// The request.
        id: RequestId,
        /// Answered at once.
        answer: Answer<()>,
    },
    /// Lock an account, or unlock it: nobody logs in to a locked one, and its sessions end. UNKNOWN_USER.
    Lock {
        /// Which.
        acct: AcctId,
        /// On, or off.
        on: bool,
        /// Wall clock.
        now_ms: i64,
        /// Whether it was otherwise before; answered when durable.
        answer: Answer<bool>,
    },
    /// Delete an account for ever: its sessions end, what waits for it expires for its senders, its name and its number are never
    /// given again. UNKNOWN_USER.
    DeleteAccount {
        /// Which.
        acct: AcctId,
        /// Wall clock.
        now_ms: i64,
        /// What went with it; answered when durable.
        answer: Answer<Deleted>,
    },
    /// A word of the operator, from the server itself, to everybody who is announced online. STORAGE when the disk is full.
    Announce {
        /// What he says.
        text: String,
        /// Wall clock.
        now_ms: i64,
        /// How many accounts it goes to; answered when durable.
        answer: Answer<u32>,
    },
    /// Keep a failure counter, or forget it (`count` 0).
    Failure(Failure),
    /// From now on these settings; what was decided by the old ones stands.
    Configure(Box<Settings>),
    /// Time passes: grace periods end, hours of running are counted, retention works. Sent about once a second.
    Tick {
        /// The server's monotonic clock in milliseconds.
        mono_ms: u64,
        /// Wall clock.
        now_ms: i64,
    },
    /// Commit what came, fold, checkpoint, and end the writer. Later operations are refused.
    Shutdown(oneshot::Sender<()>),
}

/// The receiver of one answer.
pub type Answer<T> = oneshot::Sender<Result<T, Fault>>;

/// The fingerprint of an invitation's code: the code itself is nowhere.
pub type InviteHash = [u8; 32];

/// An invitation, as the operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invite {
    /// Its number; never given twice.
    pub id: u32,
    /// The one account that may be made with it; nothing: any.
    pub name: Option<AccountName>,
    /// When it was made, wall clock.
    pub since_ms: i64,
    /// How many accounts may be made with it.
    pub uses: u32,
    /// How many were.
    pub used: u32,
    /// Milliseconds of running that it still holds.
    pub left_ms: u64,
}

/// Which devices of an account lose their keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revoke {
    /// All.
    All,
    /// All but this one.
    Others(DevId),
    /// None.
    None,
}

/// The user who changes his own password; nobody: the operator does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    /// His session.
    pub fence: Fence,
    /// The stored hash that his old password fits: where it is another by now, the change is refused.
    pub old: String,
}

/// What happens to another device's session when an account logs in (contract, "Another device of the account").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Devices live beside each other.
    #[default]
    Many,
    /// The new one ends the old ones.
    Replace,
    /// A live old one refuses the new one.
    Refuse,
}

/// A session to be opened.
#[derive(Clone, Debug)]
pub struct OpenSession {
    /// Who.
    pub login: Login,
    /// The connection.
    pub session: SessionNo,
    /// HELLO's run.
    pub run: u64,
    /// HELLO's streams: incarnation and settled mark.
    pub streams: Vec<(Incarnation, u64)>,
    /// Further streams that the device knows.
    pub known: Vec<Incarnation>,
    /// HELLO's cursor.
    pub cursor: Option<Position>,
    /// What to do about other devices.
    pub policy: Policy,
    /// Under `refuse`: sessions of other devices that were asked and did not answer. These may be ended, and no others: whoever
    /// came meanwhile is asked anew.
    pub silent: Vec<SessionNo>,
    /// Wall clock, milliseconds since 1970.
    pub now_ms: i64,
}

/// An open session.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The fence of this session: its writes carry it.
    pub epoch: u64,
    /// The answer for the client.
    pub welcome: wire::Welcome,
    /// The log place behind which deliveries go on.
    pub cursor: u64,
    /// How far the account's other devices read, which this one may have missed.
    pub marks: Vec<wire::Mark>,
}

/// How a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// On purpose: announced at once.
    Left(Reason),
    /// The link was lost: announced when nobody is back by this time of the server's monotonic clock, in milliseconds.
    Lost {
        /// That time.
        grace_until: u64,
    },
}

/// What went with an account that was deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// Enrolled devices.
    pub devices: u32,
    /// Messages of others that no device of it had; their senders are told.
    pub expired: u32,
}
