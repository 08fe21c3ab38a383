//! From a server's name to a session that may be opened: connect, let it prove itself, trust it, log in.
//!
//! A profile's owner starts one [`open`] at a time and then owns the link; HELLO and everything behind it is the owner's.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chat_link::{CertificateProblem, ConnectError, DeviceClaim, Link, LinkError, Roots, Target, verify_server};
use chat_proto::control::ErrorData;
use chat_proto::control::doctor::Obstacle;
use chat_proto::fault::{Code, Fault};
use chat_proto::frame::Frame;
use chat_proto::id::{AccountName, Fingerprint, NameRule, ServerId};
use chat_proto::limits::FRAME_MAX;
use chat_proto::method::{self, Tag4};
use chat_proto::version::WIRE;
use chat_proto::{status, wire};
use prost::Message;
use zeroize::Zeroizing;

use crate::keys::Device;
use crate::trust::{Shown, TrustStore};
use crate::world::World;

/// The port where a server is looked for when none is typed.
pub const DEFAULT_PORT: u16 = 7443;

/// How to log in.
pub enum Credentials {
    /// Create the account.
    Register {
        /// The new password.
        password: Zeroizing<String>,
        /// An invitation code.
        invite: String,
    },
    /// Enrol the device by password.
    Password {
        /// The password.
        password: Zeroizing<String>,
        /// End another device's session.
        take_over: bool,
        /// Make the account where nobody has the name and the server lets a login do so.
        sign_up: bool,
    },
    /// There is neither password nor key yet: hear what the server says of the name.
    Name {
        /// A session of another device is no hindrance.
        take_over: bool,
    },
    /// By the device's key.
    Device {
        /// The user typed it.
        by_user: bool,
        /// End another device's session.
        take_over: bool,
    },
}

/// One try.
pub struct Attempt {
    /// Server as typed.
    pub server: String,
    /// Account as typed.
    pub account: String,
    /// How to log in.
    pub credentials: Credentials,
    /// This device.
    pub device: Device,
    /// Its name for people.
    pub device_name: String,
    /// Authorities in PEM instead of the system's.
    pub ca: Option<String>,
    /// Trust this key and no other.
    pub trust: Option<Fingerprint>,
    /// The known servers.
    pub store: Arc<TrustStore>,
    /// Clocks.
    pub world: World,
    /// Give up after this long.
    pub within: Duration,
}

/// A link that is logged in; HELLO comes next.
pub struct Opened {
    /// The link.
    pub link: Link,
    /// The account's name as the server keeps it.
    pub account: String,
    /// The server has the names of the classic profile.
    pub classic: bool,
    /// The server forgets the device's key at logout.
    pub forgets_device: bool,
    /// The server's key.
    pub server: ServerId,
    /// Its program's version.
    pub server_version: String,
    /// One round trip.
    pub rtt_ms: u64,
}

/// Tries to log in. The error is what chatctl is told.
pub async fn open(attempt: Attempt) -> Result<Opened, Box<ErrorData>> {
    let within = attempt.within;
    match tokio::time::timeout(within, steps(attempt)).await {
        Ok(done) => done,
        Err(_) => Err(unreachable("it did not answer in time")),
    }
}

async fn steps(attempt: Attempt) -> Result<Opened, Box<ErrorData>> {
    let target = Target::parse(&attempt.server, DEFAULT_PORT)
        .ok_or_else(|| about(Code::BAD_PARAMS, attempt.server.clone(), "not a host name or address"))?;
    let roots = roots(attempt.ca.as_deref())?;
    let connected = chat_link::connect(&target, &roots, attempt.within).await.map_err(|error| not_connected(&error))?;
    let mut talk = Talk { link: connected.link, tag: 0 };
    let (server, identity, rtt_ms) = identify(&mut talk, attempt.world).await?;
    let shown = Shown { name: &target.to_string(), server, certificate: &connected.certificate, asked: attempt.trust };
    judge(&attempt, shown)?;
    let named = name(&mut talk, &attempt).await?;
    let account = fold(&attempt.account, named.keeps_case);
    let step = step(&attempt.credentials, &named).map_err(|code| refused_name(code, &account))?;
    let logged_in = log_in(&mut talk, &attempt, step, server, &account).await?;
    talk.link.set_frame_max(FRAME_MAX);
    let account = AccountName::try_from(logged_in.account).map_err(|_| protocol("the account's name is malformed"))?;
    Ok(Opened {
        link: talk.link,
        account: account.into(),
        classic: named.keeps_case,
        forgets_device: named.forgets_device,
        server,
        server_version: identity.server_version,
        rtt_ms,
    })
}

