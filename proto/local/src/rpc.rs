//! JSON-RPC 2.0 over a control connection: the envelopes, a client for chatctl and the reading side for chatd. Which methods exist
//! and what their parameters are is said in `chat_proto::control`; nothing here knows a method.

use std::collections::VecDeque;

use chat_proto::limits::CONTROL_EVENTS;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::connection::{Connection, LineError};

/// The line was no JSON.
pub const PARSE_ERROR: i64 = -32700;
/// The JSON was no request.
pub const INVALID_REQUEST: i64 = -32600;
/// No such method.
pub const METHOD_NOT_FOUND: i64 = -32601;
/// The method does not take these parameters.
pub const INVALID_PARAMS: i64 = -32602;
/// The other side failed in a way that it does not explain.
pub const INTERNAL_ERROR: i64 = -32603;

/// The member that every envelope carries; anything but `"2.0"` is refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Version {
    /// JSON-RPC 2.0.
    #[default]
    #[serde(rename = "2.0")]
    V2,
}

/// What ties a response to its request: our client counts, other clients may use text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Id {
    /// A number.
    Number(i64),
    /// Any text.
    Text(String),
}

/// A request as sent.
#[derive(Debug, Serialize)]
pub struct Request<'a, P> {
    jsonrpc: Version,
    id: i64,
    method: &'a str,
    params: P,
}

/// A request or notification as received by chatd.
#[derive(Debug, Clone, PartialEq)]
pub struct Incoming {
    /// Absent in a notification, which is never answered.
    pub id: Option<Id>,
    /// The method's name.
    pub method: String,
    /// Its parameters: an object or an array; an empty object when there were none.
    pub params: Value,
}

/// A response. Exactly one of result and error is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Response {
    jsonrpc: Version,
    id: Option<Id>,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Result(Value),
    Error(ErrorObject),
}

/// An error as the other side says it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{message} ({code})")]
pub struct ErrorObject {
    /// One of the numbers above, or one that the method defines.
    pub code: i64,
    /// One sentence; text of the other side, so it is made safe before it is printed.
    pub message: String,
    /// What a program needs to act on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

/// An event that nobody asked for by id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notification {
    #[serde(default)]
    jsonrpc: Version,
    /// What happened.
    pub method: String,
    /// Its details.
    #[serde(default)]
    pub params: Value,
}

impl ErrorObject {
    /// An error without data.
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    /// The answer to a method that does not exist.
    pub fn method_not_found(method: &str) -> Self {
        Self::new(METHOD_NOT_FOUND, format!("no method {method:?}"))
    }
}

impl Response {
    /// A success.
    pub fn ok(id: Id, result: Value) -> Self {
        Self { jsonrpc: Version::V2, id: Some(id), outcome: Outcome::Result(result) }
    }

    /// A failure; the id is absent when the request could not be read.
    pub fn error(id: Option<Id>, error: ErrorObject) -> Self {
        Self { jsonrpc: Version::V2, id, outcome: Outcome::Error(error) }
    }

    /// What it says.
    pub fn into_result(self) -> Result<Value, ErrorObject> {
        match self.outcome {
            Outcome::Result(result) => Ok(result),
            Outcome::Error(error) => Err(error),
        }
    }
}

impl Notification {
    /// An event with its details.
    pub fn new(method: impl Into<String>, params: Value) -> Self {
        Self { jsonrpc: Version::V2, method: method.into(), params }
    }
}

impl Incoming {
    /// Reads a line. What is no request comes back as the response to send.
    pub fn parse(line: &str) -> Result<Self, Response> {
        let value: Value = serde_json::from_str(line).map_err(|error| refuse(None, PARSE_ERROR, error.to_string()))?;
        let Value::Object(mut members) = value else {
            return Err(refuse(None, INVALID_REQUEST, "a request is one object; batches are not taken"));
        };
        let id = match members.remove("id").map(serde_json::from_value::<Id>) {
            None => None,
            Some(Ok(id)) => Some(id),
            Some(Err(_)) => {
                return Err(refuse(None, INVALID_REQUEST, "an id is a whole number or text"));
            }
        };
        Self::from_members(id.clone(), members).map_err(|reason| refuse(id, INVALID_REQUEST, reason))
    }

