//! Frames: what travels between hosts. Fed and drained in pieces; a claimed length is checked before anything is allocated.
//!
//! ```text
//! u32 big-endian: length of what follows | 4 bytes: method or status | u32 big-endian: tag | body (protobuf)
//! ```
//! A request carries a tag that its sender chose (not 0); the answer repeats it. A push has tag 0.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::method::Tag4;

/// Bytes of a frame before its body: length, name and tag.
pub const HEADER: usize = 12;
/// Bytes of name and tag, the least that a length may claim.
const NAME_AND_TAG: usize = 8;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// A method of [`crate::method`] or a status of [`crate::status`].
    pub name: Tag4,
    /// Ties an answer to its request; 0 for a push.
    pub tag: u32,
    /// The encoded body.
    pub body: Bytes,
}

/// Why the bytes of the other side are no frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length is shorter than a name and a tag.
    #[error("a frame claims {0} bytes, fewer than its header")]
    TooShort(usize),
    /// The length is beyond what this connection may send now.
    #[error("a frame claims {claimed} bytes, {max} are allowed")]
    TooLong {
        /// What the length said.
        claimed: usize,
        /// What is allowed now.
        max: usize,
    },
}

impl Frame {
    /// A frame with an encoded body.
    pub fn new(name: Tag4, tag: u32, body: &impl prost::Message) -> Frame {
        Frame { name, tag, body: body.encode_to_vec().into() }
    }

    /// Appends the frame as it travels.
    pub fn encode(&self, out: &mut BytesMut) {
        put_header(out, self.name, self.tag, self.body.len());
        out.put_slice(&self.body);
    }

    /// Bytes of the frame as it travels.
    pub fn size(&self) -> usize {
        HEADER + self.body.len()
    }
}

/// Appends the twelve bytes before a body of `body` bytes, for senders that write a body in parts.
pub fn put_header(out: &mut BytesMut, name: Tag4, tag: u32, body: usize) {
    out.reserve(HEADER + body);
    out.put_u32(u32::try_from(body + NAME_AND_TAG).unwrap_or(u32::MAX));
    out.put_slice(&name);
    out.put_u32(tag);
}

/// Takes the next whole frame off the front of `input`; `Ok(None)` when more bytes are needed.
///
/// `max` bounds the length that a frame may claim. Nothing is reserved for a claim: the buffer grows with bytes that came.
pub fn decode(input: &mut BytesMut, max: usize) -> Result<Option<Frame>, FrameError> {
    let Some(header) = input.first_chunk::<4>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes(*header) as usize;
    if length < NAME_AND_TAG {
        return Err(FrameError::TooShort(length));
    }
    if length > max {
        return Err(FrameError::TooLong { claimed: length, max });
    }
    if input.len() < 4 + length {
        return Ok(None);
    }
    input.advance(4);
    let mut rest = input.split_to(length).freeze();
    let mut name = [0; 4];
    rest.copy_to_slice(&mut name);
    let tag = rest.get_u32();
    Ok(Some(Frame { name, tag, body: rest }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fed_byte_by_byte() {
        let frame = Frame { name: *b"SEND", tag: 7, body: Bytes::from_static(b"hello") };
        let mut wire = BytesMut::new();
        frame.encode(&mut wire);
        frame.encode(&mut wire);
        let mut input = BytesMut::new();
        let mut seen = 0;
        for byte in wire {
            input.put_u8(byte);
            if let Some(got) = decode(&mut input, 64).unwrap() {
                assert_eq!(got, frame);
                seen += 1;
            }
        }
        assert_eq!((seen, input.len()), (2, 0));
    }

    #[test]
    fn false_lengths_are_refused_before_the_body() {
        let mut short = BytesMut::from(&[0, 0, 0, 7][..]);
        assert_eq!(decode(&mut short, 64), Err(FrameError::TooShort(7)));
        let mut long = BytesMut::from(&[255, 255, 255, 255][..]);
        assert_eq!(decode(&mut long, 64), Err(FrameError::TooLong { claimed: u32::MAX as usize, max: 64 }));
    }
}
