//! Socket options that both ends set: sent at once, dead peers noticed.

use chat_proto::limits;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// Sets the options. A system that refuses one only loses what that option gives, so it is noted and no error.
pub(crate) fn tune(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let alive =
        TcpKeepalive::new().with_time(limits::PING_AFTER + limits::PONG_WITHIN).with_interval(limits::PONG_WITHIN);
    note("TCP_NODELAY", stream.set_nodelay(true));
    note("SO_KEEPALIVE", socket.set_tcp_keepalive(&alive));
    #[cfg(target_os = "linux")]
    note("TCP_USER_TIMEOUT", socket.set_tcp_user_timeout(Some(limits::TCP_USER_TIMEOUT)));
}

fn note(option: &str, set: std::io::Result<()>) {
    if let Err(error) = set {
        tracing::debug!(option, %error, "socket option not set");
    }
}
