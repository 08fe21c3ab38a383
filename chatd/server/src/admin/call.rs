//! What may be asked of the server by its operator: one struct a verb, one object a line.
//!
//! `{"method":"user_list","params":{}}` asks, `{"result":…}` or `{"error":{"code":"unknown_user","subject":"bob"}}` answers.
//! Both ends are this program, of versions that may differ: fields are only added, and an older server refuses a method that it
//! does not know as `unsupported`. The socket ([`super::socket`]) reads requests, [`super::ask()`] writes them.

use std::time::Duration;

use chat_proto::fault::{Code, Fault};
use chat_proto::limits::ADMIN_WITHIN;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Desk, audit, backup, daemon, db, invite, session, user};
use crate::store::Store;

/// A verb of the operator.
pub trait Call: Serialize + DeserializeOwned + Send + 'static {
    /// Its name.
    const METHOD: &'static str;
    /// Whether it is about what runs now, so that there is nobody to ask when no server does.
    const LIVE: bool = false;
    /// How long the caller waits for the answer.
    const WITHIN: Duration = ADMIN_WITHIN;
    /// What a success answers.
    type Reply: Serialize + DeserializeOwned + Send + 'static;

    /// Whom or what it is about, for the audit log; never a secret.
    fn about(&self) -> String {
        String::new()
    }

    /// Does it.
    fn answer<S: Store>(self, desk: &Desk<S>) -> impl Future<Output = Result<Self::Reply, Refusal>> + Send;
}

/// Lists the calls and finds the one that a request names.
macro_rules! calls {
    ($($call:ty;)+) => {
        /// Every method, for tests.
        pub const METHODS: &[&str] = &[$(<$call as Call>::METHOD),+];

        /// Answers a request.
        pub async fn dispatch<S: Store>(desk: &Desk<S>, line: &[u8]) -> Answered {
            let method = match serde_json::from_slice::<Method>(line) {
                Ok(Method { method }) => method,
                Err(error) => return Answered::refused("", "", Refusal::new(Code::PROTOCOL).because(error.to_string())),
            };
            $(if method == <$call as Call>::METHOD {
                // On the heap: the largest of all verbs would be part of every connection.
                return Box::pin(one::<$call, S>(desk, line)).await;
            })+
            Answered::refused(&method, "", Code::UNSUPPORTED.into())
        }
    };
}

calls! {
    backup::BackupCreate;
    daemon::GetStatus;
    daemon::GetTop;
    daemon::Reload;
    daemon::LogLevel;
    daemon::Stop;
    db::DbInfo;
    db::DbCheck;
    user::UserList;
    user::UserShow;
    user::UserAdd;
    user::UserDel;
    user::UserPasswd;
    user::UserLock;
    user::UserUnlock;
    user::UserImport;
    invite::InviteCreate;
    invite::InviteList;
    invite::InviteRevoke;
    session::SessionList;
    session::SessionKick;
    session::Announce;
    audit::AuditPage;
}

async fn one<C: Call, S: Store>(desk: &Desk<S>, line: &[u8]) -> Answered {
    let call = match serde_json::from_slice::<Params<C>>(line) {
        Ok(Params { params }) => params,
        Err(error) => {
            return Answered::refused(C::METHOD, "", Refusal::new(Code::BAD_PARAMS).because(error.to_string()));
        }
    };
    let about = call.about();
    match call.answer(desk).await {
        Ok(reply) => Answered { method: C::METHOD.into(), about, line: encode(&Reply::Result(reply)), refused: None },
        Err(refusal) => Answered::refused(C::METHOD, &about, refusal),
    }
}

/// A request that was answered.
pub struct Answered {
    /// What was asked; as the caller wrote it.
    pub method: String,
    /// Whom or what it was about, as far as it made sense.
    pub about: String,
    /// The line that answers.
    pub line: Vec<u8>,
    /// Why it was refused.
    pub refused: Option<Refusal>,
}

impl Answered {
    fn refused(method: &str, about: &str, refusal: Refusal) -> Answered {
        let line = encode(&Reply::<()>::Error(refusal.clone()));
        Answered { method: method.to_owned(), about: about.to_owned(), line, refused: Some(refusal) }
    }
}

/// A line of JSON. What is answered are plain structs of ours, which always have a form.
fn encode(line: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(line).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// A line that asks.
#[derive(Serialize)]
pub(super) struct Request<'a, C> {
    /// [`Call::METHOD`].
    pub method: &'static str,
    /// The call.
    pub params: &'a C,
}

/// The part of it that says what is asked. Each part is read from the line by itself: no copy of a secret is left behind.
#[derive(Deserialize)]
struct Method {
    method: String,
}

/// The part of it that the call is made of.
#[derive(Deserialize)]
struct Params<C> {
    params: C,
}

/// A line that answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reply<R> {
    /// [`Call::Reply`].
    Result(R),
    /// A refusal.
    Error(Refusal),
}

/// A password or an invitation on its way: erased when dropped, never shown.
#[derive(Clone)]
pub struct Secret(pub Zeroizing<String>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
        String::deserialize(from).map(|text| Secret(Zeroizing::new(text)))
    }
}

/// A refusal that is meant for the operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Why.
    pub code: Code,
    /// What it speaks of: a name, an id, a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// When trying again may help, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The cause as the system or a parser says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Refusal {
    /// For this reason, and no more to say.
    pub fn new(code: Code) -> Refusal {
        Refusal { code, subject: None, retry_after_ms: None, detail: None }
    }

    /// It speaks of this.
    #[must_use]
    pub fn about(self, subject: impl Into<String>) -> Refusal {
        Refusal { subject: Some(subject.into()), ..self }
    }

    /// This is the cause.
    #[must_use]
    pub fn because(self, detail: impl Into<String>) -> Refusal {
        Refusal { detail: Some(detail.into()), ..self }
    }
}

impl From<Code> for Refusal {
    fn from(code: Code) -> Refusal {
        Refusal::new(code)
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Refusal {
        Refusal { retry_after_ms: fault.retry_after_ms, ..Refusal::new(fault.code) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_named_once() {
        let mut names = METHODS.to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), METHODS.len());
    }

    #[test]
    fn what_is_missing_is_not_said() {
        let reply = Reply::<()>::Error(Refusal::new(Code::UNKNOWN_USER).about("bob"));
        let text = serde_json::to_string(&reply).unwrap();
        assert_eq!(text, r#"{"error":{"code":"unknown_user","subject":"bob"}}"#);
        let newer = r#"{"error":{"code":"of_tomorrow","new_field":1}}"#;
        assert!(matches!(serde_json::from_str::<Reply<()>>(newer).unwrap(), Reply::Error(_)));
    }
}
