//! The control socket: one task per connection, one handler per call; events of a `watch` between them.

mod account;
mod caller;
mod config;
mod daemon;
mod device;
mod doctor;
mod events;
mod file;
mod hooks;
mod message;
mod outbox;
mod people;
mod private;
mod search;
mod trace;

use std::sync::Arc;
use std::time::Duration;

use chat_local::connection::{Connection, LineError, Reader, Writer};
use chat_local::rpc::{ErrorObject, INTERNAL_ERROR, Incoming, Notification};
use chat_proto::control::{self as calls, Call, EVENT, ErrorData};
use chat_proto::display;
use chat_proto::fault::Code;
use chat_proto::limits::CONTROL_ORPHANS;
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::daemon::Daemon;
use crate::profile::Answer;
use caller::Caller;
use events::Follow;

/// JSON-RPC number of a refusal that its data explains; the code's own number is added.
const REFUSED: i64 = 1000;

/// Places for calls whose callers are gone. A place is given, never waited for, so nobody owns this.
static ORPHANS: Semaphore = Semaphore::const_new(CONTROL_ORPHANS);

/// Serves one connection to its end.
pub async fn serve(connection: Connection, daemon: Arc<Daemon>) {
    let _counted = daemon.count();
    let (reader, writer) = connection.split();
    let mut session = Session { daemon, writer, follow: None };
    if let Err(error) = session.run(reader).await {
        tracing::debug!(%error, "a control connection ended");
    }
}

struct Session {
    daemon: Arc<Daemon>,
    writer: Writer,
    /// The `watch` of this connection.
    follow: Option<Follow>,
}

impl Session {
    async fn run(&mut self, mut reader: Reader) -> Result<(), LineError> {
        let shutdown = self.daemon.shutdown.clone();
        loop {
            tokio::select! {
                line = reader.recv_line() => {
                    let line = match line {
                        Ok(Some(line)) => line,
                        Err(LineError::NotUtf8) => "\u{fffd}".into(),
                        Ok(None) => return Ok(()),
                        Err(error) => return Err(error),
                    };
                    if self.line(&mut reader, &line).await?.is_none() {
                        return Ok(());
                    }
                },
                event = next(&mut self.follow) => match event {
                    Some(event) => {
                        let params = serde_json::to_value(event)?;
                        self.writer.send(&Notification::new(EVENT, params)).await?;
                    }
                    None => return Ok(()),
                },
                () = shutdown.begun() => return Ok(()),
            }
        }
    }

    /// Serves a line and answers it; nothing when there is nobody any more to answer.
    async fn line(&mut self, reader: &mut Reader, line: &str) -> Result<Option<()>, LineError> {
        let response = match Incoming::parse(line) {
            Err(response) => Some(response),
            Ok(incoming) => {
                let incoming = Arc::new(incoming);
                let outcome = match incoming.method.as_str() {
                    "watch" => self.watch(&incoming).await,
                    _ => match self.attended(reader, &incoming).await {
                        Some(outcome) => outcome,
                        None => return Ok(None),
                    },
                };
                incoming.answer(outcome)
            }
        };
        if let Some(response) = response {
            self.writer.send(&response).await?;
        }
        Ok(Some(()))
    }

    async fn watch(&mut self, call: &Incoming) -> Result<Value, ErrorObject> {
        let (watching, follow) = refused(events::watch(&self.daemon, params(call)?).await)?;
        self.follow = Some(follow);
        to_value(watching)
    }

    /// What comes of a call; nothing when the caller goes before that. Then the call is brought to its end without him, so that it
    /// holds no seat, and what only waits for his sake ends at once.
    async fn attended(&mut self, reader: &mut Reader, call: &Arc<Incoming>) -> Option<Result<Value, ErrorObject>> {
        let (presence, caller) = caller::present();
        let mut work = Box::pin(dispatch(Arc::clone(&self.daemon), Arc::clone(call), caller));
        tokio::select! {
            biased;
            outcome = &mut work => return Some(outcome),
            () = reader.gone(&mut self.writer) => {}
        }
        tracing::debug!(method = call.method, "a caller went before the answer");
        drop(presence);
        match ORPHANS.try_acquire() {
            Ok(place) => {
                self.daemon.shutdown.spawn(async move {
                    let _place = place;
                    let _unheard = work.await;
                });
            }
            Err(_) => {
                let _unheard = work.await;
            }
        }
        None
    }
}

