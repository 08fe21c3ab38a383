//! Health and metrics for monitoring on this host: `/healthz`, `/readyz`, `/metrics`, `/status` over plain HTTP. Nobody is asked
//! who he is, so it listens on loopback alone (the configuration refuses anything else), changes nothing and tells no names.
//!
//! A connection is one question and its answer, and gets a short time for both: a few places are then enough, and nobody holds one.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use chat_proto::limits::{HTTP_CONNECTIONS, HTTP_REQUEST_MAX, HTTP_WITHIN};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::running::Running;
use crate::store::Store;

/// The form of `/metrics`.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers until dropped.
pub async fn serve<S: Store>(listener: TcpListener, running: Arc<Running<S>>) {
    let app = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz::<S>))
        .route("/metrics", get(metrics::<S>))
        .route("/status", get(status::<S>))
        .with_state(running);
    let seats = Arc::new(Semaphore::new(HTTP_CONNECTIONS));
    // Dropped with this task: nobody is answered any more once the shutdown has begun.
    let mut talks = JoinSet::new();
    loop {
        let Ok(seat) = Arc::clone(&seats).acquire_owned().await else { return };
        while talks.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let app = app.clone();
                talks.spawn(async move {
                    // What went wrong on the way is the asker's to see.
                    let _ = timeout(HTTP_WITHIN, talk(stream, app)).await;
                    drop(seat);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection that asks for health and metrics");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// One question and its answer.
async fn talk(stream: TcpStream, app: Router) -> hyper::Result<()> {
    let mut http = http1::Builder::new();
    http.keep_alive(false).max_buf_size(HTTP_REQUEST_MAX);
    http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(app)).await
}

/// The process lives.
async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether clients can be served, with the reasons where not.
async fn readyz<S: Store>(State(running): State<Arc<Running<S>>>) -> Response {
    let reasons = running.not_ready().await;
    let code = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json(code, &Ready { v: 1, r#type: "ready", ready: reasons.is_empty(), reasons })
}

async fn metrics<S: Store>(State(running): State<Arc<Running<S>>>) -> Response {
    running.measure().await;
    match running.gateway.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn status<S: Store>(State(running): State<Arc<Running<S>>>) -> Response {
    let status = running.status().await;
    json(StatusCode::OK, &Object { v: 1, r#type: "status", status })
}

fn json(code: StatusCode, object: &impl Serialize) -> Response {
    match serde_json::to_string(object) {
        Ok(text) => (code, [(header::CONTENT_TYPE, "application/json")], text + "\n").into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[derive(Serialize)]
struct Ready {
    v: u32,
    r#type: &'static str,
    ready: bool,
    reasons: Vec<&'static str>,
}

#[derive(Serialize)]
struct Object<T> {
    v: u32,
    r#type: &'static str,
    #[serde(flatten)]
    status: T,
}