/// What a server that proved its key says before a login.
pub struct Greeted {
    /// `HOST:PORT`.
    pub name: String,
    /// The key that it proved.
    pub server: ServerId,
    /// What its certificate is worth.
    pub certificate: Result<(), CertificateProblem>,
    /// What it says of itself.
    pub identity: wire::Identity,
    /// One round trip.
    pub rtt_ms: u64,
    /// This host's address on the connection.
    pub local: SocketAddr,
}

/// Why nobody could be greeted.
pub struct TurnedBack {
    /// What the way ended at, where that is known.
    pub at: Option<Obstacle>,
    /// The reason.
    pub why: Box<ErrorData>,
}

impl From<Box<ErrorData>> for TurnedBack {
    fn from(why: Box<ErrorData>) -> TurnedBack {
        let at = (why.code == Code::SERVER_UNREACHABLE).then_some(Obstacle::Cut);
        TurnedBack { at, why }
    }
}

impl From<ConnectError> for TurnedBack {
    fn from(error: ConnectError) -> TurnedBack {
        let at = match &error {
            ConnectError::Dns(_) => Some(Obstacle::Name),
            ConnectError::Refused => Some(Obstacle::Refused),
            ConnectError::Unreachable(_) => Some(Obstacle::NoWay),
            ConnectError::TimedOut => Some(Obstacle::Silent),
            ConnectError::Tls(_) => Some(Obstacle::Tls),
            ConnectError::BadAddress(_) | ConnectError::WrongProtocol => None,
        };
        TurnedBack { at, why: not_connected(&error) }
    }
}

/// Goes the way of a login up to where it would begin, and turns back.
pub async fn greet(target: &Target, ca: Option<&str>, world: World, within: Duration) -> Result<Greeted, TurnedBack> {
    let steps = async {
        let connected = chat_link::connect(target, &roots(ca)?, within).await?;
        let mut talk = Talk { link: connected.link, tag: 0 };
        let (server, identity, rtt_ms) = identify(&mut talk, world).await?;
        let (name, local) = (target.to_string(), talk.link.local_addr());
        talk.link.close().await;
        Ok(Greeted { name, server, certificate: connected.certificate, identity, rtt_ms, local })
    };
    match tokio::time::timeout(within, steps).await {
        Ok(done) => done,
        Err(_) => Err(ConnectError::TimedOut.into()),
    }
}

fn roots(ca: Option<&str>) -> Result<Roots, Box<ErrorData>> {
    match ca {
        None => Ok(Roots::system()),
        Some(pem) => {
            Roots::pem(pem.as_bytes()).map_err(|error| about(Code::BAD_CONFIG, "--ca".into(), &error.to_string()))
        }
    }
}

async fn identify(talk: &mut Talk, world: World) -> Result<(ServerId, wire::Identity, u64), Box<ErrorData>> {
    let asked = wire::Identify {
        version_min: WIRE.min,
        version_max: WIRE.max,
        agent: concat!("chatd/", env!("CARGO_PKG_VERSION")).into(),
    };
    let before = world.mono_ms();
    let identity: wire::Identity = talk.ask(method::IDENTIFY, &asked).await?;
    let rtt_ms = world.mono_ms() - before;
    let server = ServerId::try_from(&identity.server_id[..]).map_err(|_| protocol("its key has a wrong length"))?;
    if !(WIRE.min..=WIRE.max).contains(&identity.version) {
        return Err(Box::new(Code::VERSION.into()));
    }
    if !verify_server(&server, &talk.link.exporter(), identity.version, &identity.proof) {
        return Err(protocol("it does not hold the key that it shows"));
    }
    Ok((server, identity, rtt_ms))
}

fn judge(attempt: &Attempt, shown: Shown<'_>) -> Result<(), Box<ErrorData>> {
    let judged = attempt
        .store
        .judge(shown, attempt.world.now_ms())
        .map_err(|error| about(Code::DISK_FULL, shown.name.to_owned(), &error.to_string()))?;
    judged.map_err(|distrust| {
        Box::new(ErrorData {
            subject: Some(distrust.question.server.clone()),
            detail: Some(distrust.question.certificate.clone()),
            trust: Some(distrust.question),
            ..distrust.code.into()
        })
    })
}

