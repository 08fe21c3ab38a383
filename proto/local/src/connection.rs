//! A control connection: JSON, one value a line, both ways. Whoever listens or dials gets one; [`crate::rpc`] speaks over it.
//!
//! A peer is the same user, but may be hung or wrong: a line has a longest length, a line that began must end, who dials must say
//! something, and output must drain (S38). Nothing a peer sends can panic.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use chat_proto::limits::{CONTROL_LINE_MAX, CONTROL_STALL};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::bytes::BytesMut;
use tokio_util::codec::{Decoder, LinesCodec, LinesCodecError};

/// Bytes asked for at once: most lines fit.
const CHUNK: usize = 8 * 1024;
/// Between two looks at one who says nothing more and may still read.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Why a line was not received or sent. After [`Self::NotUtf8`] and [`Self::Json`] the connection can go on; after the others it
/// is at its end.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// Longer than the limit, in either direction.
    #[error("a line is longer than {CONTROL_LINE_MAX} bytes")]
    TooLong,
    /// A line that is not text.
    #[error("a line is not UTF-8")]
    NotUtf8,
    /// A line that is not the JSON expected, or a value that cannot become JSON.
    #[error("a line is not the JSON expected: {0}")]
    Json(#[from] serde_json::Error),
    /// A line did not end, or output did not drain, within the limit.
    #[error("the other side stalled for {} s", CONTROL_STALL.as_secs())]
    Stalled,
    /// The connection ended within a line, or an earlier send was given up halfway.
    #[error("the connection ended within a line")]
    Truncated,
    /// The system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What can carry a connection: a local socket, a named pipe, a pipe in memory for tests.
pub trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

type Stream = Box<dyn Transport>;
type Seat = Option<Arc<OwnedSemaphorePermit>>;

/// Both directions of a control connection.
#[derive(Debug)]
pub struct Connection {
    reader: Reader,
    writer: Writer,
}

impl Connection {
    /// Speaks over a transport.
    pub fn over(transport: impl Transport + 'static) -> Self {
        Self::new(Box::new(transport), None)
    }

    /// Speaks over a transport and holds one of the listener's seats until both halves are dropped. Who takes a seat says why: the
    /// first line must end within the limit.
    pub(crate) fn seated(transport: impl Transport + 'static, seat: OwnedSemaphorePermit) -> Self {
        let mut connection = Self::new(Box::new(transport), Some(Arc::new(seat)));
        connection.reader.began = Some(Instant::now());
        connection
    }

    fn new(stream: Stream, seat: Seat) -> Self {
        let (input, output) = tokio::io::split(stream);
        Self { reader: Reader::new(input, seat.clone()), writer: Writer { output, broken: false, _seat: seat } }
    }

    /// Two halves for two tasks.
    pub fn split(self) -> (Reader, Writer) {
        (self.reader, self.writer)
    }

    /// See [`Writer::send`].
    pub async fn send<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), LineError> {
        self.writer.send(value).await
    }

    /// See [`Reader::recv`].
    pub async fn recv<T: DeserializeOwned>(&mut self) -> Result<Option<T>, LineError> {
        self.reader.recv().await
    }

    /// See [`Reader::recv_line`].
    pub async fn recv_line(&mut self) -> Result<Option<String>, LineError> {
        self.reader.recv_line().await
    }
}

/// The receiving half.
pub struct Reader {
    input: ReadHalf<Stream>,
    codec: LinesCodec,
    buffer: BytesMut,
    /// When the line in the buffer began, or the wait for one that is due; kept here so that a cancelled receive does not grant it
    /// more time.
    began: Option<Instant>,
    ended: bool,
    _seat: Seat,
}

impl Reader {
    fn new(input: ReadHalf<Stream>, seat: Seat) -> Self {
        let codec = LinesCodec::new_with_max_length(CONTROL_LINE_MAX);
        Self { input, codec, buffer: BytesMut::new(), began: None, ended: false, _seat: seat }
    }

    /// The next line as a value; `None` when the other side has closed, or after an error that ends the connection. Waits as long
    /// as it takes for a line to begin, save for the first one that a listener's connection receives. Safe to cancel.
    pub async fn recv<T: DeserializeOwned>(&mut self) -> Result<Option<T>, LineError> {
        let line = self.recv_line().await?;
        Ok(line.map(|line| serde_json::from_str(&line)).transpose()?)
    }

    /// The next line as text, without its newline; otherwise as [`Self::recv`].
    pub async fn recv_line(&mut self) -> Result<Option<String>, LineError> {
        let received = self.next_line().await;
        self.ended |= !matches!(received, Ok(Some(_)) | Err(LineError::NotUtf8));
        received
    }

