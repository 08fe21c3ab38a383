//! Sentences about private requests and sessions: asked, answered, open, over.

use std::time::Duration;

use chat_proto::control::message::{Pending, Sent, State};
use chat_proto::control::private::{
    Direction, EndReason, KeyState, Path, PathReason, PrivateEnded, PrivateRequest, PrivateSession, RequestState,
    SessionState, Stopped, Verification,
};
use chat_proto::display::quoted;
use chat_proto::fault::Code;
use chat_proto::id::Fingerprint;
use chat_proto::limits::{NOTE_MAX, PEER_AWAY};

use crate::exit::Exit;
use crate::output::{Shown, Trouble};
use crate::time::{Clock, length};

/// No requests.
pub const NO_REQUESTS: &str = "no open private requests";
/// No sessions.
pub const NO_SESSIONS: &str = "no private sessions; startprivate USER asks for one";

/// After `startprivate`, while nobody answered yet.
pub fn asked(request: &PrivateRequest, clock: &Clock) -> String {
    let open = request.expires_at_ms.saturating_sub(clock.now.as_millisecond()).max(0).unsigned_abs();
    // Rounded up: the request was on the way a little.
    let open = length(Duration::from_millis(open).saturating_add(Duration::from_millis(999)));
    format!("Asked {} (open for {open}). You get a notice; or run: chatctl requests", Shown::name(&request.peer))
}

/// After `startprivate` that met the other's request.
pub fn joined(peer: &str) -> String {
    let peer = Shown::name(peer);
    format!(
        "{peer} had asked you, too: the private session is being opened. You get a notice; or run: chatctl sessions"
    )
}

/// A line of `requests`.
pub fn request(request: &PrivateRequest, widest: usize, clock: &Clock) -> String {
    let peer = Shown::name(&request.peer);
    let room = " ".repeat(widest.saturating_sub(peer.width()));
    let (dir, act) = match request.dir {
        Direction::In => ("in ", format!("accept: chatctl accept {peer}")),
        Direction::Out => ("out", format!("withdraw: chatctl stopprivate {peer}")),
    };
    let (at, expires) = (clock.show(request.at_ms), clock.show(request.expires_at_ms));
    format!("{dir}  {peer}{room}  {at}  expires {expires}{}  {act}", note(request, "  ", ""))
}

/// The asker's word about why, in quotes, between `open` and `close`; nothing where there is none.
fn note(request: &PrivateRequest, open: &str, close: &str) -> String {
    match request.note.as_deref().filter(|note| !note.is_empty()) {
        Some(note) => format!("{open}\"{}\"{close}", Shown::line(note)),
        None => String::new(),
    }
}

/// What became of a request, for `watch`.
pub fn private_request(request: &PrivateRequest) -> String {
    let peer = Shown::name(&request.peer);
    match (request.state, request.dir) {
        (RequestState::Asked, Direction::In) => {
            format!("{peer} asks for a private session{}: chatctl accept {peer}", note(request, " (", ")"))
        }
        (RequestState::Asked, Direction::Out) => format!("{peer} was asked for a private session"),
        (RequestState::Accepted, Direction::In) => format!("the private request of {peer} was accepted"),
        (RequestState::Accepted, Direction::Out) => format!("{peer} accepted the private request"),
        (RequestState::Declined, Direction::In) => format!("the private request of {peer} was declined"),
        (RequestState::Declined, Direction::Out) => format!("{peer} declined the private request"),
        (RequestState::Expired, Direction::In) => format!("the private request of {peer} ran out"),
        (RequestState::Expired, Direction::Out) => format!("{peer} did not answer the private request in time"),
        (RequestState::Cancelled, Direction::In) => format!("the private request of {peer} is over: one of you left"),
        (RequestState::Cancelled, Direction::Out) => format!("the private request to {peer} is over: one of you left"),
        (RequestState::Withdrawn, Direction::In) => {
            format!("the private request of {peer} was withdrawn, or answered on another device")
        }
        (RequestState::Withdrawn, Direction::Out) => format!("the private request to {peer} was withdrawn"),
    }
}

