//! Private requests at the store seam: the broker's words ([`chat_proto::machine::private::broker`]) with names and ids for numbers.

use chat_proto::fault::Fault;
use chat_proto::id::{AccountName, DeviceId};
use chat_proto::machine::private::broker;
use chat_proto::machine::private::requests::RequestId;
use chat_proto::wire::PeerEndpoint;

use super::{AcctId, DevId, Fence};

/// A session asks, or asks again.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// Who.
    pub fence: Fence,
    /// The request's id.
    pub id: RequestId,
    /// Whom; nothing when it can be no account's name, which costs as much as one that nobody has.
    pub to: Option<AccountName>,
    /// A word about why.
    pub note: String,
    /// Open for so long, as far as the operator lets it; 0: as he says.
    pub ttl_ms: u64,
    /// Where the asker can be reached.
    pub endpoint: PeerEndpoint,
    /// Ask nobody: say only whether it would be refused.
    pub check: bool,
}

/// What came of a request or an answer that was looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Ruling<T> {
    /// What was decided.
    pub done: Result<T, Fault>,
    /// It is a new request, or an answer that changed something. What is not can be said without end, and is not for the audit log.
    pub news: bool,
}

/// How a request stands.
pub type Asked = broker::Asked<AccountName, DeviceId>;
/// What one side needs to reach the other.
pub type Open = broker::Open<AccountName, DeviceId>;
/// What is told.
pub type What = broker::What<AccountName, DeviceId>;

/// Something to be told to devices that are here.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// To whom.
    pub to: broker::Whom<AcctId, DevId>,
    /// The request.
    pub id: RequestId,
    /// The other side.
    pub account: AccountName,
    /// What.
    pub what: What,
}
