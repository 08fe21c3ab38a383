//! What people type and servers send as names: accounts, fingerprints, server addresses, ids.

use chat_link::Target;
use chat_proto::fault::Code;
use chat_proto::id::{AccountName, Fingerprint, MessageId, NameRule, unhex};
use chat_proto::limits::NAME_MAX;

/// One text through every parser of names.
pub fn names(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    accounts(text);
    if let Ok(print) = text.parse::<Fingerprint>() {
        assert_eq!(print.to_string(), text.to_ascii_lowercase());
    }
    if let Some(target) = Target::parse(text, 7443) {
        assert!(target.port != 0 && !target.host.is_empty());
        assert_eq!(Target::parse(&target.to_string(), 1), Some(target));
    }
    assert!(text.ends_with(MessageId(text.to_owned()).short()));
    assert_eq!(unhex::<8>(text).is_some(), text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit()));
    if let Some(code) = Code::from_name(text) {
        assert_eq!(code.name(), text);
    }
}

/// What a rule takes it takes again unchanged, and it is safe in a column of a terminal.
fn accounts(text: &str) {
    for rule in [NameRule::Standard, NameRule::Classic] {
        let Ok(name) = AccountName::parse(text, rule) else {
            continue;
        };
        let shown = name.as_str();
        assert!((1..=NAME_MAX).contains(&shown.len()) && shown.bytes().all(|b| b.is_ascii_graphic()));
        assert!(shown.eq_ignore_ascii_case(text));
        assert_eq!(AccountName::parse(shown, rule).as_ref(), Ok(&name));
        assert_eq!(AccountName::try_from(shown.to_owned()), Ok(name));
    }
}
