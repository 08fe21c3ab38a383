//! One connection with frames both ways, owned and driven by one task.
//!
//! rustls is driven straight over the socket: what was gathered leaves in one write, what comes is decrypted once and
//! cut into frames, and an idle link holds no buffer of ours. Everything that waits may be dropped and called again.

use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::io::{self, BufRead as _, Write as _};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use chat_proto::frame::{self, Frame, FrameError};
use chat_proto::limits;
use chat_proto::method::Tag4;
use chat_proto::version::ALPN;
use rustls::Connection;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::identity::Exporter;

/// Bytes read from a socket at once; the room belongs to the thread, not to the link.
const CHUNK: usize = 16 * 1024;
/// The same of a stranger: what lies behind the record that is being read would have to be kept with it (S6).
const CHUNK_OF_STRANGER: usize = 4 * 1024;
/// The label of the exporter that proofs are bound to (RFC 8446, section 7.5).
const EXPORTER_LABEL: &[u8] = b"EXPORTER-chat-v1";

thread_local! {
    /// Where a read puts its bytes before they are decrypted; nothing stays in it between two calls.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; CHUNK]);
}

/// Why a link is over.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The other side sent something that is no frame, or too long a one.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The other side broke the rules of TLS.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// The connection ended without a goodbye: the other side died, or somebody cut it.
    #[error("the connection was cut")]
    Cut,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
}

/// Why a handshake did not succeed; each side words it in its own error.
#[derive(Debug)]
pub(crate) enum HandshakeError {
    WrongProtocol,
    Tls(String),
    Io(io::Error),
}

/// One connection. Used from one task; boxed, so that a future which holds it stays small.
pub struct Link(Box<Inner>);

struct Inner {
    socket: TcpStream,
    tls: Connection,
    /// Decrypted bytes that are no whole frame yet, or frames not taken yet.
    input: BytesMut,
    /// Frames that TLS has not taken yet.
    output: BytesMut,
    /// Bytes of frames that TLS took since it last had nothing to write.
    sealed: usize,
    /// Bytes that the socket took, ever.
    written: u64,
    /// Bytes that the socket gave, ever.
    received: u64,
    /// Bytes that a frame of the other side may claim now.
    frame_max: usize,
    /// Whether the other side ended its half.
    end: Option<End>,
    exporter: Exporter,
    peer: SocketAddr,
    local: SocketAddr,
}

/// How the other side ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It said so.
    Goodbye,
    /// It did not.
    Cut,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("peer", &self.0.peer).field("queued", &self.queued()).finish_non_exhaustive()
    }
}

impl Link {
    /// Does the handshake and makes sure that both sides mean our protocol.
    pub(crate) async fn handshake(socket: TcpStream, tls: Connection) -> Result<Link, HandshakeError> {
        let peer = socket.peer_addr().map_err(HandshakeError::Io)?;
        let local = socket.local_addr().map_err(HandshakeError::Io)?;
        let mut inner = Box::new(Inner {
            socket,
            tls,
            input: BytesMut::new(),
            output: BytesMut::new(),
            sealed: 0,
            written: 0,
            received: 0,
            frame_max: limits::FRAME_MAX_STRANGER,
            end: None,
            exporter: [0; 32],
            peer,
            local,
        });
        poll_fn(|cx| inner.poll_handshake(cx)).await?;
        if inner.tls.alpn_protocol() != Some(ALPN) {
            return Err(HandshakeError::WrongProtocol);
        }
        inner.exporter = inner
            .tls
            .export_keying_material([0; 32], EXPORTER_LABEL, None)
            .map_err(|error| HandshakeError::Tls(error.to_string()))?;
        Ok(Link(inner))
    }

    /// Waits for the next frame; `None` when the other side said goodbye. Writes nothing: see
    /// [`Link::recv_while_flushing`].
    ///
    /// A body shares the memory of the read that brought it (up to 16 KiB): copy what you keep for long.
    pub async fn recv(&mut self) -> Result<Option<Frame>, LinkError> {
        poll_fn(|cx| self.0.poll_recv(cx)).await
    }

    /// The next frame if it is here already, without touching the socket.
    pub fn try_recv(&mut self) -> Result<Option<Frame>, LinkError> {
        self.0.take_frame()
    }

    /// Waits for the next frame and meanwhile writes what is queued, as far as the other side takes it.
    pub async fn recv_while_flushing(&mut self) -> Result<Option<Frame>, LinkError> {
        poll_fn(|cx| self.0.poll_recv_while_flushing(cx)).await
    }

