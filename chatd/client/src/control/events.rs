//! `watch`: the history from a place on, then what happens, each message once and in order (contract, P8). And the named cursors
//! of those who follow.

use std::collections::VecDeque;
use std::sync::Arc;

use chat_proto::control::events::{Ack, Acked, Cursor, CursorList, CursorRemove, Event, Topic, Watch, Watching};
use chat_proto::control::{Done, ErrorData, Items};
use chat_proto::fault::Code;
use chat_proto::id::{CursorName, MessageId};
use chat_proto::limits::CONTROL_PAGE_BYTES;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::message::{one, recipient};
use super::unreadable;
use crate::daemon::Daemon;
use crate::history::thread::Reader;
use crate::history::{self, CursorChange, Wanted, Write};
use crate::profile::{Answer, Ask, Profile, Published};
use crate::shown;

/// One follower.
pub(super) struct Follow {
    events: Receiver<Arc<Published>>,
    reader: Reader,
    only: Vec<Topic>,
    from: Option<String>,
    /// Everything up to this place was given.
    given: u64,
    /// The history is read up to this place before live events are taken again.
    read_to: Option<u64>,
    /// Live events were lost: the history's newest place is to be found out.
    behind: bool,
    ready: VecDeque<Event>,
}

pub(super) async fn watch(d: &Daemon, call: Watch) -> Answer<(Watching, Follow)> {
    let profile = d.profile(&call.profile).await?;
    // Subscribed before the history is looked at: what is committed later comes as an event, what was before is in it.
    let events = profile.follow().ok_or_else(|| Box::new(Code::DAEMON_STOPPING.into()))?;
    let head = profile.reader.ask(|history| history.head()).await.map_err(|t| unreadable(&t))?;
    let since = match (call.after_index, call.since) {
        (Some(index), _) => Some(index.min(head)),
        (None, Some(id)) => Some(one(&profile, id).await?.index),
        (None, None) => None,
    };
    let after = match (call.after_index, call.cursor) {
        (None, Some(name)) => Some(open(d, &profile, name, since.unwrap_or(head)).await?),
        _ => since,
    };
    let classic = profile.view().classic;
    let follow = Follow {
        events,
        reader: profile.reader.clone(),
        only: call.only,
        from: call.from.as_deref().map(|user| recipient(user, classic)).transpose()?,
        given: after.unwrap_or(head),
        read_to: after.map(|_| head),
        behind: false,
        ready: VecDeque::new(),
    };
    Ok((Watching { index: head, after: Some(follow.given) }, follow))
}

/// Where the cursor stands; a new one is on the disk before anything is given.
async fn open(d: &Daemon, profile: &Profile, name: CursorName, begin: u64) -> Answer<u64> {
    let change = CursorChange::Open { begin, at_ms: d.around.world.now_ms() };
    let (cursor, _) = change_cursor(profile, name.clone(), change).await?;
    match cursor {
        Some(cursor) => Ok(cursor.index),
        None => Err(Box::new(ErrorData { subject: Some(name.into()), ..Code::TOO_MANY_CURSORS.into() })),
    }
}

pub(super) async fn ack(d: &Daemon, call: Ack) -> Answer<Acked> {
    let profile = d.profile(&call.profile).await?;
    let index = one(&profile, call.id).await?.index;
    let change = CursorChange::Ack { index, at_ms: d.around.world.now_ms() };
    let (cursor, changed) = change_cursor(&profile, call.cursor.clone(), change).await?;
    let cursor = cursor.ok_or_else(|| unknown(&call.cursor))?;
    Ok(Acked { cursor: shown_cursor(cursor, call.cursor), changed })
}

pub(super) async fn cursor_list(d: &Daemon, call: CursorList) -> Answer<Items<Cursor>> {
    let profile = d.profile(&call.profile).await?;
    let found = profile.reader.ask(|history| history.cursors()).await.map_err(|t| unreadable(&t))?;
    let named = |cursor: history::Cursor| Some(shown_cursor(cursor.clone(), cursor.name.parse().ok()?));
    Ok(Items { items: found.into_iter().filter_map(named).collect() })
}

pub(super) async fn cursor_remove(d: &Daemon, call: CursorRemove) -> Answer<Done> {
    let profile = d.profile(&call.profile).await?;
    match change_cursor(&profile, call.name.clone(), CursorChange::Remove).await? {
        (Some(_), _) => Ok(Done {}),
        (None, _) => Err(unknown(&call.name)),
    }
}

