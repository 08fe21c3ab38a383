//! Every JSON object that a test sees is held against the schema that its program prints of itself: what is not described there, or
//! is another than described, fails the test that saw it. Called by [`crate::Output`] and [`crate::watch::Watch`].

use std::collections::HashMap;
use std::sync::OnceLock;

use jsonschema::Validator;
use serde_json::Value;

use crate::process::command;

type Schemas = HashMap<String, Validator>;

/// The object must be one that the program says it prints.
#[track_caller]
pub fn check(program: &str, object: &Value) {
    static CHATCTL: OnceLock<Schemas> = OnceLock::new();
    static SERVER: OnceLock<Schemas> = OnceLock::new();
    let schemas = if program == "chat-server" { &SERVER } else { &CHATCTL };
    if let Err(why) = fits(schemas.get_or_init(|| load(program)), object) {
        panic!("{why}: mend it in schema.rs of {program}, or the object: {object}");
    }
}

fn fits(schemas: &Schemas, object: &Value) -> Result<(), String> {
    let name = object["type"].as_str().unwrap_or_default();
    let schema = schemas.get(name).ok_or_else(|| format!("the schema has no object of type {name:?}"))?;
    let wrong: Vec<String> =
        schema.iter_errors(object).map(|error| format!("{error} at {:?}", error.instance_path().to_string())).collect();
    if wrong.is_empty() { Ok(()) } else { Err(format!("an object of type {name:?}: {}", wrong.join("; "))) }
}

/// The program's own schema, closed: a member that it does not describe is an error here, though a newer program may add some.
fn load(program: &str) -> Schemas {
    let output = command(program).arg("schema").output().expect("the program can be run");
    let document: Value = serde_json::from_slice(&output.stdout).expect("schema prints JSON");
    let objects = document["$defs"].as_object().expect("definitions").clone();
    let compile = |(name, mut schema): (String, Value)| {
        close(&mut schema);
        let validator = jsonschema::options().should_validate_formats(true).build(&schema).expect("a sound schema");
        (name, validator)
    };
    objects.into_iter().map(compile).collect()
}

fn close(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if members.contains_key("properties") {
                members.insert("additionalProperties".to_owned(), false.into());
            }
            members.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_not_described_is_found() {
        for program in ["chatctl", "chat-server"] {
            assert!(load(program).contains_key("error"), "{program}");
        }
        let schemas = load("chatctl");
        let good = json!({"v": 1, "type": "heartbeat", "at": "2026-11-22T14:02:11.120Z"});
        assert_eq!(fits(&schemas, &good), Ok(()));
        let wrong = [
            json!({"v": 1, "type": "nonsense"}),
            json!({"v": 1, "type": "heartbeat"}),
            json!({"v": 2, "type": "heartbeat", "at": "2026-11-22T14:02:11.120Z"}),
            json!({"v": 1, "type": "heartbeat", "at": "yesterday"}),
            json!({"v": 1, "type": "heartbeat", "at": "2026-11-22T14:02:11.120Z", "more": 1}),
            json!({"v": 1, "type": "blocked", "items": [{"user": "bob", "why": "rude"}]}),
        ];
        for object in wrong {
            assert!(fits(&schemas, &object).is_err(), "{object}");
        }
    }
}
