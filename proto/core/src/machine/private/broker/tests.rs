//! Each rule of the broker by itself; all of them together in any order: `proto/core/tests/consent.rs`.

use super::*;
use crate::wire::PrivateNotice;

type Town = Broker<char, u8>;

const TERMS: Terms = Terms { allowed: true, relay: false, ttl_ms: 120_000 };
const HERE: Standing = Standing { blocked: false, blocking: false, online: true };
const A: RequestId = [1; 16];
const B: RequestId = [2; 16];

fn at(account: char, device: u8) -> Party<char, u8> {
    let endpoint = PeerEndpoint { addresses: vec![format!("192.0.2.{device}:1")], ..PeerEndpoint::default() };
    Party { account, device, run: 0, endpoint }
}

fn ask(id: RequestId, from: Party<char, u8>, to: char) -> Ask<char, u8> {
    Ask { id, from, to, note: "re: keys".into(), ttl_ms: 0 }
}

fn told(town: &mut Town) -> Vec<(Whom<char, u8>, u32)> {
    std::iter::from_fn(|| town.poll_notice()).map(|n| (n.to, n.what.number())).collect()
}

/// a's device 1 asks b, who has devices 2 and 3.
fn asked() -> Town {
    let mut town = Town::default();
    let done = town.handle_ask(ask(A, at('a', 1), 'b'), HERE, TERMS, 0).unwrap();
    assert_eq!(done, Asked { id: A, expires_in_ms: 120_000, open: None });
    assert_eq!(told(&mut town), [(Whom::Account('b', None), PrivateNotice::REQUEST)]);
    town
}

fn code<T: std::fmt::Debug>(done: Result<T, Fault>) -> Code {
    done.unwrap_err().code
}

#[test]
fn refusals_have_their_order() {
    let mut town = Town::default();
    let all = Standing { blocked: true, blocking: true, online: false };
    let closed = Terms { allowed: false, ..TERMS };
    let mut hidden = at('a', 1);
    hidden.endpoint.relay_only = true;
    let mut says = |to, standing, terms| code(town.handle_ask(ask(A, hidden.clone(), to), standing, terms, 0));
    assert_eq!(says('a', all, closed), Code::YOURSELF);
    assert_eq!(says('b', all, closed), Code::RECIPIENT_BLOCKED);
    assert_eq!(says('b', Standing { blocked: false, ..all }, closed), Code::BLOCKED_BY_YOU);
    let away = Standing { online: false, ..HERE };
    assert_eq!(says('b', away, closed), Code::PRIVATE_OFF);
    assert_eq!(says('b', away, TERMS), Code::OFFLINE);
    assert_eq!(says('b', HERE, TERMS), Code::NO_RELAY);
    let mut town = asked();
    assert_eq!(code(town.handle_ask(ask(B, at('a', 9), 'b'), HERE, TERMS, 0)), Code::REQUEST_PENDING);
    assert_eq!(town.handle_check(&ask(B, at('c', 9), 'b'), HERE, TERMS, 0), Ok(()));
    assert_eq!(told(&mut town), [], "a check asks nobody");
}

#[test]
fn the_first_yes_has_the_session() {
    let mut town = asked();
    let open = town.handle_accept(A, at('b', 2), TERMS, 10).unwrap();
    assert_eq!((open.account, open.device, open.asker, &*open.endpoint.addresses[0]), ('a', 1, false, "192.0.2.1:1"));
    let notices = told(&mut town);
    assert_eq!(
        notices,
        [(Whom::Device('a', 1), PrivateNotice::ACCEPTED), (Whom::Account('b', Some(2)), PrivateNotice::ANSWERED)]
    );
    assert_eq!(town.handle_accept(A, at('b', 2), TERMS, 20).unwrap(), open, "said again");
    assert_eq!(code(town.handle_accept(A, at('b', 3), TERMS, 20)), Code::UNKNOWN_REQUEST);
    assert_eq!(code(town.handle_decline(A, 'b', 3, 20)), Code::UNKNOWN_REQUEST);
    let again = town.handle_ask(ask(A, at('a', 1), 'b'), HERE, TERMS, 30).unwrap().open.unwrap();
    assert_eq!((again.account, again.device, again.asker), ('b', 2, true));
    assert_eq!(told(&mut town), [], "nobody is told twice");
    let late = town.handle_ask(ask(A, at('a', 1), 'b'), HERE, TERMS, 70_000);
    assert_eq!(code(late), Code::REQUEST_EXPIRED, "whoever was away so long has no session any more");
}