/// Names the account, and says nothing else yet.
async fn name(talk: &mut Talk, attempt: &Attempt) -> Result<wire::NameState, Box<ErrorData>> {
    let name = wire::Name { account: attempt.account.clone(), device_id: attempt.device.id.0.to_vec() };
    talk.ask(method::NAME, &name).await.map_err(|error| Box::new(ErrorData { subject: Some(name.account), ..*error }))
}

/// How the login goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Register,
    Password,
    Device,
}

/// What comes after the name: the classic profile tells of it, the default one does not (mission rule 1). A reconnect goes on
/// whatever it is told: HELLO decides.
fn step(credentials: &Credentials, named: &wire::NameState) -> Result<Step, Code> {
    const UNKNOWN: u32 = 2;
    const ACTIVE: u32 = 3;
    let (step, take_over, sign_up) = match credentials {
        Credentials::Register { .. } => return Ok(Step::Register),
        Credentials::Device { by_user: false, .. } => return Ok(Step::Device),
        Credentials::Device { take_over, .. } => (Ok(Step::Device), *take_over, false),
        Credentials::Password { take_over, sign_up, .. } => (Ok(Step::Password), *take_over, *sign_up),
        Credentials::Name { take_over } => (Err(Code::WRONG_CREDENTIALS), *take_over, false),
    };
    match named.state {
        UNKNOWN if !named.sign_up => Err(Code::UNKNOWN_USER),
        UNKNOWN if sign_up => Ok(Step::Register),
        UNKNOWN => Err(Code::SIGN_UP),
        ACTIVE if !take_over => Err(Code::ALREADY_LOGGED_IN),
        _ => step,
    }
}

fn refused_name(code: Code, account: &str) -> Box<ErrorData> {
    Box::new(ErrorData { subject: Some(account.to_owned()), ..code.into() })
}

/// A name as the server keeps it, as far as this side knows its rule.
pub fn fold(typed: &str, classic: bool) -> String {
    let rule = if classic { NameRule::Classic } else { NameRule::Standard };
    AccountName::parse(typed, rule).map_or_else(|_| typed.to_owned(), String::from)
}

/// Whether a person is one of those whose names a user wrote down. Where the server keeps case, "Bob" is not "bob".
pub fn is_among(written: &[String], person: &str, classic: bool) -> bool {
    let same = |name: &String| match classic {
        true => name == person,
        false => name.eq_ignore_ascii_case(person),
    };
    written.iter().any(same)
}

async fn log_in(
    talk: &mut Talk,
    attempt: &Attempt,
    step: Step,
    server: ServerId,
    account: &str,
) -> Result<wire::LoggedIn, Box<ErrorData>> {
    let claim =
        DeviceClaim { exporter: talk.link.exporter(), server, account, device: attempt.device.id, versions: WIRE };
    let proof = attempt.device.key.sign(&claim).map_err(|error| internal(&error.to_string()))?.to_vec();
    let enrol = |proof| wire::Enrol {
        device_id: attempt.device.id.0.to_vec(),
        public_key: attempt.device.key.public().to_vec(),
        name: attempt.device_name.clone(),
        proof,
    };
    let password = |password: &Zeroizing<String>, invite: &str, take_over| wire::Password {
        account: account.to_owned(),
        password: password.to_string(),
        enrol: Some(enrol(proof.clone())),
        invite: invite.to_owned(),
        take_over,
    };
    match &attempt.credentials {
        Credentials::Register { password: p, invite } => talk.ask(method::REGISTER, &password(p, invite, false)).await,
        Credentials::Password { password: p, .. } if step == Step::Register => {
            talk.ask(method::REGISTER, &password(p, "", false)).await
        }
        Credentials::Password { password: p, take_over, .. } => {
            talk.ask(method::LOGIN, &password(p, "", *take_over)).await
        }
        Credentials::Name { .. } => Err(Box::new(Code::WRONG_CREDENTIALS.into())),
        &Credentials::Device { by_user, take_over } => {
            let login = wire::DeviceLogin {
                account: account.to_owned(),
                device_id: attempt.device.id.0.to_vec(),
                proof,
                by_user,
                take_over,
            };
            talk.ask(method::DEVICE, &login).await
        }
    }
}

/// A link on which one question is asked at a time.
struct Talk {
    link: Link,
    tag: u32,
}

