//! Invitations, as the operator makes, sees and withdraws them. Their codes are shown once, by the call that makes one.

use chat_proto::fault::{Code, Fault};
use chat_proto::id::{AccountName, NameRule};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::{Call, Desk, Refusal, Secret};
use crate::account::invite;
use crate::store::{Answer, Invite, Op, Store};

/// Make an invitation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InviteCreate {
    /// The one account that may be made with it; nothing: any.
    #[serde(default)]
    pub name: Option<String>,
    /// How many accounts may be made with it.
    pub uses: u32,
    /// It holds for so many milliseconds of running.
    pub lasts_ms: u64,
}

/// An invitation that was made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Made {
    /// Its number.
    pub id: u32,
    /// What is typed at `register`; kept nowhere.
    pub code: Secret,
}

impl Call for InviteCreate {
    const METHOD: &'static str = "invite_create";
    type Reply = Made;

    fn about(&self) -> String {
        self.name.clone().unwrap_or_default()
    }

    async fn answer<S: Store>(self, desk: &Desk<S>) -> Result<Made, Refusal> {
        let name = self.name.as_deref().map(|name| {
            AccountName::parse(name, NameRule::Standard).map_err(|_| Refusal::new(Code::BAD_NAME).about(name))
        });
        let name = name.transpose()?;
        if self.uses == 0 || self.lasts_ms == 0 {
            return Err(Refusal::new(Code::BAD_PARAMS).because("neither uses nor time may be 0"));
        }
        let code = invite::code().map_err(|error| Refusal::new(Code::INTERNAL).because(error.to_string()))?;
        let hash = invite::hash(&code).ok_or(Code::INTERNAL)?;
        let (uses, lasts_ms) = (self.uses, self.lasts_ms);
        let subject = self.name.unwrap_or_default();
        let id = ask(desk, |answer| Op::CreateInvite { hash, name, uses, lasts_ms, answer }).await;
        Ok(Made { id: id.map_err(|fault| Refusal::from(fault).about(subject))?, code: Secret(code) })
    }
}

/// All invitations that hold.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct InviteList {}

impl Call for InviteList {
    const METHOD: &'static str = "invite_list";
    type Reply = Vec<Row>;

    async fn answer<S: Store>(self, desk: &Desk<S>) -> Result<Vec<Row>, Refusal> {
        Ok(ask(desk, Op::Invites).await?.into_iter().map(Row::from).collect())
    }
}

/// An invitation for people and scripts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Its number.
    pub id: u32,
    /// The one account that may be made with it; nothing: any.
    pub name: Option<String>,
    /// When it was made, milliseconds since 1970.
    pub since_ms: i64,
    /// How many accounts may be made with it.
    pub uses: u32,
    /// How many were.
    pub used: u32,
    /// It still holds for so many milliseconds of running.
    pub left_ms: u64,
}

impl From<Invite> for Row {
    fn from(invite: Invite) -> Row {
        let Invite { id, name, since_ms, uses, used, left_ms } = invite;
        Row { id, name: name.map(String::from), since_ms, uses, used, left_ms }
    }
}

/// Withdraw an invitation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InviteRevoke {
    /// Its number as typed.
    pub id: String,
}

impl Call for InviteRevoke {
    const METHOD: &'static str = "invite_revoke";
    type Reply = ();

    fn about(&self) -> String {
        self.id.clone()
    }

    async fn answer<S: Store>(self, desk: &Desk<S>) -> Result<(), Refusal> {
        let unknown = |fault: Fault| Refusal::from(fault).about(self.id.as_str());
        let id = self.id.parse().map_err(|_| unknown(Code::UNKNOWN_INVITE.into()))?;
        ask(desk, |answer| Op::RevokeInvite { id, answer }).await.map_err(unknown)
    }
}

async fn ask<S: Store, T>(desk: &Desk<S>, op: impl FnOnce(Answer<T>) -> Op) -> Result<T, Fault> {
    let (answer, done) = oneshot::channel();
    desk.store().submit(op(answer)).await;
    done.await.unwrap_or_else(|_| Err(Code::STORAGE.into()))
}
