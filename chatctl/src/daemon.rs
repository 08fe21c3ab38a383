//! The conversation with chatd: dial, hello, calls with a deadline, events. The one file that knows how `chat_local` spells it.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use chat_local::DialError;
use chat_local::connection::Connection;
use chat_local::rpc::{Client, ErrorObject, METHOD_NOT_FOUND, RpcError};
use chat_proto::control::daemon::{Hello, HelloReply};
use chat_proto::control::events::Event;
use chat_proto::control::{Call, EVENT, ErrorData};
use chat_proto::fault::Code;
use chat_proto::version;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use crate::output::Trouble;
use crate::time::Clock;
use crate::words::{refusals, troubles};

/// chatd gets this much longer than it was told before it counts as silent: its answer "no verdict in time" is on the way then.
const GRACE: Duration = Duration::from_secs(2);

/// An open conversation with chatd.
#[derive(Debug)]
pub struct Daemon {
    client: Client,
    /// What chatd said of itself.
    pub hello: HelloReply,
}

/// Why a call has no result.
#[derive(Debug)]
pub enum CallError {
    /// chatd or the server says no.
    Refused(Box<ErrorData>),
    /// The connection ended with the request on the way.
    Broken(String),
    /// No answer within the deadline.
    Silent,
    /// An answer that this build does not understand.
    Misfit(String),
}

impl CallError {
    /// The trouble that it is.
    pub fn trouble(self, clock: &Clock) -> Trouble {
        match self {
            CallError::Refused(data) => refusals::refusal(&data, clock),
            CallError::Broken(reason) => troubles::broken(&reason),
            CallError::Silent => troubles::silent(),
            CallError::Misfit(detail) => troubles::versions(&detail),
        }
    }
}

/// Why there is no conversation.
#[derive(Debug)]
pub enum NoDaemon {
    /// Nothing listens at any of the places: it may be started.
    Absent,
    /// Something is there that cannot or must not be talked to.
    Unusable(Trouble),
}

impl Daemon {
    /// Dials the places in their order and says hello to the first that is there.
    pub async fn connect(sockets: &[std::path::PathBuf], deadline: Instant, clock: &Clock) -> Result<Daemon, NoDaemon> {
        for socket in sockets {
            match dial(socket, deadline).await {
                Ok(client) => return greet(client, deadline, clock).await,
                Err(DialError::NotRunning) => {}
                Err(DialError::TimedOut) => return Err(NoDaemon::Unusable(troubles::silent())),
                Err(error) => return Err(NoDaemon::Unusable(troubles::socket(&error.to_string()))),
            }
        }
        Err(NoDaemon::Absent)
    }

    /// Dials without a hello: for the one call that a chatd of any version understands, the one that ends it.
    pub async fn unfit(sockets: &[std::path::PathBuf], deadline: Instant) -> Option<Daemon> {
        for socket in sockets {
            if let Ok(client) = dial(socket, deadline).await {
                let hello = HelloReply { version: 0, build: "of another version".to_owned(), pid: 0 };
                return Some(Daemon { client, hello });
            }
        }
        None
    }

    /// Calls; chatd itself was told when to give up, so that this deadline only catches a hung one.
    pub async fn call<C: Call>(&mut self, params: &C, deadline: Instant) -> Result<C::Reply, CallError> {
        let answer = self.client.call::<_, C::Reply>(C::METHOD, params);
        in_time(answer, deadline + GRACE, C::METHOD).await
    }

    /// Calls a method by its name, with parameters as they were typed.
    pub async fn call_named(&mut self, method: &str, params: &Value, deadline: Instant) -> Result<Value, CallError> {
        in_time(self.client.call(method, params), deadline + GRACE, method).await
    }

    /// The connection, behind the hello.
    pub fn into_connection(self) -> Connection {
        self.client.into_connection()
    }