    fn from_members(id: Option<Id>, mut members: Map<String, Value>) -> Result<Self, &'static str> {
        if members.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
            return Err("jsonrpc must be \"2.0\"");
        }
        let Some(Value::String(method)) = members.remove("method") else {
            return Err("method must be text");
        };
        let params = members.remove("params").unwrap_or_else(|| Value::Object(Map::new()));
        if !(params.is_object() || params.is_array()) {
            return Err("params must be an object or an array");
        }
        Ok(Self { id, method, params })
    }

    /// The parameters as the method's type, or the error to answer with.
    pub fn params<T: DeserializeOwned>(&self) -> Result<T, ErrorObject> {
        T::deserialize(&self.params).map_err(|error| ErrorObject::new(INVALID_PARAMS, error.to_string()))
    }

    /// The response to send for an outcome; `None` for a notification.
    pub fn answer(&self, outcome: Result<Value, ErrorObject>) -> Option<Response> {
        let id = self.id.clone()?;
        Some(match outcome {
            Ok(result) => Response::ok(id, result),
            Err(error) => Response::error(Some(id), error),
        })
    }
}

fn refuse(id: Option<Id>, code: i64, message: impl Into<String>) -> Response {
    Response::error(id, ErrorObject::new(code, message))
}

/// What chatd can say on a connection.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum FromServer {
    Response(Response),
    Notification(Notification),
}

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub enum RpcError {
    /// The other side says no.
    #[error(transparent)]
    Refused(#[from] ErrorObject),
    /// The connection failed or something on it made no sense.
    #[error(transparent)]
    Line(#[from] LineError),
    /// The other side closed the connection.
    #[error("chatd closed the connection")]
    Closed,
    /// The result is not of the type expected: the two sides have versions that differ.
    #[error("chatd answered in a form not understood here: {0}")]
    Result(serde_json::Error),
    /// More events came than are kept; the caller reads the history again. Said once, before the events that came after.
    #[error("events were missed")]
    EventsMissed,
}

/// The calling side: one call at a time, events kept between calls.
#[derive(Debug)]
pub struct Client {
    connection: Connection,
    last_id: i64,
    events: VecDeque<Notification>,
    missed: bool,
}

impl Client {
    /// Speaks over a connection from [`crate::connect`].
    pub fn new(connection: Connection) -> Self {
        Self { connection, last_id: 0, events: VecDeque::new(), missed: false }
    }

    /// The connection, for a caller who goes on with it in its own words. Events that were kept are dropped.
    pub fn into_connection(self) -> Connection {
        self.connection
    }

    /// Calls a method and waits for its answer. The caller sets the deadline by dropping the future; the late answer is skipped
    /// then, but a call dropped while it was being sent ends the connection.
    pub async fn call<P: Serialize, T: DeserializeOwned>(&mut self, method: &str, params: P) -> Result<T, RpcError> {
        self.last_id += 1;
        let id = self.last_id;
        self.connection.send(&Request { jsonrpc: Version::V2, id, method, params }).await?;
        loop {
            match self.receive().await? {
                FromServer::Notification(event) => self.keep(event),
                FromServer::Response(response) if concerns(&response, id) => {
                    return serde_json::from_value(response.into_result()?).map_err(RpcError::Result);
                }
                FromServer::Response(_) => {}
            }
        }
    }

    /// The next event; `None` when chatd closed the connection. Safe to cancel.
    pub async fn next_event(&mut self) -> Result<Option<Notification>, RpcError> {
        if std::mem::take(&mut self.missed) {
            return Err(RpcError::EventsMissed);
        }
        if let Some(event) = self.events.pop_front() {
            return Ok(Some(event));
        }
        loop {
            match self.receive().await {
                Ok(FromServer::Notification(event)) => return Ok(Some(event)),
                Ok(FromServer::Response(_)) => {}
                Err(RpcError::Closed) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    async fn receive(&mut self) -> Result<FromServer, RpcError> {
        self.connection.recv().await?.ok_or(RpcError::Closed)
    }

    fn keep(&mut self, event: Notification) {
        if self.events.len() == CONTROL_EVENTS {
            self.events.clear();
            self.missed = true;
        }
        self.events.push_back(event);
    }
}

/// A response without an id concerns the call on the way: chatd could not read the request.
fn concerns(response: &Response, id: i64) -> bool {
    response.id.is_none() || response.id == Some(Id::Number(id))
}

#[cfg(test)]
#[path = "rpc_tests.rs"]
mod tests;