/// `startprivate --wait` whose request did not become an open session, and why.
pub fn not_open(request: &PrivateRequest) -> Option<Trouble> {
    let peer = Shown::name(&request.peer);
    let open = request.session.as_ref().is_some_and(|session| session.state == SessionState::Open);
    let again = || format!("startprivate {}", quoted(&request.peer));
    let trouble = match request.state {
        RequestState::Accepted if open => return None,
        RequestState::Accepted => return Some(connecting(&request.peer)),
        RequestState::Asked => return Some(unanswered(&request.peer)),
        RequestState::Declined => {
            Trouble::new(Code::DECLINED.name(), Exit::Refused, format!("{peer} has declined the request."))
                .next(format!("message {} ...", quoted(&request.peer)))
        }
        RequestState::Expired => {
            let what = format!("{peer} did not answer in time; the request is over.");
            Trouble::new(Code::REQUEST_EXPIRED.name(), Exit::TimedOut, what).next(again())
        }
        RequestState::Cancelled => {
            Trouble::new(Code::OFFLINE.name(), Exit::Unreachable, format!("{peer} has left; the request is over."))
                .next("whoelse")
        }
        RequestState::Withdrawn => {
            Trouble::new(Code::WITHDRAWN.name(), Exit::Refused, "the request was withdrawn.").next(again())
        }
    };
    Some(trouble)
}

/// The wait for an answer ended before it came.
pub fn unanswered(peer: &str) -> Trouble {
    let what = format!("{} has not answered yet; the request stays open.", Shown::name(peer));
    Trouble::new(Code::TIMED_OUT.name(), Exit::TimedOut, what).next("requests --outgoing")
}

/// Both said yes, and the connection is not there yet.
pub fn connecting(peer: &str) -> Trouble {
    let peer = Shown::name(peer);
    let away = length(PEER_AWAY);
    let what = format!("both sides agreed, but {peer} is not reached yet; tries go on for {away}.");
    Trouble::new(Code::TIMED_OUT.name(), Exit::TimedOut, what).next("sessions")
}

/// After `accept`, and after `startprivate` that waited or met the other's request.
pub fn opened(session: &PrivateSession) -> String {
    let peer = Shown::name(&session.peer);
    let mut text = format!("Private session with {peer} open ({}).", way_and_key(session));
    if session.path == Some(Path::Direct) && !session.relay_only {
        text += &format!(" {peer} can now see your address; use --relay-only to hide it.");
    }
    if session.known != Some(KeyState::Verified) {
        text += &format!(" Compare keys: chatctl sessions verify {peer}");
    }
    text
}

/// How the two are connected, and the peer's key.
pub fn way_and_key(session: &PrivateSession) -> String {
    let parts: Vec<_> = [way(session), key(session)].into_iter().flatten().collect();
    parts.join(", ")
}

/// How the two are connected: `direct`, or `relay` and why.
fn way(session: &PrivateSession) -> Option<String> {
    let text = match (session.path?, session.why) {
        (Path::Direct, _) => "direct".to_owned(),
        (Path::Relay, Some(PathReason::RelayOnly)) => "relay, as you asked".to_owned(),
        (Path::Relay, Some(PathReason::PeerRelayOnly)) => format!("relay, as {} asked", Shown::name(&session.peer)),
        (Path::Relay, Some(PathReason::NoDirectPath)) => "relay, as no direct path was found".to_owned(),
        (Path::Relay, Some(PathReason::Found) | None) => "relay".to_owned(),
    };
    Some(text)
}

/// The peer's key and how well it is known: `key 41 07 88, first seen`.
fn key(session: &PrivateSession) -> Option<String> {
    let key = short(&session.key?);
    Some(match session.known {
        Some(KeyState::Verified) => format!("verified key {key}"),
        Some(KeyState::Known) => format!("key {key}, known"),
        Some(KeyState::FirstSeen) => format!("key {key}, first seen"),
        None => format!("key {key}"),
    })
}

/// The first three bytes of a fingerprint.
fn short(key: &Fingerprint) -> String {
    let pairs: Vec<_> = key.0.iter().take(3).map(|byte| format!("{byte:02x}")).collect();
    pairs.join(" ")
}