    async fn next_line(&mut self) -> Result<Option<String>, LineError> {
        while !self.ended {
            if let Some(line) = self.decode()? {
                return Ok(Some(line));
            }
            if self.fill().await? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(LineError::Truncated) };
            }
        }
        Ok(None)
    }

    fn decode(&mut self) -> Result<Option<String>, LineError> {
        let decoded = self.codec.decode(&mut self.buffer);
        if !matches!(decoded, Ok(None)) {
            self.began = None;
        }
        decoded.map_err(|error| match error {
            LinesCodecError::MaxLineLengthExceeded => LineError::TooLong,
            LinesCodecError::Io(error) if error.kind() == io::ErrorKind::InvalidData => LineError::NotUtf8,
            LinesCodecError::Io(error) => LineError::Io(error),
        })
    }

    /// Waits until the other side is gone, so that nobody reads what is sent; one that has only ended its own output is not. What it
    /// says meanwhile is kept for the next receive, about a line's worth. Safe to cancel.
    pub async fn gone(&mut self, writer: &mut Writer) {
        self.read_ahead().await;
        while writer.reaches().await {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Reads until the input ends, or as much as is kept.
    async fn read_ahead(&mut self) {
        while self.buffer.len() < CONTROL_LINE_MAX {
            self.buffer.reserve(CHUNK);
            match self.input.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }

    async fn fill(&mut self) -> Result<usize, LineError> {
        let waiting = self.buffer.is_empty() && self.began.is_none();
        self.buffer.reserve(CHUNK);
        let read = self.input.read_buf(&mut self.buffer);
        if waiting {
            return Ok(read.await?);
        }
        let began = *self.began.get_or_insert_with(Instant::now);
        let read = timeout_at(began + CONTROL_STALL, read).await;
        Ok(read.map_err(|_| LineError::Stalled)??)
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("buffered", &self.buffer.len())
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

/// The sending half.
pub struct Writer {
    output: WriteHalf<Stream>,
    /// A line was begun and not finished: whatever followed would be read as its rest.
    broken: bool,
    _seat: Seat,
}

impl Writer {
    /// Sends a value as one line. Not to be cancelled: after a send given up halfway every further one fails.
    pub async fn send<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), LineError> {
        let mut line = serde_json::to_vec(value)?;
        if line.len() > CONTROL_LINE_MAX {
            return Err(LineError::TooLong);
        }
        line.push(b'\n');
        if std::mem::replace(&mut self.broken, true) {
            return Err(LineError::Truncated);
        }
        let sent = timeout(CONTROL_STALL, self.put(&line)).await;
        sent.map_err(|_| LineError::Stalled)??;
        self.broken = false;
        Ok(())
    }

    /// Says that nothing more will be sent; what was sent still arrives.
    pub async fn close(&mut self) -> Result<(), LineError> {
        self.broken = true;
        Ok(self.output.shutdown().await?)
    }

    /// Whether there is still somebody to read: the system is given nothing to send and says if that could arrive.
    async fn reaches(&mut self) -> bool {
        let nothing = std::future::poll_fn(|context| match Pin::new(&mut self.output).poll_write(context, &[]) {
            Poll::Ready(Err(_)) => Poll::Ready(false),
            // Full of what he did not read yet counts as there.
            Poll::Ready(Ok(_)) | Poll::Pending => Poll::Ready(true),
        });
        nothing.await
    }

    async fn put(&mut self, line: &[u8]) -> io::Result<()> {
        self.output.write_all(line).await?;
        self.output.flush().await
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("broken", &self.broken).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use tokio::io::DuplexStream;

    fn pair() -> (Connection, DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        (Connection::over(ours), theirs)
    }

    #[tokio::test]
    async fn values_travel_both_ways_and_the_end_is_seen() {
        let (one, two) = tokio::io::duplex(64);
        let (mut one, mut two) = (Connection::over(one), Connection::over(two));
        let value = json!({"text": "line one\nline two \u{1b}"});
        let (sent, got) = tokio::join!(one.send(&value), two.recv::<Value>());
        sent.expect("sent");
        assert_eq!(got.expect("received"), Some(value));
        drop(one);
        assert_eq!(two.recv::<Value>().await.expect("closed"), None);
    }

    #[tokio::test]
    async fn wrong_lines_are_errors_and_the_next_one_is_read() {
        let (mut ours, mut theirs) = pair();
        theirs.write_all(b"{]\n\xff\xfe\n\n7\r\n8").await.expect("written");
        drop(theirs);
        assert!(matches!(ours.recv::<Value>().await, Err(LineError::Json(_))));
        assert!(matches!(ours.recv::<Value>().await, Err(LineError::NotUtf8)));
        assert!(matches!(ours.recv::<Value>().await, Err(LineError::Json(_))));
        assert_eq!(ours.recv::<u8>().await.expect("good"), Some(7));
        assert!(matches!(ours.recv::<u8>().await, Err(LineError::Truncated)));
        assert_eq!(ours.recv::<u8>().await.expect("the end stays"), None);
    }

    #[tokio::test]
    async fn the_longest_line_passes_and_a_longer_one_ends() {
        let (one, two) = tokio::io::duplex(64 * 1024);
        let (mut one, mut two) = (Connection::over(one), Connection::over(two));
        let longest = "x".repeat(CONTROL_LINE_MAX - 2);
        let (sent, got) = tokio::join!(one.send(&longest), two.recv::<String>());
        sent.expect("sent");
        assert_eq!(got.expect("received"), Some(longest));
        assert!(matches!(one.send(&"x".repeat(CONTROL_LINE_MAX - 1)).await, Err(LineError::TooLong)));
        one.send(&1).await.expect("nothing of the long one was sent");
        assert_eq!(two.recv::<u8>().await.expect("received"), Some(1));
    }

    #[tokio::test]
    async fn a_line_without_end_takes_no_memory_beyond_the_limit() {
        let (mut ours, mut theirs) = pair();
        let flood = tokio::spawn(async move { while theirs.write_all(&[b'x'; CHUNK]).await.is_ok() {} });
        assert!(matches!(ours.recv::<Value>().await, Err(LineError::TooLong)));
        assert!(ours.reader.buffer.capacity() < 3 * CONTROL_LINE_MAX);
        assert!(matches!(ours.recv::<Value>().await, Ok(None)));
        drop(ours);
        flood.await.expect("ended by the closed connection");
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_line_stalls_and_silence_does_not() {
        let (mut ours, mut theirs) = pair();
        let silence = timeout(10 * CONTROL_STALL, ours.recv::<Value>()).await;
        assert!(silence.is_err(), "waiting for a line to begin has no bound");
        theirs.write_all(b"{\"half\":").await.expect("written");
        let start = Instant::now();
        assert!(matches!(ours.recv::<Value>().await, Err(LineError::Stalled)));
        assert_eq!(start.elapsed().as_secs(), CONTROL_STALL.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_a_seat_must_say_something_and_then_may_be_silent() {
        let seats = Arc::new(tokio::sync::Semaphore::new(1));
        let seated = || async {
            let (ours, theirs) = tokio::io::duplex(64 * 1024);
            let seat = Arc::clone(&seats).acquire_owned().await.expect("open");
            (Connection::seated(ours, seat), theirs)
        };
        let start = Instant::now();
        let (mut mute, theirs) = seated().await;
        assert!(matches!(mute.recv::<u8>().await, Err(LineError::Stalled)));
        assert_eq!(start.elapsed().as_secs(), CONTROL_STALL.as_secs());
        drop((mute, theirs));
        let (mut ours, mut theirs) = seated().await;
        theirs.write_all(b"1\n").await.expect("written");
        assert_eq!(ours.recv::<u8>().await.expect("received"), Some(1));
        assert!(timeout(10 * CONTROL_STALL, ours.recv::<u8>()).await.is_err(), "the second line has no bound");
    }

    #[tokio::test(start_paused = true)]
    async fn one_who_is_gone_is_noticed_and_what_he_said_is_kept() {
        let (ours, mut theirs) = pair();
        let (mut reader, mut writer) = ours.split();
        theirs.write_all(b"1\n2\n").await.expect("written");
        assert_eq!(reader.recv::<u8>().await.expect("received"), Some(1));
        assert!(timeout(10 * CONTROL_STALL, reader.gone(&mut writer)).await.is_err(), "he is there");
        theirs.write_all(b"3\n").await.expect("written");
        theirs.shutdown().await.expect("he says no more");
        assert!(timeout(10 * CONTROL_STALL, reader.gone(&mut writer)).await.is_err(), "he still reads");
        drop(theirs);
        reader.gone(&mut writer).await;
        assert_eq!(reader.recv::<u8>().await.expect("kept"), Some(2));
        assert_eq!(reader.recv::<u8>().await.expect("kept"), Some(3));
        assert_eq!(reader.recv::<u8>().await.expect("the end"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn one_who_floods_and_goes_is_noticed() {
        let (ours, mut theirs) = pair();
        let (mut reader, mut writer) = ours.split();
        let flood = tokio::spawn(async move { while theirs.write_all(&[b'x'; CHUNK]).await.is_ok() {} });
        assert!(timeout(10 * CONTROL_STALL, reader.gone(&mut writer)).await.is_err(), "he is there");
        assert!(reader.buffer.capacity() < 3 * CONTROL_LINE_MAX);
        flood.abort();
        reader.gone(&mut writer).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_dripped_line_gets_no_more_time_even_when_receives_are_cancelled() {
        let (mut ours, mut theirs) = pair();
        let start = Instant::now();
        let drip = tokio::spawn(async move { while theirs.write_all(b"x").await.is_ok() && pause().await {} });
        let ended = loop {
            if let Ok(ended) = timeout(CONTROL_STALL / 4, ours.recv::<Value>()).await {
                break ended;
            }
        };
        assert!(matches!(ended, Err(LineError::Stalled)));
        assert!(start.elapsed() <= CONTROL_STALL + CONTROL_STALL / 4);
        drop(ours);
        drip.await.expect("ended by the closed connection");
    }

    /// Paused time moves at once: this is an order of events, not a wait.
    async fn pause() -> bool {
        tokio::time::sleep(CONTROL_STALL / 16).await;
        true
    }

    #[tokio::test(start_paused = true)]
    async fn output_that_does_not_drain_stalls_and_breaks_the_connection() {
        let (ours, _theirs) = tokio::io::duplex(16);
        let mut ours = Connection::over(ours);
        assert!(matches!(ours.send(&"x".repeat(100)).await, Err(LineError::Stalled)));
        assert!(matches!(ours.send(&1).await, Err(LineError::Truncated)));
    }
}
