//! Who must leave the relay: connections whose device lost its key, or whose account was locked or deleted. A ticket says nothing of
//! that, and is good for hours.

use std::sync::Arc;
use std::time::Duration;

use iroh_relay::server::http_server::RelayService;

use super::admission::Admission;
use crate::gateway::Gateway;
use crate::store::Store;

/// Between two looks while somebody has yet to go: one that was admitted in this very moment cannot be closed yet.
const AGAIN: Duration = Duration::from_millis(100);

/// Closes connections until the shutdown begins.
pub async fn serve<S: Store>(gateway: Arc<Gateway<S>>, service: RelayService, admission: Arc<Admission>) {
    let expelling = async {
        loop {
            gateway.directory.barred().await;
            while expel(&service, &admission).await {
                tokio::time::sleep(AGAIN).await;
            }
        }
    };
    tokio::select! {
        () = gateway.shutdown.begun() => {}
        () = expelling => {}
    }
}

/// Looks at all that are here. Answers whether there was one that must go.
async fn expel(service: &RelayService, admission: &Admission) -> bool {
    let mut found = false;
    for (connection, guest) in admission.guests() {
        // Where the store does not answer it is closing, and the relay with it.
        if admission.is_admissible(&guest).await == Some(false) {
            found = true;
            if service.clients().disconnect(guest.endpoint, Some(connection)) {
                tracing::info!("relay left: account {}, which may not be here any more", guest.account);
            }
        }
    }
    found
}