/// How a session goes, for `watch`.
pub fn private_session(session: &PrivateSession) -> String {
    let peer = Shown::name(&session.peer);
    match session.state {
        SessionState::Open => format!("private session with {peer} open ({})", way_and_key(session)),
        SessionState::Connecting => format!("private session with {peer}: connecting"),
        SessionState::Away => format!("private session with {peer}: out of reach, tries go on"),
    }
}

/// A line of `sessions`.
pub fn session(session: &PrivateSession, widest: usize, clock: &Clock) -> String {
    let peer = Shown::name(&session.peer);
    let room = " ".repeat(widest.saturating_sub(peer.width()));
    let state = match session.state {
        SessionState::Open => way(session).unwrap_or_else(|| "open".to_owned()),
        SessionState::Connecting => format!("connecting for {}", clock.since(session.changed_ms)),
        SessionState::Away => format!("out of reach for {}", clock.since(session.changed_ms)),
    };
    let mut columns = vec![format!("{peer}{room}"), state];
    columns.extend(session.rtt_us.filter(|_| session.state == SessionState::Open).map(round_trip));
    columns.push(format!("since {}", clock.show(session.since_ms)));
    columns.extend(key(session));
    if session.queued > 0 {
        columns.push(format!("{} queued", session.queued));
    }
    if let Some(until) = session.until_ms {
        columns.push(format!("ends {}", clock.show(until)));
    }
    columns.join("  ")
}

fn round_trip(us: u64) -> String {
    match us {
        0..1000 => format!("0.{} ms", us / 100),
        us => format!("{} ms", us / 1000),
    }
}

/// After `private`: `bob (private, delivered)`.
pub fn private_sent(sent: &Sent) -> String {
    let to = Shown::name(sent.to.as_deref().unwrap_or_default());
    let again = if sent.duplicate { "; sent before, not doubled" } else { "" };
    format!("{to} (private, {}{again})", sent.state.word())
}

/// A private text did not get as far as was asked in time.
pub fn private_kept(sent: &Sent, pending: Pending) -> Trouble {
    let peer = Shown::name(sent.to.as_deref().unwrap_or("the peer"));
    let (code, exit, what) = match (pending, sent.state) {
        (Pending::Unreachable, _) => (
            Code::PEER_UNREACHABLE,
            Exit::Unreachable,
            format!("{peer} cannot be reached now; the text is kept and goes out while the session lasts."),
        ),
        (Pending::TimedOut, State::Queued) => (
            Code::TIMED_OUT,
            Exit::TimedOut,
            format!("{peer} has not taken the text in time; it is kept and goes out while the session lasts."),
        ),
        (Pending::TimedOut, state) => {
            (Code::TIMED_OUT, Exit::TimedOut, format!("the text is {}, and did not get further in time.", state.word()))
        }
    };
    let mut trouble = Trouble::new(code.name(), exit, what).next(format!("show {}", sent.id.short()));
    trouble.add("id", sent.id.to_string());
    trouble.add("key", sent.key.clone());
    trouble
}

/// After `decline`.
pub fn declined(request: &PrivateRequest, blocked: bool) -> String {
    let peer = Shown::name(&request.peer);
    let text = format!("Declined the private request of {peer}.");
    if blocked { format!("{text} {peer} is blocked, and is not told that.") } else { text }
}

/// After `stopprivate`: a line for each.
pub fn stopped(stopped: &Stopped) -> Vec<String> {
    let ended = stopped.items.iter().map(|ended| {
        let text = format!("Private session with {} closed.", Shown::name(&ended.peer));
        format!("{text}{}", left_over(ended))
    });
    let withdrawn = stopped.withdrawn.iter().map(|peer| format!("Request to {} withdrawn.", Shown::name(peer)));
    ended.chain(withdrawn).collect()
}

/// Texts that did not get there, behind a sentence.
pub fn left_over(ended: &PrivateEnded) -> String {
    let mut text = String::new();
    match &ended.failed[..] {
        [] => {}
        [one] => text += &format!(" 1 text was never sent and failed: {}.", Shown::line(one.short())),
        several => {
            let ids: Vec<_> = several.iter().map(|id| Shown::line(id.short()).to_string()).collect();
            text += &format!(" {} texts were never sent and failed: {}.", several.len(), ids.join(", "));
        }
    }
    match ended.unsettled {
        0 => {}
        1 => text += " Whether 1 text arrived will be known when you two meet next.",
        count => text += &format!(" Whether {count} texts arrived will be known when you two meet next."),
    }
    text
}