    /// The next event; nothing when chatd is gone. Safe to cancel.
    pub async fn event(&mut self) -> Result<Option<Received>, CallError> {
        loop {
            match self.client.next_event().await {
                Ok(None) => return Ok(None),
                Ok(Some(notification)) if notification.method == EVENT => {
                    let event = serde_json::from_value(notification.params);
                    // An event of a kind that only a newer chatctl knows is passed over.
                    if let Ok(event) = event {
                        return Ok(Some(Received::Event(event)));
                    }
                }
                Ok(Some(_)) => {}
                Err(RpcError::EventsMissed) => return Ok(Some(Received::Missed)),
                Err(error) => return Err(failed(error, "watch")),
            }
        }
    }

    /// Waits until chatd hangs up, or the deadline.
    pub async fn closed(&mut self, deadline: Instant) -> bool {
        let end = async { while let Ok(Some(_)) = self.client.next_event().await {} };
        timeout_at(deadline, end).await.is_ok()
    }
}

/// What `watch` gets.
#[derive(Debug)]
pub enum Received {
    /// Something happened.
    Event(Box<Event>),
    /// More happened than was kept: follow again from the last known place.
    Missed,
}

async fn dial(socket: &Path, deadline: Instant) -> Result<Client, DialError> {
    chat_local::connect(socket, deadline).await.map(Client::new)
}

async fn greet(mut client: Client, deadline: Instant, clock: &Clock) -> Result<Daemon, NoDaemon> {
    let hello = Hello { versions: version::CONTROL, build: env!("CARGO_PKG_VERSION").to_owned() };
    let answer = client.call::<_, HelloReply>(Hello::METHOD, &hello);
    let outcome = in_time(answer, deadline, Hello::METHOD).await;
    match outcome {
        Ok(hello) => Ok(Daemon { client, hello }),
        // One that is about to end is as good as none.
        Err(CallError::Broken(_)) => Err(NoDaemon::Absent),
        Err(CallError::Refused(data)) if data.code == Code::DAEMON_STOPPING => Err(NoDaemon::Absent),
        Err(CallError::Refused(data)) if data.code == Code::VERSION => {
            let detail = data.detail.as_deref().unwrap_or("no common version");
            Err(NoDaemon::Unusable(troubles::versions(detail)))
        }
        Err(error) => Err(NoDaemon::Unusable(error.trouble(clock))),
    }
}

async fn in_time<T>(
    answer: impl Future<Output = Result<T, RpcError>>,
    deadline: Instant,
    method: &str,
) -> Result<T, CallError> {
    match timeout_at(deadline, answer).await {
        Err(_) => Err(CallError::Silent),
        Ok(outcome) => outcome.map_err(|error| failed(error, method)),
    }
}

fn failed(error: RpcError, method: &str) -> CallError {
    match error {
        RpcError::Refused(object) => refused(object, method),
        RpcError::Result(error) => CallError::Misfit(error.to_string()),
        error => CallError::Broken(error.to_string()),
    }
}

/// An error of chatd carries [`ErrorData`]; one of JSON-RPC itself means that the two sides do not fit.
fn refused(object: ErrorObject, method: &str) -> CallError {
    match object.data.map(serde_json::from_value::<ErrorData>) {
        Some(Ok(data)) => CallError::Refused(Box::new(data)),
        _ if object.code == METHOD_NOT_FOUND => CallError::Misfit(format!("it does not know {method}")),
        _ => CallError::Misfit(object.message),
    }
}

/// Is `theirs` an older build than this one? What is no version is not older.
pub fn is_older(theirs: &str, ours: &str) -> bool {
    fn numbers(version: &str) -> Option<Vec<u64>> {
        version.split(['-', '+']).next()?.split('.').map(|part| part.parse().ok()).collect()
    }
    matches!((numbers(theirs), numbers(ours)), (Some(theirs), Some(ours)) if theirs < ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_are_compared_by_number() {
        assert!(is_older("0.9.0", "0.10.0"));
        assert!(!is_older("0.10.0", "0.10.0"));
        assert!(!is_older("1.0.0", "0.10.0"));
        assert!(!is_older("weird", "0.10.0"));
    }
}
