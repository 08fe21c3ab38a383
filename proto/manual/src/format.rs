//! How the objects of `--json` are described: each program lists its own as [`Object`]s, [`json_schema`] makes JSON Schema
//! (draft 2020-12) of them. Used for `schema`, by the manual, and by the tests, which hold every
//! object that a program prints against it.
//!
//! Objects are open: members are only added, and words come in addition to those listed.

use serde_json::{Map, Value, json};

/// What a member's value is.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Text of people.
    Text,
    /// An opaque id.
    Id,
    /// RFC 3339 in UTC with milliseconds.
    Time,
    /// A whole number, 0 or more.
    Count,
    /// Any whole number.
    Whole,
    /// Any number.
    Number,
    /// Yes or no.
    Flag,
    /// One of these words; more may come.
    Word(&'static [&'static str]),
    /// This, or null.
    Maybe(&'static Shape),
    /// A list.
    List(&'static Shape),
    /// An object inside.
    Members(&'static [Member]),
    /// Anything.
    Any,
}

/// A member of an object.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub shape: Shape,
    /// What it means, with its unit.
    pub about: &'static str,
    /// It is in every such object.
    pub always: bool,
}

/// An object that a program prints.
#[derive(Clone, Copy, Debug)]
pub struct Object {
    /// Its `type`.
    pub name: &'static str,
    /// Where it comes from.
    pub about: &'static str,
    /// What it has besides `v` and `type`.
    pub members: &'static [Member],
}

/// A member that every object of its kind has.
pub const fn member(name: &'static str, shape: Shape, about: &'static str) -> Member {
    Member { name, shape, about, always: true }
}

/// A member that only some have.
pub const fn sometimes(name: &'static str, shape: Shape, about: &'static str) -> Member {
    Member { name, shape, about, always: false }
}

impl Shape {
    /// A word or two for people.
    pub fn words(self) -> String {
        match self {
            Shape::Text => "text".to_owned(),
            Shape::Id => "id".to_owned(),
            Shape::Time => "time".to_owned(),
            Shape::Count | Shape::Whole => "whole number".to_owned(),
            Shape::Number => "number".to_owned(),
            Shape::Flag => "true or false".to_owned(),
            Shape::Word(words) => words.join(", "),
            Shape::Maybe(inner) => format!("{}, or null", inner.words()),
            Shape::List(inner) => format!("list of {}", inner.words()),
            Shape::Members(_) => "object".to_owned(),
            Shape::Any => "anything".to_owned(),
        }
    }

    fn schema(self) -> Value {
        match self {
            Shape::Text | Shape::Id => json!({"type": "string"}),
            Shape::Time => json!({"type": "string", "format": "date-time"}),
            Shape::Count => json!({"type": "integer", "minimum": 0}),
            Shape::Whole => json!({"type": "integer"}),
            Shape::Number => json!({"type": "number"}),
            Shape::Flag => json!({"type": "boolean"}),
            Shape::Word(words) => json!({"type": "string", "examples": words}),
            Shape::Maybe(inner) => json!({"anyOf": [inner.schema(), {"type": "null"}]}),
            Shape::List(inner) => json!({"type": "array", "items": inner.schema()}),
            Shape::Members(members) => members_schema(members),
            Shape::Any => json!({}),
        }
    }
}

fn members_schema(members: &[Member]) -> Value {
    let mut properties = Map::new();
    for member in members {
        let mut schema = member.shape.schema();
        if let (Some(object), false) = (schema.as_object_mut(), member.about.is_empty()) {
            object.insert("description".to_owned(), member.about.into());
        }
        properties.insert(member.name.to_owned(), schema);
    }
    let required: Vec<&str> = members.iter().filter(|m| m.always).map(|m| m.name).collect();
    json!({"type": "object", "properties": properties, "required": required})
}

impl Object {
    /// Its JSON Schema.
    pub fn schema(&self) -> Value {
        let mut schema = members_schema(self.members);
        if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
            properties.insert("v".to_owned(), json!({"const": 1, "description": "the format's number"}));
            properties.insert("type".to_owned(), json!({"const": self.name}));
        }
        if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
            required.extend(["v".into(), "type".into()]);
        }
        if let Some(object) = schema.as_object_mut() {
            object.insert("description".to_owned(), self.about.into());
        }
        schema
    }
}

/// One schema document: every object under `$defs` by its type, and as a whole any one of them.
pub fn json_schema(id: &str, objects: &[Object]) -> Value {
    let any: Vec<Value> = objects.iter().map(|object| json!({"$ref": format!("#/$defs/{}", object.name)})).collect();
    let defs: Map<String, Value> = objects.iter().map(|object| (object.name.to_owned(), object.schema())).collect();
    json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": id, "anyOf": any, "$defs": defs})
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERSON: &[Member] = &[member("user", Shape::Text, "who"), sometimes("away", Shape::Flag, "")];
    const OBJECTS: &[Object] = &[Object {
        name: "people",
        about: "a list",
        members: &[
            member("items", Shape::List(&Shape::Members(PERSON)), "in the order of names"),
            member("at", Shape::Maybe(&Shape::Time), "when"),
        ],
    }];

    #[test]
    fn members_become_properties() {
        let schema = json_schema("urn:x", OBJECTS);
        let people = &schema["$defs"]["people"];
        assert_eq!(people["properties"]["type"]["const"], "people");
        assert_eq!(people["required"], json!(["items", "at", "v", "type"]));
        let person = &people["properties"]["items"]["items"];
        assert_eq!(person["required"], json!(["user"]));
        assert_eq!(person["properties"]["away"]["type"], "boolean");
        assert_eq!(people["properties"]["at"]["anyOf"][0]["format"], "date-time");
        assert_eq!(OBJECTS[0].members[1].shape.words(), "time, or null");
    }
}