/// Why a session ended, for `watch`.
pub fn private_ended(ended: &PrivateEnded) -> String {
    let peer = Shown::name(&ended.peer);
    let why = match (ended.reason, ended.by_peer) {
        (EndReason::You, _) => "by you".to_owned(),
        (EndReason::Peer, _) => format!("by {peer}"),
        (EndReason::Logout, true) => format!("{peer} logged out"),
        (EndReason::Logout, false) => "you logged out".to_owned(),
        (EndReason::Idle, true) => format!("{peer} was logged out without activity"),
        (EndReason::Idle, false) => "you were logged out without activity".to_owned(),
        (EndReason::Link, _) => format!("{peer} could not be reached"),
        (EndReason::Time, _) => "its time is over".to_owned(),
        (EndReason::Identity, true) => format!("{peer} knows you by another key"),
        (EndReason::Identity, false) => format!("{peer} showed another key than before"),
        (EndReason::NoDirectPath, _) => "no direct path was found".to_owned(),
        (EndReason::Other, _) => "for another reason".to_owned(),
    };
    format!("private session with {peer} ended ({why}){}", after_a_dot(&left_over(ended)))
}

/// What follows a sentence that has no dot of its own.
fn after_a_dot(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(".{text}") }
}

/// `sessions verify`: the code and both keys.
pub fn verification(with: &Verification) -> String {
    let peer = Shown::name(&with.peer);
    let (own, theirs) = ("your key".to_owned(), format!("key of {peer}"));
    let column = own.len().max(Shown::line(&theirs).width());
    let known = match with.known {
        KeyState::Verified => "verified",
        KeyState::Known => "known, not verified",
        KeyState::FirstSeen => "first seen, not verified",
    };
    let room = " ".repeat(column.saturating_sub(Shown::line(&theirs).width()));
    format!(
        "Code with {peer}: {}\n  {theirs}{room}  {} ({known})\n  {own:column$}  {}",
        Shown::line(&with.code),
        with.key,
        with.own_key
    )
}

/// What to do with the code.
pub fn compare(peer: &str) -> String {
    let peer = Shown::name(peer);
    format!(
        "Compare the code by another way, say on the phone. If it is the same on {peer}'s side: chatctl sessions verify {peer} --confirm"
    )
}

/// After the code was compared.
pub fn verified(peer: &str) -> String {
    format!("The key of {} is verified.", Shown::name(peer))
}

/// The code is not the same on the other side.
pub fn not_verified(peer: &str) -> Trouble {
    let what = "nothing was marked. If the codes differ, somebody stands between you two: end the session.";
    Trouble::new("not_verified", Exit::No, what).next(format!("stopprivate {}", quoted(peer)))
}

/// The note of a request is over its limit.
pub fn long_note(bytes: usize) -> Trouble {
    let what = format!("the note has {bytes} bytes; a request holds {NOTE_MAX}. Nobody was asked.");
    Trouble::new(Code::TOO_LARGE.name(), Exit::BadInput, what).next("help startprivate")
}