impl Talk {
    async fn ask<A: Message + Default>(&mut self, name: Tag4, body: &impl Message) -> Result<A, Box<ErrorData>> {
        self.tag += 1;
        self.link.queue(&Frame::new(name, self.tag, body));
        self.link.flush().await.map_err(|error| cut(&error))?;
        loop {
            let frame = match self.link.recv().await {
                Ok(Some(frame)) => frame,
                Ok(None) => return Err(unreachable("the server closed the connection")),
                Err(error) => return Err(cut(&error)),
            };
            match frame.name {
                status::END => return Err(ended(&frame)),
                status::ERROR if frame.tag == self.tag => return Err(refused(&frame)),
                status::CONFIRMATION if frame.tag == self.tag => {
                    return A::decode(frame.body).map_err(|error| protocol(&error.to_string()));
                }
                _ => {}
            }
        }
    }
}

fn refused(frame: &Frame) -> Box<ErrorData> {
    match wire::Refusal::decode(frame.body.clone()) {
        Ok(refusal) => fault(&refusal.into()),
        Err(error) => protocol(&error.to_string()),
    }
}

fn ended(frame: &Frame) -> Box<ErrorData> {
    match wire::Bye::decode(frame.body.clone()) {
        Ok(bye) => {
            let retry_after_ms = (bye.after_ms > 0).then_some(bye.after_ms);
            Box::new(ErrorData { retry_after_ms, ..Code(bye.code).into() })
        }
        Err(error) => protocol(&error.to_string()),
    }
}

/// What a refusal of the server is for chatctl.
pub fn fault(fault: &Fault) -> Box<ErrorData> {
    Box::new(ErrorData { retry_after_ms: fault.retry_after_ms, ..fault.code.into() })
}

fn not_connected(error: &ConnectError) -> Box<ErrorData> {
    let code = match error {
        ConnectError::WrongProtocol => Code::VERSION,
        ConnectError::BadAddress(_) => Code::BAD_PARAMS,
        _ => Code::SERVER_UNREACHABLE,
    };
    Box::new(ErrorData { detail: Some(error.to_string()), ..code.into() })
}

fn cut(error: &LinkError) -> Box<ErrorData> {
    unreachable(&error.to_string())
}

/// The server cannot be reached, and why.
pub fn unreachable(detail: &str) -> Box<ErrorData> {
    Box::new(ErrorData { detail: Some(detail.to_owned()), ..Code::SERVER_UNREACHABLE.into() })
}

fn protocol(detail: &str) -> Box<ErrorData> {
    Box::new(ErrorData { detail: Some(detail.to_owned()), ..Code::PROTOCOL.into() })
}

fn internal(detail: &str) -> Box<ErrorData> {
    Box::new(ErrorData { detail: Some(detail.to_owned()), ..Code::INTERNAL.into() })
}

fn about(code: Code, subject: String, detail: &str) -> Box<ErrorData> {
    Box::new(ErrorData { subject: Some(subject), detail: Some(detail.to_owned()), ..code.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(state: u32, sign_up: bool) -> wire::NameState {
        wire::NameState { state, sign_up, ..wire::NameState::default() }
    }

    fn typed(sign_up: bool, take_over: bool) -> Credentials {
        Credentials::Password { password: Zeroizing::new("x".into()), take_over, sign_up }
    }

    #[test]
    fn the_name_decides_before_a_password_is_asked_for() {
        let nothing = Credentials::Name { take_over: false };
        let key = |by_user| Credentials::Device { by_user, take_over: false };
        for state in [0, 1] {
            assert_eq!(step(&nothing, &named(state, true)), Err(Code::WRONG_CREDENTIALS), "ask for the password");
            assert_eq!(step(&typed(true, false), &named(state, true)), Ok(Step::Password));
            assert_eq!(step(&key(true), &named(state, true)), Ok(Step::Device));
        }
        for credentials in [&nothing, &typed(false, false), &key(true)] {
            assert_eq!(step(credentials, &named(2, true)), Err(Code::SIGN_UP));
            assert_eq!(step(credentials, &named(2, false)), Err(Code::UNKNOWN_USER));
            assert_eq!(step(credentials, &named(3, true)), Err(Code::ALREADY_LOGGED_IN));
        }
        assert_eq!(step(&typed(true, false), &named(2, true)), Ok(Step::Register));
        assert_eq!(step(&typed(true, false), &named(2, false)), Err(Code::UNKNOWN_USER), "not by a login");
        assert_eq!(step(&typed(false, true), &named(3, true)), Ok(Step::Password));
        let registers = Credentials::Register { password: Zeroizing::new("x".into()), invite: String::new() };
        for state in 0..4 {
            assert_eq!(step(&registers, &named(state, false)), Ok(Step::Register));
            assert_eq!(step(&key(false), &named(state, false)), Ok(Step::Device), "a reconnect goes on");
        }
    }
}
