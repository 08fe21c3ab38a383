//! Calls about files within private sessions: file_send, file_list, file_accept, file_take, file_decline, file_cancel. The disk is
//! read and looked at here, off the thread that serves everybody, before the owner decides.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chat_proto::control::file::{
    Conflict, File, FileAccept, FileCancel, FileDecline, FileList, FileSend, FileState, FileTake,
};
use chat_proto::control::private::Direction;
use chat_proto::control::{ErrorData, Items};
use chat_proto::fault::Code;
use tokio::task::spawn_blocking;

use super::message::recipient;
use super::within;
use crate::daemon::Daemon;
use crate::file::job::Flag;
use crate::file::source::{self, Offered};
use crate::file::{Refusal, shown_id, target};
use crate::profile::{Answer, Ask, FileAsk};
use crate::runner::Opener;

/// Stops a job that nobody waits for any more.
struct StopOnDrop(Arc<Flag>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

pub(super) async fn send(d: &Daemon, call: FileSend) -> Answer<File> {
    let profile = d.profile(&call.profile).await?;
    let peer = recipient(&call.user, profile.view().classic)?;
    let path = PathBuf::from(&call.path);
    if !path.is_absolute() {
        return Err(Refusal::new(Code::BAD_FILE, "it is not a full path").about(&call.path));
    }
    within(call.timeout_ms, async {
        profile.ask(|reply| Ask::File(FileAsk::Ready(peer.clone(), reply))).await?;
        let file = offered(path.clone(), d.around.opener.clone()).await.map_err(|refusal| refusal.about(&call.path))?;
        profile.ask(|reply| Ask::File(FileAsk::Offer { peer, path, file, reply })).await
    })
    .await
}

async fn offered(path: PathBuf, opener: Opener) -> Result<Offered, Refusal> {
    let flag: Arc<Flag> = Arc::default();
    let _stop = StopOnDrop(Arc::clone(&flag));
    blocking(move || source::offer(&path, &opener, &flag)).await
}

pub(super) async fn list(d: &Daemon, call: FileList) -> Answer<Items<File>> {
    let profile = d.profile(&call.profile).await?;
    let items = profile.ask(|reply| Ask::File(FileAsk::List(reply))).await?;
    Ok(Items { items })
}

pub(super) async fn accept(d: &Daemon, call: FileAccept) -> Answer<File> {
    let profile = d.profile(&call.profile).await?;
    let FileAccept { id, hold, conflict, .. } = call;
    let look = |reply| Ask::File(FileAsk::Look { id: id.clone(), hold, conflict, reply });
    let (transfer, spot) = profile.ask(look).await?;
    let id = shown_id(&transfer.id);
    // One that is under way has its place; what is over for good is the desk's to say.
    let is_looked_at = matches!(transfer.state, FileState::Offered | FileState::Failed);
    if transfer.dir == Direction::In && is_looked_at {
        let (looked, size) = (id.clone(), transfer.size);
        let (folder, name) = (spot.folder.clone(), spot.folder.join(&spot.file));
        if let Err(refusal) = blocking(move || target::check(&spot, &looked, size)).await {
            let skips = refusal.code == Code::FILE_EXISTS && conflict == Conflict::Skip;
            if skips && transfer.state == FileState::Offered {
                // Nothing is taken: the peer need not wait.
                profile.ask(|reply| Ask::File(FileAsk::Decline(id, reply))).await?;
            }
            let subject = if refusal.code == Code::FILE_EXISTS { name } else { folder };
            return Err(about(refusal, &subject));
        }
    }
    profile.ask(|reply| Ask::File(FileAsk::Accept { id, hold, conflict, reply })).await
}

pub(super) async fn take(d: &Daemon, call: FileTake) -> Answer<File> {
    let profile = d.profile(&call.profile).await?;
    let path = call.path.map(PathBuf::from);
    profile.ask(|reply| Ask::File(FileAsk::Taken(call.id, path, reply))).await
}

pub(super) async fn decline(d: &Daemon, call: FileDecline) -> Answer<File> {
    let profile = d.profile(&call.profile).await?;
    profile.ask(|reply| Ask::File(FileAsk::Decline(call.id, reply))).await
}

pub(super) async fn cancel(d: &Daemon, call: FileCancel) -> Answer<File> {
    let profile = d.profile(&call.profile).await?;
    profile.ask(|reply| Ask::File(FileAsk::Cancel(call.id, reply))).await
}

fn about(refusal: Refusal, path: &Path) -> Box<ErrorData> {
    refusal.about(&path.to_string_lossy())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Refusal> + Send + 'static) -> Result<T, Refusal> {
    spawn_blocking(work).await.unwrap_or_else(|error| Err(Refusal::new(Code::INTERNAL, error)))
}