/// `startprivate` of somebody who blocks the caller.
pub fn request_blocked(peer: &str) -> Trouble {
    let what = format!("{} has blocked you, so nobody was asked.", Shown::name(peer));
    Trouble::new(Code::RECIPIENT_BLOCKED.name(), Exit::Refused, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Style;
    use chat_proto::id::MessageId;

    fn clock() -> Clock {
        Clock { now: jiff::Timestamp::UNIX_EPOCH, zone: jiff::tz::TimeZone::UTC, twelve: false, style: Style::Auto }
    }

    fn open() -> PrivateSession {
        PrivateSession {
            id: "00".into(),
            peer: "bob".into(),
            state: SessionState::Open,
            path: Some(Path::Direct),
            why: Some(PathReason::Found),
            address: None,
            rtt_us: Some(420),
            since_ms: 0,
            changed_ms: 0,
            until_ms: None,
            key: Some(Fingerprint(
                [0x41, 7, 0x88].into_iter().cycle().take(32).collect::<Vec<_>>().try_into().expect("32"),
            )),
            known: Some(KeyState::FirstSeen),
            relay_only: false,
            direct_only: false,
            queued: 0,
        }
    }

    fn request_of(dir: Direction, state: RequestState) -> PrivateRequest {
        PrivateRequest {
            id: "00".into(),
            peer: "bob".into(),
            dir,
            state,
            note: Some("re: \x1b[2Jkeys".into()),
            at_ms: 0,
            expires_at_ms: 120_000,
            session: None,
        }
    }

    #[test]
    fn an_open_session_says_way_key_and_what_to_do() {
        assert_eq!(
            opened(&open()),
            "Private session with bob open (direct, key 41 07 88, first seen). bob can now see your address; use --relay-only to hide it. Compare keys: chatctl sessions verify bob"
        );
        let known = PrivateSession { known: Some(KeyState::Verified), path: Some(Path::Relay), ..open() };
        let why = |why| opened(&PrivateSession { why: Some(why), ..known.clone() });
        assert_eq!(
            why(PathReason::NoDirectPath),
            "Private session with bob open (relay, as no direct path was found, verified key 41 07 88)."
        );
        assert!(why(PathReason::RelayOnly).contains("relay, as you asked"));
        assert!(why(PathReason::PeerRelayOnly).contains("relay, as bob asked"));
    }

    #[test]
    fn a_session_in_a_line() {
        assert_eq!(session(&open(), 5, &clock()), "bob    direct  0.4 ms  since 00:00  key 41 07 88, first seen");
        let away = PrivateSession { state: SessionState::Away, queued: 2, until_ms: Some(60_000), ..open() };
        assert_eq!(
            session(&away, 3, &clock()),
            "bob  out of reach for 0s  since 00:00  key 41 07 88, first seen  2 queued  ends 00:01"
        );
    }

    #[test]
    fn requests_name_what_to_run_and_show_no_escapes() {
        let came = request_of(Direction::In, RequestState::Asked);
        assert_eq!(
            request(&came, 3, &clock()),
            "in   bob  00:00  expires 00:02  \"re: \\x1b[2Jkeys\"  accept: chatctl accept bob"
        );
        assert!(private_request(&came).ends_with(": chatctl accept bob"));
        assert_eq!(asked(&came, &clock()), "Asked bob (open for 2m). You get a notice; or run: chatctl requests");
    }

    #[test]
    fn each_end_of_a_request_has_its_own_sentence() {
        use RequestState::{Accepted, Asked, Cancelled, Declined, Expired, Withdrawn};
        let states = [Asked, Accepted, Declined, Expired, Cancelled, Withdrawn];
        let mut texts: Vec<_> = [Direction::In, Direction::Out]
            .into_iter()
            .flat_map(|dir| states.map(|state| private_request(&request_of(dir, state))))
            .collect();
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), 12, "{texts:?}");
        let exits = states.map(|state| not_open(&request_of(Direction::Out, state)).map(|t| t.exit.number()));
        assert_eq!(exits, [Some(9), Some(9), Some(7), Some(9), Some(5), Some(7)]);
    }

    #[test]
    fn an_end_says_why_and_what_was_lost() {
        let mut ended = PrivateEnded {
            peer: "bob".into(),
            reason: EndReason::Link,
            by_peer: false,
            failed: vec![MessageId("000000000000m7k2".into())],
            unsettled: 2,
            at_ms: 0,
        };
        assert_eq!(
            private_ended(&ended),
            "private session with bob ended (bob could not be reached). 1 text was never sent and failed: m7k2. Whether 2 texts arrived will be known when you two meet next."
        );
        (ended.failed, ended.unsettled, ended.reason) = (Vec::new(), 0, EndReason::Peer);
        assert_eq!(private_ended(&ended), "private session with bob ended (by bob)");
        let stop = Stopped { items: vec![ended], withdrawn: vec!["carol".into()] };
        assert_eq!(stopped(&stop), ["Private session with bob closed.", "Request to carol withdrawn."]);
    }
}