    /// Queues a frame. Nothing leaves before a flush.
    pub fn queue(&mut self, frame: &Frame) {
        frame.encode(&mut self.0.output);
    }

    /// Queues a frame whose body is `head` and then `tail`: a fan-out encodes the long part once for all.
    pub fn queue_parts(&mut self, name: Tag4, tag: u32, head: &[u8], tail: &[u8]) {
        let output = &mut self.0.output;
        frame::put_header(output, name, tag, head.len() + tail.len());
        output.extend_from_slice(head);
        output.extend_from_slice(tail);
    }

    /// Bytes of frames that the socket has not taken yet; those under encryption count whole until all of them left.
    pub fn queued(&self) -> usize {
        self.0.output.len() + self.0.sealed
    }

    /// Bytes that the socket has taken since the connection was made: whoever watches it sees whether a reader reads.
    pub fn written(&self) -> u64 {
        self.0.written
    }

    /// Waits until the socket took everything that was queued. When dropped, what is left stays queued.
    pub async fn flush(&mut self) -> Result<(), LinkError> {
        poll_fn(|cx| self.0.poll_flush(cx)).await
    }

    /// Bytes that a frame of the other side may claim from now on; [`limits::FRAME_MAX_STRANGER`] at first (S6).
    pub fn set_frame_max(&mut self, bytes: usize) {
        self.0.frame_max = bytes;
    }

    /// What only the two ends of this connection know; proofs are bound to it.
    pub fn exporter(&self) -> Exporter {
        self.0.exporter
    }

    /// The address of the other side.
    pub fn peer_addr(&self) -> SocketAddr {
        self.0.peer
    }

    /// The address of this side.
    pub fn local_addr(&self) -> SocketAddr {
        self.0.local
    }

    /// Writes what is queued, says goodbye and waits for the other side to hang up, all within
    /// [`limits::CLOSE_WITHIN`]. Without the wait, unread input would make the system throw our last words away.
    pub async fn close(mut self) {
        let goodbye = async {
            self.flush().await?;
            self.0.tls.send_close_notify();
            self.flush().await?;
            poll_fn(|cx| Pin::new(&mut self.0.socket).poll_shutdown(cx)).await?;
            poll_fn(|cx| self.0.poll_drain(cx)).await
        };
        // A link that is closed has nobody left to tell what went wrong.
        let _ = timeout(limits::CLOSE_WITHIN, goodbye).await;
    }
}