#[test]
fn crossing_requests_are_one() {
    let mut town = asked();
    let joined = town.handle_ask(ask(B, at('b', 3), 'a'), HERE, TERMS, 5).unwrap();
    assert_eq!((joined.id, joined.open.as_ref().map(|o| (o.account, o.asker))), (A, Some(('a', false))));
    assert_eq!(
        told(&mut town),
        [(Whom::Device('a', 1), PrivateNotice::ACCEPTED), (Whom::Account('b', Some(3)), PrivateNotice::ANSWERED)]
    );
    assert_eq!(town.handle_ask(ask(B, at('b', 3), 'a'), HERE, TERMS, 6).unwrap().open, joined.open, "asked again");
    assert_eq!(town.handle_cancel(B, 'b', 7), Ok(()), "he does not know yet that they crossed");
    assert_eq!(told(&mut town), [(Whom::Device('a', 1), PrivateNotice::WITHDRAWN)]);
    assert_eq!(town.open(), 0);
}

#[test]
fn a_no_is_final_and_harmless_twice() {
    let mut town = asked();
    assert_eq!(town.handle_decline(A, 'c', 7, 1).unwrap_err().code, Code::UNKNOWN_REQUEST, "not his to answer");
    assert_eq!(town.handle_decline(A, 'b', 2, 1), Ok(()));
    assert_eq!(
        told(&mut town),
        [(Whom::Device('a', 1), PrivateNotice::DECLINED), (Whom::Account('b', Some(2)), PrivateNotice::ANSWERED)]
    );
    assert_eq!(town.handle_decline(A, 'b', 2, 2), Ok(()));
    assert_eq!(code(town.handle_accept(A, at('b', 2), TERMS, 3)), Code::UNKNOWN_REQUEST);
    assert_eq!(code(town.handle_ask(ask(A, at('a', 1), 'b'), HERE, TERMS, 100_000)), Code::DECLINED);
    assert_eq!(told(&mut town), [], "asking again under the same id asks nobody again");
    assert!(town.handle_ask(ask(B, at('a', 1), 'b'), HERE, TERMS, 100_000).is_ok(), "a new one may be asked");
}

#[test]
fn time_departure_and_blocks_end_it() {
    let mut town = asked();
    town.handle_time(119_999);
    assert_eq!(told(&mut town), []);
    assert_eq!(code(town.handle_accept(A, at('b', 2), TERMS, 120_000)), Code::REQUEST_EXPIRED);
    assert_eq!(
        told(&mut town),
        [(Whom::Device('a', 1), PrivateNotice::EXPIRED), (Whom::Account('b', None), PrivateNotice::EXPIRED)]
    );
    let mut town = asked();
    town.handle_gone('a', 1);
    assert_eq!(told(&mut town), [(Whom::Account('b', None), PrivateNotice::LEFT)]);
    assert_eq!(code(town.handle_accept(A, at('b', 2), TERMS, 2)), Code::WITHDRAWN);
    let mut town = asked();
    town.handle_gone('b', 1);
    assert_eq!(told(&mut town), [(Whom::Device('a', 1), PrivateNotice::LEFT)]);
    let mut town = asked();
    town.handle_device_gone('a', 8, 1);
    town.handle_opened_session('a', 1, 0, 1);
    assert_eq!(told(&mut town), [], "another device, and the same start");
    town.handle_opened_session('a', 1, 7, 1);
    assert_eq!(told(&mut town), [(Whom::Account('b', None), PrivateNotice::WITHDRAWN)]);
    let mut town = asked();
    town.handle_blocked('b', 'a', 1);
    assert_eq!(
        told(&mut town),
        [(Whom::Device('a', 1), PrivateNotice::DECLINED), (Whom::Account('b', None), PrivateNotice::ANSWERED)]
    );
    let mut town = asked();
    town.handle_blocked('a', 'b', 1);
    assert_eq!(
        told(&mut town),
        [(Whom::Account('b', None), PrivateNotice::WITHDRAWN), (Whom::Device('a', 1), PrivateNotice::WITHDRAWN)]
    );
}