async fn change_cursor(
    profile: &Profile,
    name: CursorName,
    change: CursorChange,
) -> Answer<(Option<history::Cursor>, bool)> {
    match profile.ask(|reply| Ask::Keep(Write::Cursor(name, change), reply)).await? {
        history::Done::Cursor { cursor, changed } => Ok((cursor, changed)),
        _ => Err(Box::new(Code::INTERNAL.into())),
    }
}

fn unknown(name: &CursorName) -> Box<ErrorData> {
    Box::new(ErrorData { subject: Some(name.to_string()), ..Code::UNKNOWN_CURSOR.into() })
}

fn shown_cursor(cursor: history::Cursor, name: CursorName) -> Cursor {
    Cursor { name, index: cursor.index, id: cursor.id, at_ms: cursor.at_ms, waiting: cursor.waiting }
}

impl Follow {
    /// The next event; nothing when the profile was closed. May be dropped and called again.
    pub(super) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(Event::Gap { index, from: None, .. }) = self.ready.front() {
                let index = *index;
                let before = self.reader.ask(move |history| history.before(index)).await.ok()?;
                self.fill_gap(before);
            }
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.behind {
                self.read_to = Some(self.reader.ask(|history| history.head()).await.ok()?);
                self.behind = false;
            }
            match self.read_to {
                Some(head) => self.read(head).await?,
                None => self.live().await?,
            }
        }
    }

    /// The gap in front is told between which messages it stands.
    fn fill_gap(&mut self, before: Option<MessageId>) {
        if let Some(Event::Gap { from, .. }) = self.ready.front_mut() {
            *from = before;
        }
    }

    /// Reads one page of the history.
    async fn read(&mut self, head: u64) -> Option<()> {
        let wanted = Wanted {
            after: self.given,
            before: Some(head.saturating_add(1)),
            followed: true,
            page_bytes: CONTROL_PAGE_BYTES,
            ..Wanted::default()
        };
        let (rows, next) = self.reader.ask(move |history| history.page(&wanted)).await.ok()?;
        let events: Vec<Event> = rows.into_iter().filter_map(shown::arrived).collect();
        self.ready.extend(events.into_iter().filter(|event| wanted_by(&self.only, self.from.as_deref(), event)));
        match next {
            Some(next) => self.given = next,
            None => {
                self.given = self.given.max(head);
                self.read_to = None;
            }
        }
        Some(())
    }

    /// Takes one live event. A follower that was too slow reads the history again: messages are never missed.
    async fn live(&mut self) -> Option<()> {
        match self.events.recv().await {
            Ok(published) => self.take(&published),
            // Remembered, not asked here: this may be dropped at any wait.
            Err(RecvError::Lagged(_)) => self.behind = true,
            Err(RecvError::Closed) => return None,
        }
        Some(())
    }

    fn take(&mut self, published: &Published) {
        if published.index > 0 {
            if published.index <= self.given {
                return;
            }
            self.given = published.index;
        }
        if wanted_by(&self.only, self.from.as_deref(), &published.event) {
            self.ready.push_back(published.event.clone());
        }
    }
}

fn wanted_by(only: &[Topic], from: Option<&str>, event: &Event) -> bool {
    let (topic, who) = match event {
        Event::Message(message) => (Topic::Message, Some(message.from.as_str())),
        Event::Gap { .. } => (Topic::Message, None),
        Event::Presence { user, .. } => (Topic::Presence, Some(user.as_str())),
        Event::PresenceMany { .. } => (Topic::Presence, None),
        Event::Receipt { to, .. } => (Topic::Receipt, to.as_deref()),
        Event::Link { .. } => (Topic::Link, None),
        Event::PrivateRequest(request) => (Topic::Private, Some(request.peer.as_str())),
        Event::PrivateSession(session) => (Topic::Private, Some(session.peer.as_str())),
        Event::PrivateEnded(ended) => (Topic::Private, Some(ended.peer.as_str())),
        Event::FileOffer(file) | Event::File(file) => (Topic::File, Some(file.peer.as_str())),
        Event::Unread { .. } => (Topic::Unread, None),
    };
    let topic_fits = only.contains(&topic) || (only.is_empty() && topic != Topic::Unread);
    let person_fits = from.is_none_or(|from| who.is_none_or(|who| who == from));
    topic_fits && person_fits
}