impl Inner {
    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), HandshakeError>> {
        loop {
            let written = self.poll_write(cx).map_err(HandshakeError::Io)?;
            if !self.tls.is_handshaking() {
                return written.map(Ok);
            }
            match ready!(self.poll_read(cx)) {
                Ok(()) if self.end.is_some() => {
                    return Poll::Ready(Err(HandshakeError::Tls("the other side hung up".into())));
                }
                Ok(()) if self.is_long_handshake() => {
                    return Poll::Ready(Err(HandshakeError::Tls("the client's handshake is too long".into())));
                }
                Ok(()) => {}
                Err(error) => {
                    // The alert that says why; if it cannot leave at once, it does not matter.
                    let _ = self.poll_write(cx);
                    return Poll::Ready(Err(error));
                }
            }
        }
    }

    /// Whether a client sent more than a handshake takes, and still is not done: TLS would hold up to 64 KiB of it.
    fn is_long_handshake(&self) -> bool {
        matches!(self.tls, Connection::Server(_))
            && self.tls.is_handshaking()
            && self.received > limits::HANDSHAKE_MAX as u64
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>, LinkError>> {
        loop {
            if let Some(frame) = self.take_frame()? {
                return Poll::Ready(Ok(Some(frame)));
            }
            if let Some(end) = self.end {
                return Poll::Ready(self.ended(end));
            }
            if let Err(error) = ready!(self.poll_read(cx)) {
                let _ = self.poll_write(cx);
                return Poll::Ready(Err(error.into()));
            }
        }
    }

    fn poll_recv_while_flushing(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>, LinkError>> {
        if let Some(frame) = self.take_frame()? {
            return Poll::Ready(Ok(Some(frame)));
        }
        // Both directions get their chance and leave their waker, so neither waits for the other.
        if let Poll::Ready(Err(error)) = self.poll_flush(cx) {
            return Poll::Ready(Err(error));
        }
        self.poll_recv(cx)
    }

    /// What the end of the other side's half means.
    fn ended(&self, end: End) -> Result<Option<Frame>, LinkError> {
        if end == End::Goodbye && self.input.is_empty() { Ok(None) } else { Err(LinkError::Cut) }
    }

    fn take_frame(&mut self) -> Result<Option<Frame>, LinkError> {
        if self.input.is_empty() {
            return Ok(None);
        }
        let frame = frame::decode(&mut self.input, self.frame_max)?;
        if self.input.is_empty() {
            // The frames taken share this memory; an idle link must hold none.
            self.input = BytesMut::new();
        }
        Ok(frame)
    }

    /// Reads once and decrypts what came; returns ready when there was something, be it the end.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), HandshakeError>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let stranger = self.frame_max <= limits::FRAME_MAX_STRANGER;
            let mut buffer = ReadBuf::new(&mut scratch[..if stranger { CHUNK_OF_STRANGER } else { CHUNK }]);
            match ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer)) {
                Ok(()) => {
                    self.received += buffer.filled().len() as u64;
                    Poll::Ready(self.decrypt(buffer.filled()))
                }
                Err(error) => Poll::Ready(Err(HandshakeError::Io(error))),
            }
        })
    }

    /// Gives TLS what the socket gave; nothing at all is the end of the stream.
    fn decrypt(&mut self, mut bytes: &[u8]) -> Result<(), HandshakeError> {
        if bytes.is_empty() {
            self.end.get_or_insert(End::Cut);
        }
        while !bytes.is_empty() && self.end.is_none() {
            self.tls.read_tls(&mut bytes).map_err(HandshakeError::Io)?;
            let state = self.tls.process_new_packets().map_err(tls_error)?;
            // What is still encrypted will be about as long in the clear: one allocation for the whole read.
            self.take_plaintext(state.plaintext_bytes_to_read(), bytes.len())?;
            if state.peer_has_closed() {
                self.end = Some(End::Goodbye);
            }
        }
        Ok(())
    }

    /// Takes `ready` decrypted bytes from TLS, with room for `more` that are about to come.
    fn take_plaintext(&mut self, mut ready: usize, more: usize) -> Result<(), HandshakeError> {
        if ready > 0 {
            self.input.reserve(ready + more);
        }
        while ready > 0 {
            let mut reader = self.tls.reader();
            let piece = reader.fill_buf().map_err(HandshakeError::Io)?;
            let length = piece.len();
            self.input.extend_from_slice(piece);
            reader.consume(length);
            ready -= length;
        }
        Ok(())
    }

    /// Encrypts and writes until all is out.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        loop {
            ready!(self.poll_write(cx))?;
            if self.output.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let taken = self.tls.writer().write(&self.output)?;
            if taken == self.output.len() {
                self.output = BytesMut::new();
            } else {
                self.output.advance(taken);
            }
            self.sealed += taken;
        }
    }

    /// Writes what TLS has ready.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut Writer { socket: &mut self.socket, cx }) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(n) => self.written += n as u64,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        self.sealed = 0;
        Poll::Ready(Ok(()))
    }

    /// Reads and forgets until the other side hangs up.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        SCRATCH.with_borrow_mut(|scratch| {
            loop {
                let mut buffer = ReadBuf::new(scratch);
                ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer))?;
                if buffer.filled().is_empty() {
                    return Poll::Ready(Ok(()));
                }
            }
        })
    }
}

/// The socket as rustls wants to write to it: all records of a batch in one call.
struct Writer<'a, 'b> {
    socket: &'a mut TcpStream,
    cx: &'a mut Context<'b>,
}

impl io::Write for Writer<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        blocking(Pin::new(&mut *self.socket).poll_write(self.cx, bytes))
    }

    fn write_vectored(&mut self, parts: &[io::IoSlice<'_>]) -> io::Result<usize> {
        blocking(Pin::new(&mut *self.socket).poll_write_vectored(self.cx, parts))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The words of `std` for "not now"; the waker is left behind already.
fn blocking(polled: Poll<io::Result<usize>>) -> io::Result<usize> {
    match polled {
        Poll::Ready(done) => done,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

fn tls_error(error: rustls::Error) -> HandshakeError {
    use rustls::{AlertDescription, Error};
    match error {
        Error::NoApplicationProtocol | Error::AlertReceived(AlertDescription::NoApplicationProtocol) => {
            HandshakeError::WrongProtocol
        }
        other => HandshakeError::Tls(other.to_string()),
    }
}

impl From<HandshakeError> for LinkError {
    fn from(error: HandshakeError) -> LinkError {
        match error {
            HandshakeError::Io(error) => LinkError::Io(error),
            HandshakeError::Tls(text) => LinkError::Tls(text),
            HandshakeError::WrongProtocol => LinkError::Tls("the other side speaks another protocol".into()),
        }
    }
}
