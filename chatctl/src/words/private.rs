//! Sentences about private requests, sessions and files.

use chat_proto::control::file::File;
use chat_proto::control::private::{PrivateEnded, PrivateRequest, PrivateSession};

/// What became of a request.
pub fn private_request(request: &PrivateRequest) -> String {
    format!("{} asks for a private session: chatctl accept {}", request.peer, request.peer)
}

/// How a session goes.
pub fn private_session(session: &PrivateSession) -> String {
    format!("private session with {} changed", session.peer)
}

/// Why a session ended.
pub fn private_ended(ended: &PrivateEnded) -> String {
    format!("private session with {} ended", ended.peer)
}

/// How a transfer goes.
pub fn file(file: &File) -> String {
    format!("{}: {} of {} bytes", file.name, file.done, file.size)
}
