//! Files within private sessions: the owner's part.

use chat_proto::control::private::EndReason;
use chat_proto::frame::Frame;
use chat_proto::machine::private::requests::RequestId;
use chat_proto::peer::FileBytes;
use iroh::endpoint::RecvStream;

use super::owner::Owner;

impl Owner {
    /// A peer said something about a file.
    pub fn file_frame(&mut self, _id: &RequestId, _frame: Frame) {}

    /// Bytes of a file come.
    pub fn file_bytes(&mut self, _id: &RequestId, _head: FileBytes, _stream: RecvStream) {}

    /// A session's connection is there.
    pub fn file_up(&mut self, _id: &RequestId) {}

    /// It is lost.
    pub fn file_down(&mut self, _id: &RequestId) {}

    /// A session is over.
    pub fn file_session_ended(&mut self, _id: &RequestId, _reason: EndReason) {}
}
