//! A connection to the relay, from its first byte until it is admitted: TLS, one HTTP request, the proof of the endpoint's key. All of
//! it must be done in time, and takes a stranger's place until it is (S4, S5).

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::{Arc, OnceLock};

use chat_proto::limits::{AUTH_WITHIN, HANDSHAKE_WITHIN, RELAY_REQUEST_MAX};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use iroh_relay::http::{RELAY_PATH, RELAY_PROBE_PATH};
use iroh_relay::server::http_server::{BytesBody, HyperError, RelayService, RelayServiceWithNotify};
use iroh_relay::server::streams::MaybeTlsStream;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::admission::{Admission, NUMBER, Verdict};
use crate::gateway::{Gateway, accept};
use crate::store::Store;

/// What a connection goes through.
#[derive(Clone)]
pub struct Door {
    pub service: RelayService,
    pub admission: Arc<Admission>,
    pub tls: TlsAcceptor,
}

/// How a connection ended that may not stay.
enum Left {
    /// It asked whether we are here, or went.
    Done,
    Refused(&'static str),
}

/// Accepts connections until the shutdown begins; then all that are admitted are closed.
pub async fn serve<S: Store>(gateway: Arc<Gateway<S>>, listener: TcpListener, door: Door) {
    accept(&gateway.shutdown, &listener, |stream, peer| welcome(&gateway, &door, stream, peer)).await;
    door.service.shutdown().await;
}

fn welcome<S: Store>(gateway: &Arc<Gateway<S>>, door: &Door, stream: TcpStream, peer: SocketAddr) {
    let Some(place) = gateway.place(peer, " from the relay") else { return };
    let (gateway, door) = (Arc::clone(gateway), door.clone());
    let stopping = gateway.shutdown.clone();
    gateway.clone().shutdown.spawn(async move {
        let met = async {
            match meet(door, stream).await {
                Ok(account) => {
                    gateway.audit.line(peer, account.as_str(), format_args!("relay joined: account {account}"));
                }
                Err(Left::Refused(why)) => gateway.audit.stranger(peer, format_args!("relay refused: {why}")),
                Err(Left::Done) => {}
            }
        };
        tokio::select! {
            () = stopping.begun() => {}
            () = met => {}
        }
        drop(place);
    });
}

/// Serves a connection until it is admitted, and closes it when it is not in time.
async fn meet(door: Door, stream: TcpStream) -> Result<chat_proto::id::AccountName, Left> {
    // iroh's service owns the stream from the first request on; by this handle it can still be closed.
    let (stream, handle) = twice(stream).map_err(|_| Left::Done)?;
    let met = timeout(AUTH_WITHIN, admit(door, stream)).await.unwrap_or(Err(Left::Refused("not done in time")));
    if met.is_err() {
        // Closed already is as good.
        let _ = handle.shutdown(Shutdown::Both);
    }
    met
}

fn twice(stream: TcpStream) -> io::Result<(TcpStream, std::net::TcpStream)> {
    let stream = stream.into_std()?;
    let handle = stream.try_clone()?;
    Ok((TcpStream::from_std(stream)?, handle))
}

async fn admit(door: Door, stream: TcpStream) -> Result<chat_proto::id::AccountName, Left> {
    let tls = match timeout(HANDSHAKE_WITHIN, door.tls.accept(stream)).await {
        Ok(done) => done.map_err(|_| Left::Refused("the TLS handshake failed"))?,
        Err(_) => return Err(Left::Refused("the TLS handshake was not done in time")),
    };
    let mut expected = door.admission.expect();
    let asked = Arc::new(OnceLock::new());
    let service = Numbered {
        relay: RelayServiceWithNotify::new(door.service, Arc::new(Notify::new())),
        admission: door.admission,
        number: expected.number.into(),
        asked: Arc::clone(&asked),
    };
    let io = TokioIo::new(MaybeTlsStream::Tls(tls));
    let served =
        http1::Builder::new().max_buf_size(RELAY_REQUEST_MAX).serve_connection(io, service).with_upgrades().await;
    (*asked.get().ok_or(Left::Done)?).map_err(Left::Refused)?;
    served.map_err(|_| Left::Done)?;
    // The request went over to the relay protocol, where the client has yet to prove its key.
    let verdict: Verdict = (&mut expected.verdict).await.map_err(|_| Left::Done)?;
    verdict.map_err(Left::Refused)
}

/// iroh's service, told which connection a request is of. Beside the relay it answers whether it is here; nothing else is served.
/// Who bears no good ticket is refused here: behind the upgrade a message may have a MiB, and that is not for strangers (S6).
struct Numbered {
    relay: RelayServiceWithNotify,
    admission: Arc<Admission>,
    number: HeaderValue,
    /// Whether the relay was asked for, and what was said to the first who did.
    asked: Arc<OnceLock<Result<(), &'static str>>>,
}

impl Numbered {
    /// What is said to a request for the relay.
    fn is_welcome(&self, request: &Request<Incoming>) -> Result<(), &'static str> {
        let bearer =
            request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        *self.asked.get_or_init(|| self.admission.may_ask(bearer))
    }
}

impl Service<Request<Incoming>> for Numbered {
    type Response = Response<BytesBody>;
    type Error = HyperError;
    type Future = Ready<Result<Response<BytesBody>, HyperError>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        if (request.method(), request.uri().path()) == (&Method::GET, RELAY_PROBE_PATH) {
            return ready(Ok(empty()));
        }
        if request.uri().path() == RELAY_PATH && self.is_welcome(&request).is_err() {
            let mut refusal = empty();
            *refusal.status_mut() = StatusCode::UNAUTHORIZED;
            refusal.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            return ready(Ok(refusal));
        }
        request.headers_mut().insert(NUMBER, self.number.clone());
        self.relay.call(request)
    }
}

/// A good answer that says nothing.
fn empty() -> Response<BytesBody> {
    let empty: Empty<hyper::body::Bytes> = Empty::new();
    let body: BytesBody = Box::new(http_body_util::BodyExt::map_err(empty, |never: Infallible| match never {}));
    Response::new(body)
}
