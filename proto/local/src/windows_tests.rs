//! Tests of what only Windows has: the descriptor on the pipe, and whom it lets in.

use std::path::PathBuf;

use interprocess::local_socket::tokio::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant as Moment;
use windows_permissions::constants::{AccessRights, SeObjectType, SecurityInformation};
use windows_permissions::wrappers::GetSecurityInfo;

use super::*;
use crate::client::connect;

/// Nobody of this host.
const STRANGER: &str = "S-1-5-21-1-2-3-4567";

/// A name that no other test has.
fn pipe(what: &str) -> PathBuf {
    format!(r"\\.\pipe\chat-test-{}-{what}", std::process::id()).into()
}

fn soon() -> Moment {
    Moment::now() + Duration::from_secs(10)
}

/// A pipe with another descriptor than ours.
fn made_by_another(path: &Path, descriptor: &str) -> Listener {
    let text = U16CString::from_str(descriptor).expect("no NUL");
    let descriptor = SecurityDescriptor::deserialize(&text).expect("a descriptor");
    let options = ListenerOptions::new().name(name(path).expect("a name")).security_descriptor(descriptor);
    options.create_tokio().expect("made")
}

#[tokio::test]
async fn the_pipe_is_our_users_and_opens_to_nobody_else() {
    let path = pipe("descriptor");
    let (listener, _) = listen(&path).expect("made");
    let (client, server) = tokio::join!(dial(&path), listener.accept());
    let client = client.expect("let in").expect("an end was free");
    let Stream::NamedPipe(server) = server.expect("accepted");
    let ours = user::sid().expect("known");
    for end in [
        GetSecurityInfo(&client, SeObjectType::SE_KERNEL_OBJECT, parts()),
        GetSecurityInfo(server.inner(), SeObjectType::SE_KERNEL_OBJECT, parts()),
    ] {
        let found = end.expect("readable");
        assert_eq!(found.owner().map(ToString::to_string), Some(ours.clone()));
        let list = found.dacl().expect("a list: none would let everybody in");
        assert_eq!(list.len(), 1, "{found:?}");
        let entry = list.get_ace(0).expect("the one entry");
        assert_eq!(entry.sid().map(ToString::to_string), Some(ours.clone()));
        assert!(entry.mask().intersects(AccessRights::FileAllAccess | AccessRights::GenericAll), "{found:?}");
    }
}

fn parts() -> SecurityInformation {
    SecurityInformation::Owner | SecurityInformation::Dacl
}

/// The descriptor lets us in, but the pipe is another's: he could open it to whom he likes.
#[tokio::test]
async fn a_pipe_of_another_owner_gets_no_byte() {
    let path = pipe("false-daemon");
    let listener = made_by_another(&path, "O:BAD:(A;;GA;;;WD)");
    let (refused, taken) = tokio::join!(connect(&path, soon()), listener.accept());
    assert!(matches!(refused, Err(DialError::ForeignOwner { .. })), "{refused:?}");
    let mut received = Vec::new();
    // Closed, in the words of whichever end noticed first.
    let _ = taken.expect("connected for a moment").read_to_end(&mut received).await;
    assert_eq!(received, b"");
}

/// Not under wine, which keeps a pipe's list of rights and lets in whom it likes.
#[tokio::test]
async fn a_pipe_that_does_not_let_us_in_is_anothers() {
    if std::env::var_os("WINEPREFIX").is_some() {
        return;
    }
    let closed = format!("D:P(A;;GA;;;{STRANGER})");
    let path = pipe("closed-to-clients");
    let _listener = made_by_another(&path, &closed);
    let refused = connect(&path, soon()).await;
    assert!(matches!(refused, Err(DialError::ForeignOwner { uid: None })), "{refused:?}");
    let path = pipe("closed-to-chatd");
    let _listener = made_by_another(&path, &closed);
    let occupied = listen(&path);
    assert!(matches!(occupied, Err(BindError::Occupied { by: "a process of another user", .. })), "{occupied:?}");
}

#[tokio::test]
async fn a_name_that_is_taken_is_not_shared() {
    let path = pipe("taken");
    let (squatter, _) = listen(&path).expect("made");
    let occupied = listen(&path);
    assert!(matches!(&occupied, Err(BindError::Occupied { by, .. }) if by.contains("lock")), "{occupied:?}");
    drop(squatter);
    listen(&path).expect("free again");
}

/// The name stays while an end is open; whoever holds one has two seconds to notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_about_to_be_free_is_waited_for() {
    let path = pipe("ending");
    let (listener, _) = listen(&path).expect("made");
    let (client, server) = tokio::join!(dial(&path), listener.accept());
    let (mut client, mut server) = (client.expect("let in").expect("an end was free"), server.expect("accepted"));
    server.write_all(b"last words").await.expect("written");
    let watcher = tokio::spawn(async move {
        let mut received = Vec::new();
        // Its end is an error or none, in the system's words.
        let _ = client.read_to_end(&mut received).await;
        received
    });
    drop((listener, server));
    listen(&path).expect("free again");
    assert_eq!(watcher.await.expect("no panic"), b"last words");
}

#[tokio::test]
async fn pipes_of_other_hosts_are_not_asked() {
    for path in [r"\\elsewhere\pipe\chat", r"C:\chat\sock", r"\\.\pipe\"] {
        let path = Path::new(path);
        assert!(matches!(connect(path, soon()).await, Err(DialError::BadPath(_))));
        let home = tempfile::tempdir().expect("a directory to play in");
        assert!(matches!(crate::bind(path, home.path()), Err(BindError::BadPath(_))));
    }
}
