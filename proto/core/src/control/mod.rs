//! The conversation between chatctl and chatd: JSON-RPC 2.0, one object a line; prose in `proto/spec/control.md`.
//!
//! Each verb is a [`Call`]: a struct of parameters, a method name (that of the command) and a reply type. chatd answers in
//! these types, chatctl makes words and `--json` of them. Times are milliseconds since 1970 (UTC); ids opaque strings.
//! Fields are only added; unknown ones are ignored by the older side.

pub mod account;
pub mod config;
pub mod daemon;
pub mod device;
pub mod doctor;
pub mod events;
pub mod file;
pub mod hooks;
pub mod message;
pub mod people;
pub mod private;
pub mod trace;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::fault::Code;

/// A verb of the control conversation.
pub trait Call: Serialize + DeserializeOwned + Send + 'static {
    /// The method name: the command's.
    const METHOD: &'static str;
    /// What a success answers.
    type Reply: Serialize + DeserializeOwned + Send + 'static;
}

/// Ties parameter structs to method names and replies, and lists all of them.
macro_rules! calls {
    ($($params:ty => $method:literal -> $reply:ty;)+) => {
        $(impl Call for $params {
            const METHOD: &'static str = $method;
            type Reply = $reply;
        })+

        /// Every method name, for `-32601` answers, tests and fuzzers.
        pub const METHODS: &[&str] = &[$($method),+];
    };
}

calls! {
    daemon::Hello => "hello" -> daemon::HelloReply;
    daemon::DaemonStatus => "daemon_status" -> daemon::DaemonInfo;
    daemon::DaemonStop => "daemon_stop" -> Done;
    doctor::Doctor => "doctor" -> doctor::Examined;
    account::Register => "register" -> account::Account;
    account::Login => "login" -> account::Account;
    account::Logout => "logout" -> account::LoggedOut;
    account::Status => "status" -> account::StatusReply;
    account::Passwd => "passwd" -> account::PasswordChanged;
    device::DeviceList => "device_list" -> Items<device::Device>;
    device::DeviceRevoke => "device_revoke" -> device::Device;
    config::ProfileList => "profile_list" -> Items<config::Profile>;
    config::ProfileAdd => "profile_add" -> config::Profile;
    config::ProfileRemove => "profile_remove" -> Done;
    config::ProfileDefault => "profile_default" -> config::Profile;
    config::TrustList => "trust_list" -> Items<config::Trusted>;
    config::TrustAccept => "trust_accept" -> config::Trusted;
    config::TrustRemove => "trust_remove" -> Done;
    message::SendMessage => "message" -> message::Sent;
    message::Broadcast => "broadcast" -> message::Sent;
    message::Inbox => "inbox" -> Items<message::Conversation>;
    message::Read => "read" -> message::Page;
    message::MarkRead => "mark_read" -> Done;
    message::Unread => "unread" -> message::UnreadReply;
    trace::TraceMessage => "trace" -> trace::Trace;
    message::Search => "search" -> message::SearchPage;
    message::Export => "export" -> message::Page;
    message::Show => "show" -> message::Message;
    message::Outbox => "outbox" -> Items<message::Message>;
    message::OutboxCancel => "outbox_cancel" -> message::OutboxCancelled;
    message::OutboxRetry => "outbox_retry" -> message::OutboxRetried;
    people::Whoelse => "whoelse" -> people::PeoplePage;
    people::Whoelsesince => "whoelsesince" -> people::PeoplePage;
    people::Block => "block" -> people::BlockReply;
    people::Unblock => "unblock" -> people::BlockReply;
    people::Blocked => "blocked" -> Items<String>;
    people::Names => "names" -> Items<String>;
    private::Startprivate => "startprivate" -> private::PrivateRequest;
    private::Requests => "requests" -> Items<private::PrivateRequest>;
    private::Accept => "accept" -> private::PrivateSession;
    private::Decline => "decline" -> private::PrivateRequest;
    private::Private => "private" -> message::Sent;
    private::Stopprivate => "stopprivate" -> private::Stopped;
    private::Sessions => "sessions" -> Items<private::PrivateSession>;
    private::SessionsVerify => "sessions_verify" -> private::Verification;
    file::FileSend => "file_send" -> file::File;
    file::FileList => "file_list" -> Items<file::File>;
    file::FileAccept => "file_accept" -> file::File;
    file::FileTake => "file_take" -> file::File;
    file::FileDecline => "file_decline" -> file::File;
    file::FileCancel => "file_cancel" -> file::File;
    events::Watch => "watch" -> events::Watching;
    events::Ack => "ack" -> events::Acked;
    events::CursorList => "cursor_list" -> Items<events::Cursor>;
    events::CursorRemove => "cursor_remove" -> Done;
    hooks::HooksList => "hooks_list" -> hooks::Hooks;
    hooks::HooksTest => "hooks_test" -> Items<hooks::Ran>;
    hooks::HooksLetters => "hooks_letters" -> Items<hooks::Letter>;
    hooks::HooksReplay => "hooks_replay" -> hooks::Letters;
    hooks::HooksDrop => "hooks_drop" -> hooks::Letters;
}

/// The method of notifications that chatd pushes behind a `watch`; its params are an [`events::Event`].
pub const EVENT: &str = "event";

/// A reply that carries nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {}

/// A list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Items<T> {
    /// Its items.
    pub items: Vec<T>,
}

/// `data` of a JSON-RPC error: what chatctl makes the text, the exit code and the hint of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorData {
    /// Why.
    pub code: Code,
    /// When trying again may help.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// What the text speaks of: a user, host, path, id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The message's key, when one was queued or may have been.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The message as far as it got, when one was queued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Box<message::Sent>>,
    /// With `trust_unknown` and `trust_changed`: what the server showed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<config::TrustQuestion>,
    /// With `not_logged_in`: why and since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<account::Ended>,
    /// Technical cause in English for people, e.g. of a failed connection; never needed to act.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl From<Code> for ErrorData {
    fn from(code: Code) -> Self {
        ErrorData {
            code,
            retry_after_ms: None,
            subject: None,
            key: None,
            message: None,
            trust: None,
            ended: None,
            detail: None,
        }
    }
}