/// One arm per call, named as the command; `watch` alone is the connection's own.
async fn dispatch(daemon: Arc<Daemon>, call: Arc<Incoming>, caller: Caller) -> Result<Value, ErrorObject> {
    let (d, call, c) = (&*daemon, &*call, &caller);
    match call.method.as_str() {
        "hello" => run(call, async |p| daemon::hello(&p)).await,
        "daemon_status" => run(call, async |_: calls::daemon::DaemonStatus| Ok(daemon::status(d))).await,
        "daemon_stop" => run(call, async |_: calls::daemon::DaemonStop| Ok(daemon::stop(d))).await,
        "doctor" => run(call, async |p| doctor::doctor(d, p).await).await,
        "register" => run(call, async |p| account::register(d, p).await).await,
        "login" => run(call, async |p| account::login(d, p).await).await,
        "logout" => run(call, async |p| account::logout(d, p).await).await,
        "status" => run(call, async |p| account::status(d, c, p).await).await,
        "passwd" => run(call, async |p| account::passwd(d, p).await).await,
        "device_list" => run(call, async |p| device::device_list(d, p).await).await,
        "device_revoke" => run(call, async |p| device::device_revoke(d, p).await).await,
        "profile_list" => run(call, async |_: calls::config::ProfileList| config::profile_list(d).await).await,
        "profile_add" => run(call, async |p| config::profile_add(d, p).await).await,
        "profile_remove" => run(call, async |p| config::profile_remove(d, p).await).await,
        "profile_default" => run(call, async |p| config::profile_default(d, p).await).await,
        "trust_list" => run(call, async |_: calls::config::TrustList| Ok(config::trust_list(d))).await,
        "trust_accept" => run(call, async |p| config::trust_accept(d, p).await).await,
        "trust_remove" => run(call, async |p| config::trust_remove(d, &p)).await,
        "message" => run(call, async |p| message::message(d, c, p).await).await,
        "broadcast" => run(call, async |p| message::broadcast(d, c, p).await).await,
        "inbox" => run(call, async |p| message::inbox(d, p).await).await,
        "read" => run(call, async |p| message::read(d, p).await).await,
        "mark_read" => run(call, async |p| message::mark_read(d, p).await).await,
        "search" => run(call, async |p| search::search(d, p).await).await,
        "export" => run(call, async |p| search::export(d, p).await).await,
        "unread" => run(call, async |p| message::unread(d, p).await).await,
        "trace" => run(call, async |p| trace::trace(d, p).await).await,
        "show" => run(call, async |p| message::show(d, c, p).await).await,
        "outbox" => run(call, async |p| outbox::outbox(d, p).await).await,
        "outbox_cancel" => run(call, async |p| outbox::cancel(d, c, p).await).await,
        "outbox_retry" => run(call, async |p| outbox::retry(d, c, p).await).await,
        "whoelse" => run(call, async |p| people::whoelse(d, p).await).await,
        "whoelsesince" => run(call, async |p| people::whoelsesince(d, p).await).await,
        "block" => run(call, async |p| people::block(d, p).await).await,
        "unblock" => run(call, async |p| people::unblock(d, p).await).await,
        "blocked" => run(call, async |p| people::blocked(d, p).await).await,
        "names" => run(call, async |p| people::names(d, p).await).await,
        "startprivate" => run(call, async |p| private::startprivate(d, c, p).await).await,
        "requests" => run(call, async |p| private::requests(d, p).await).await,
        "accept" => run(call, async |p| private::accept(d, p).await).await,
        "decline" => run(call, async |p| private::decline(d, p).await).await,
        "private" => run(call, async |p| private::private(d, c, p).await).await,
        "stopprivate" => run(call, async |p| private::stopprivate(d, p).await).await,
        "sessions" => run(call, async |p| private::sessions(d, p).await).await,
        "sessions_verify" => run(call, async |p| private::sessions_verify(d, p).await).await,
        "ack" => run(call, async |p| events::ack(d, p).await).await,
        "cursor_list" => run(call, async |p| events::cursor_list(d, p).await).await,
        "cursor_remove" => run(call, async |p| events::cursor_remove(d, p).await).await,
        "file_send" => run(call, async |p| file::send(d, p).await).await,
        "file_list" => run(call, async |p| file::list(d, p).await).await,
        "file_accept" => run(call, async |p| file::accept(d, p).await).await,
        "file_take" => run(call, async |p| file::take(d, p).await).await,
        "file_decline" => run(call, async |p| file::decline(d, p).await).await,
        "file_cancel" => run(call, async |p| file::cancel(d, p).await).await,
        "hooks_list" => run(call, async |p| hooks::list(d, p).await).await,
        "hooks_test" => run(call, async |p| hooks::test(d, p).await).await,
        "hooks_letters" => run(call, async |p| hooks::letters(d, p).await).await,
        "hooks_replay" => run(call, async |p| hooks::replay(d, p).await).await,
        "hooks_drop" => run(call, async |p| hooks::drop(d, p).await).await,
        other => Err(ErrorObject::method_not_found(other)),
    }
}

async fn next(follow: &mut Option<Follow>) -> Option<chat_proto::control::events::Event> {
    match follow {
        Some(follow) => follow.next().await,
        None => std::future::pending().await,
    }
}

/// Parameters in, handler, reply out. The handler's type says which call it is.
async fn run<C: Call>(call: &Incoming, handler: impl AsyncFnOnce(C) -> Answer<C::Reply>) -> Result<Value, ErrorObject> {
    to_value(refused(handler(params(call)?).await)?)
}

fn params<C: Call>(call: &Incoming) -> Result<C, ErrorObject> {
    call.params().map_err(|error| ErrorObject {
        data: serde_json::to_value(ErrorData { detail: Some(error.message.clone()), ..Code::BAD_PARAMS.into() }).ok(),
        ..error
    })
}

fn refused<T>(answer: Answer<T>) -> Result<T, ErrorObject> {
    answer.map_err(|mut data| {
        data.detail = data.detail.map(|detail| display::cause(&detail).into_owned());
        ErrorObject {
            code: REFUSED + i64::from(data.code.0),
            message: data.code.name().to_owned(),
            data: serde_json::to_value(&*data).ok(),
        }
    })
}

fn to_value(reply: impl serde::Serialize) -> Result<Value, ErrorObject> {
    serde_json::to_value(reply).map_err(|error| ErrorObject::new(INTERNAL_ERROR, error.to_string()))
}

/// Waits at most so long.
async fn within<T>(timeout_ms: u64, work: impl Future<Output = Answer<T>>) -> Answer<T> {
    match tokio::time::timeout(Duration::from_millis(timeout_ms), work).await {
        Ok(answer) => answer,
        Err(_) => Err(Box::new(Code::TIMED_OUT.into())),
    }
}

/// The history could not be read.
fn unreadable(trouble: &crate::history::Trouble) -> Box<ErrorData> {
    tracing::error!(%trouble, "the history cannot be read");
    Box::new(ErrorData { detail: Some(trouble.to_string()), ..Code::INTERNAL.into() })
}
