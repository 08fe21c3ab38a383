//! Who may use the relay: the endpoint that a good ticket was made for, while its device may log in, and of one account not too many
//! at once.
//!
//! Asked by iroh's service for each client that proved its endpoint's key; the connection's task waits for the verdict, for a client
//! that never gets so far must go.

use std::collections::HashMap;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use chat_proto::id::{AccountName, DeviceId};
use chat_proto::limits::RELAY_CONNECTIONS;
use iroh_base::EndpointId;
use iroh_relay::server::{Access, AccessControl, ClientRequest, ConnectionId};
use std::sync::Arc;
use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::private::ticket::{Ticket, Tickets};
use crate::settings::Live;
use crate::store::Query;
use crate::sync::lock;

/// The header by which a connection's task knows it again; whatever a client says in it is overwritten.
pub const NUMBER: &str = "x-chat-connection";

/// How it went: the account, or in a few words why not.
pub type Verdict = Result<AccountName, &'static str>;

/// Looks something up in the store.
pub type LookUp = Box<dyn Fn(Query) + Send + Sync>;

/// Whose a connection is.
#[derive(Clone, Debug)]
pub struct Guest {
    /// The account.
    pub account: AccountName,
    /// Its device.
    pub device: DeviceId,
    /// That device's endpoint.
    pub endpoint: EndpointId,
}

/// Admits clients.
pub struct Admission {
    tickets: Arc<Tickets>,
    look_up: LookUp,
    clock: Clock,
    live: Arc<Live>,
    refused: AtomicU64,
    next: AtomicU64,
    // Short locks: a look and a change of a table.
    here: Mutex<Here>,
}

#[derive(Default)]
struct Here {
    /// Tasks that wait for the verdict over their connection, by its number.
    waiting: HashMap<u64, oneshot::Sender<Verdict>>,
    admitted: HashMap<ConnectionId, Guest>,
    accounts: HashMap<AccountName, usize>,
}

/// A connection that is counted and leaves again, unless it is found to be admissible.
struct Entering<'a> {
    admission: &'a Admission,
    connection: ConnectionId,
    stays: bool,
}

/// A connection whose verdict is waited for.
pub struct Expected {
    admission: Arc<Admission>,
    /// What its requests bear in [`NUMBER`].
    pub number: u64,
    /// The verdict.
    pub verdict: oneshot::Receiver<Verdict>,
}

impl Admission {
    /// Nobody is here.
    pub fn new(tickets: Arc<Tickets>, look_up: LookUp, clock: Clock, live: Arc<Live>) -> Admission {
        let (refused, next) = (AtomicU64::new(0), AtomicU64::new(0));
        Admission { tickets, look_up, clock, live, refused, next, here: Mutex::default() }
    }

    /// A connection came.
    pub fn expect(self: &Arc<Self>) -> Expected {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (told, verdict) = oneshot::channel();
        lock(&self.here).waiting.insert(number, told);
        Expected { admission: Arc::clone(self), number, verdict }
    }

    /// Whether who bears this ticket may ask for the relay at all; whose it is, and whether it is his, is seen when he proved his
    /// endpoint's key.
    pub fn may_ask(&self, token: Option<&str>) -> Result<(), &'static str> {
        self.good(token).map(|_| ()).inspect_err(|_| self.count_refused())
    }

    fn count_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// How many are admitted.
    pub fn count(&self) -> usize {
        lock(&self.here).admitted.len()
    }

    /// How many were not.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// All that are admitted.
    pub fn guests(&self) -> Vec<(ConnectionId, Guest)> {
        lock(&self.here).admitted.iter().map(|(connection, guest)| (*connection, guest.clone())).collect()
    }

    /// Whether the store knows somebody as one who may be here; nothing when it is closing.
    pub async fn is_admissible(&self, guest: &Guest) -> Option<bool> {
        let (answer, admissible) = oneshot::channel();
        (self.look_up)(Query::Admissible(guest.account.clone(), guest.device, answer));
        admissible.await.ok()
    }

    async fn decide(&self, request: &ClientRequest) -> Verdict {
        let Ticket { account, device, .. } = self.ticket(request)?;
        let guest = Guest { account, device, endpoint: request.endpoint_id() };
        // Entered before it is looked up: whoever is barred after the look is found among those who are here.
        let mut entering = self.enter(request.connection_id(), &guest)?;
        match self.is_admissible(&guest).await {
            Some(true) => {
                entering.stays = true;
                Ok(guest.account)
            }
            Some(false) => Err("its device is none any more, or its account is locked"),
            None => Err("the server is closing"),
        }
    }

    fn ticket(&self, request: &ClientRequest) -> Result<Ticket, &'static str> {
        let ticket = self.good(request.auth_token().as_deref())?;
        if ticket.endpoint != *request.endpoint_id().as_bytes() {
            return Err("a ticket of another endpoint");
        }
        Ok(ticket)
    }

    fn good(&self, token: Option<&str>) -> Result<Ticket, &'static str> {
        if !self.live.get().sessions.private {
            return Err("private sessions are off");
        }
        self.tickets.check(token.ok_or("no ticket")?, self.clock.wall_ms()).ok_or("a bad ticket")
    }

    fn enter(&self, connection: ConnectionId, guest: &Guest) -> Result<Entering<'_>, &'static str> {
        let mut here = lock(&self.here);
        let count = here.accounts.entry(guest.account.clone()).or_default();
        if *count >= RELAY_CONNECTIONS {
            return Err("too many connections of its account");
        }
        *count += 1;
        here.admitted.insert(connection, guest.clone());
        Ok(Entering { admission: self, connection, stays: false })
    }

    fn leave(&self, connection: ConnectionId) {
        let mut here = lock(&self.here);
        let Some(guest) = here.admitted.remove(&connection) else { return };
        if let Some(count) = here.accounts.get_mut(&guest.account) {
            *count -= 1;
            if *count == 0 {
                here.accounts.remove(&guest.account);
            }
        }
    }
}

impl AccessControl for Admission {
    async fn on_connect(&self, request: &ClientRequest) -> Access {
        let verdict = self.decide(request).await;
        let access = match &verdict {
            Ok(_) => Access::Allow,
            Err(_) => {
                self.count_refused();
                // Why is in the audit log; a stranger is not told.
                Access::Deny { reason: None }
            }
        };
        let number = request.headers().get(NUMBER).and_then(|number| number.to_str().ok()?.parse().ok());
        let told = number.and_then(|number: u64| lock(&self.here).waiting.remove(&number));
        if let Some(told) = told {
            // The task may have given up in this very moment: then it closes the connection.
            let _ = told.send(verdict);
        }
        access
    }

    fn on_disconnect(&self, _: EndpointId, connection: ConnectionId) {
        self.leave(connection);
    }
}

impl Drop for Entering<'_> {
    fn drop(&mut self) {
        if !self.stays {
            self.admission.leave(self.connection);
        }
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission").field("admitted", &self.count()).finish_non_exhaustive()
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        lock(&self.admission.here).waiting.remove(&self.number);
    }
}
