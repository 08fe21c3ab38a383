//! Every refusal that a chatd can answer with: its exit code, its words, its object; and the exits that only a broken other side
//! brings about.

use std::collections::BTreeSet;

use chat_proto::fault::Code;
use serde_json::{Value, json};

use crate::fake::{Answer, Home};

#[test]
fn every_refusal_ends_with_its_code_a_sentence_and_an_object() {
    let mut exits = BTreeSet::new();
    for code in Code::ALL.iter().filter(|code| **code != Code::ACCEPTED) {
        let home = Home::refusing(json!({"code": code.name()}));
        let told = home.run(&["whoelse"]);
        assert!(told.out.is_empty() && told.err.starts_with("chatctl: "), "{}: {told:?}", code.name());
        let object = home.run(&["--json", "whoelse"]);
        let error: Value = serde_json::from_str(object.err.trim_end()).expect("one object");
        // where no profile was named, an unknown one means that there is no account yet
        if *code != Code::UNKNOWN_PROFILE {
            assert_eq!(error["code"], code.name());
        }
        assert_eq!((error["exit"].as_i64(), object.code), (Some(told.code.into()), told.code), "{}", code.name());
        exits.insert(told.code);
    }
    let all: Vec<_> = exits.into_iter().collect();
    assert_eq!(all, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 70]);
}

#[test]
fn a_code_of_a_newer_chatd_is_a_refusal_that_says_so() {
    let home = Home::refusing(json!({"code": "quota_of_tomorrow"}));
    let told = home.run(&["whoelse"]);
    assert_eq!(told.code, 7);
    assert!(told.err.contains("newer chatctl"), "{told:?}");
}

#[test]
fn an_answer_that_makes_no_sense_is_10_and_none_is_3() {
    assert_eq!(Home::answering("whoelse", json!({"nonsense": true})).run(&["whoelse"]).code, 10);
    assert_eq!(Home::with(|_, _| Answer::HangUp).run(&["whoelse"]).code, 3);
}
