//! Who made a call. Waiting serves him alone, so it ends when he goes; what he asked to be done is done all the same.

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Held while the caller is there.
pub(super) struct Presence {
    _held: watch::Sender<()>,
}

/// The one who made a call, as its handler knows him.
#[derive(Clone)]
pub(super) struct Caller(watch::Receiver<()>);

/// A caller, and what to drop when he goes.
pub(super) fn present() -> (Presence, Caller) {
    let (held, seen) = watch::channel(());
    (Presence { _held: held }, Caller(seen))
}

impl Caller {
    /// Waits for something on his behalf: `None` once the deadline has passed or he is gone.
    pub(super) async fn waits<T>(&self, deadline: Instant, fact: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            known = fact => Some(known),
            () = self.gone() => None,
            () = sleep_until(deadline) => None,
        }
    }

    async fn gone(&self) {
        let mut seen = self.0.clone();
        while seen.changed().await.is_ok() {}
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_with_the_fact_the_time_or_the_caller() {
        let (presence, caller) = present();
        let begun = Instant::now();
        let deadline = begun + Duration::from_secs(3600);
        assert_eq!(caller.waits(deadline, ready(7)).await, Some(7));
        assert_eq!(caller.waits(begun + Duration::from_secs(1), pending::<()>()).await, None);
        assert_eq!(begun.elapsed(), Duration::from_secs(1));
        let (waited, ()) = tokio::join!(caller.waits(deadline, pending::<()>()), async { drop(presence) });
        assert_eq!(waited, None);
        assert_eq!(begun.elapsed(), Duration::from_secs(1), "who is gone does not wait for the deadline");
        assert_eq!(caller.waits(deadline, ready(7)).await, Some(7), "what is known is known");
    }
}
