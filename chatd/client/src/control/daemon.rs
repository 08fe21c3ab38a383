//! Calls about chatd itself: hello, daemon_status, daemon_stop.

use chat_process::sandbox::Confined;
use chat_proto::control::daemon::{DaemonInfo, Hello, HelloReply, Sandbox};
use chat_proto::control::{Done, ErrorData};
use chat_proto::fault::Code;
use chat_proto::version::CONTROL;

use crate::daemon::Daemon;
use crate::profile::Answer;

const BUILD: &str = env!("CARGO_PKG_VERSION");

pub(super) fn hello(call: &Hello) -> Answer<HelloReply> {
    let version = CONTROL.settle(call.versions).ok_or_else(|| {
        let detail = format!("chatd {BUILD} speaks {} to {}", CONTROL.min, CONTROL.max);
        Box::new(ErrorData { detail: Some(detail), ..Code::VERSION.into() })
    })?;
    Ok(HelloReply { version, build: BUILD.into(), pid: std::process::id() })
}

pub(super) fn status(d: &Daemon) -> DaemonInfo {
    DaemonInfo {
        version: BUILD.into(),
        pid: std::process::id(),
        proto: CONTROL,
        since_ms: d.since_ms,
        socket: d.socket.display().to_string(),
        log: d.log.as_ref().map(|log| log.display().to_string()),
        profiles: d.names(),
        connections: d.connections(),
        sandbox: Some(sandbox(d.outside.confined)),
    }
}

fn sandbox(confined: Option<Confined>) -> Sandbox {
    let parts = confined.unwrap_or_default();
    Sandbox { wanted: confined.is_some(), landlock: parts.landlock, seccomp: parts.seccomp }
}

pub(super) fn stop(d: &Daemon) -> Done {
    tracing::info!("asked to stop");
    d.shutdown.begin();
    Done {}
}