#[test]
fn a_device_that_comes_is_told_what_is_open() {
    let mut town = asked();
    town.handle_opened_session('b', 3, 0, 20_000);
    let Some(Notice { to: Whom::Device('b', 3), what: What::Request { expires_in_ms, .. }, .. }) = town.poll_notice()
    else {
        panic!("not told")
    };
    assert_eq!(expires_in_ms, 100_000);
}

#[test]
fn there_are_bounds_and_nothing_stays() {
    let mut town = Town::default();
    let id = |n: usize| [u8::try_from(n).unwrap(); 16];
    let others: Vec<char> = ('A'..='Z').collect();
    for (n, other) in others.iter().enumerate().take(REQUESTS_OUT) {
        assert!(town.handle_ask(ask(id(n), at('a', 1), *other), HERE, TERMS, 1_000).is_ok());
    }
    let refused = town.handle_ask(ask(id(99), at('a', 1), 'Z'), HERE, TERMS, 2_000).unwrap_err();
    assert_eq!(refused, Fault { code: Code::LIMIT, retry_after_ms: Some(119_000) });
    for n in 0..200 {
        let mine = [u8::try_from(n).unwrap(), 77].repeat(8).try_into().unwrap();
        town.handle_ask(ask(mine, at('b', 2), 'c'), HERE, TERMS, 3_000).unwrap();
        town.handle_cancel(mine, 'b', 3_000).unwrap();
        assert!(town.requests.len() <= 2 * REQUESTS_OUT + 1);
    }
    town.handle_time(10_000_000);
    town.handle_time(20_000_000);
    assert_eq!((town.requests.len(), town.asked.len(), town.waiting.len(), town.due.len()), (0, 0, 0, 0));
    assert!(town.accepted.is_empty());
}

#[test]
fn of_what_is_over_the_longest_over_is_forgotten_first() {
    let mut town = asked();
    for n in 0..REQUESTS_OUT {
        let id = [u8::try_from(n).unwrap(), 9].repeat(8).try_into().unwrap();
        town.handle_ask(ask(id, at('a', 1), 'c'), HERE, TERMS, 1).unwrap();
        town.handle_cancel(id, 'a', 2).unwrap();
    }
    told(&mut town);
    let joined = town.handle_ask(ask(B, at('b', 2), 'a'), HERE, TERMS, 3).unwrap();
    assert_eq!((joined.id, joined.open.map(|open| open.account)), (A, Some('a')), "asked first, over last");
    told(&mut town);
    assert!(town.handle_ask(ask(A, at('a', 1), 'b'), HERE, TERMS, 4).unwrap().open.is_some());
    assert_eq!(town.handle_cancel(A, 'a', 5), Ok(()));
    assert_eq!(told(&mut town), [(Whom::Device('b', 2), PrivateNotice::WITHDRAWN)]);
    assert!(town.requests.len() <= 2 * REQUESTS_OUT + 1);
}

#[test]
fn a_yes_and_a_logout_leave_no_session_on_one_side() {
    for (account, device, other) in [('b', 2, Whom::Device('a', 1)), ('a', 1, Whom::Device('b', 2))] {
        let mut town = asked();
        town.handle_accept(A, at('b', 2), TERMS, 10).unwrap();
        told(&mut town);
        town.handle_device_gone(account, 9, 11);
        town.handle_gone(account, 11);
        assert_eq!(told(&mut town), [], "another device of theirs; a lost link ends no session");
        town.handle_device_gone(account, device, 12);
        assert_eq!(told(&mut town), [(other, PrivateNotice::LEFT)]);
        assert_eq!(code(town.handle_accept(A, at('b', 2), TERMS, 13)), Code::WITHDRAWN);
    }
}

#[test]
fn no_path_that_both_allow_is_a_refusal_and_leaves_it_open() {
    let mut town = Town::default();
    let mut direct = at('a', 1);
    direct.endpoint.direct_only = true;
    town.handle_ask(ask(A, direct, 'b'), HERE, TERMS, 0).unwrap();
    let mut hidden = at('b', 2);
    hidden.endpoint.relay_only = true;
    assert_eq!(code(town.handle_accept(A, hidden, TERMS, 1)), Code::NO_DIRECT_PATH);
    assert_eq!(town.open(), 1);
}
