//! The three statuses that answer a request, in place of a method: the constants and nothing else.

use crate::method::Tag4;

/// Confirmation: the request took effect; the body belongs to the method asked.
pub const CONFIRMATION: Tag4 = *b"OKAY";
/// Error: the request had no effect; the body is [`crate::wire::Refusal`].
pub const ERROR: Tag4 = *b"FAIL";
/// End of connection: the sender closes after this frame; the body is [`crate::wire::Bye`].
pub const END: Tag4 = *b"OVER";

/// Every status, for tests and fuzzers.
pub const ALL: &[Tag4] = &[CONFIRMATION, ERROR, END];
