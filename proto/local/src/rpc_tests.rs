//! Tests of the envelopes against the text of JSON-RPC 2.0, and of the client against a scripted other side.

use serde_json::json;

use super::*;

fn refused(line: &str) -> (Value, i64) {
    let response = serde_json::to_value(Incoming::parse(line).expect_err("refused")).expect("JSON");
    assert_eq!(response["jsonrpc"], "2.0");
    (response["id"].clone(), response["error"]["code"].as_i64().expect("a code"))
}

#[test]
fn requests_are_read() {
    let incoming =
        Incoming::parse(r#"{"jsonrpc":"2.0","id":7,"method":"send","params":{"to":"bob"},"later":1}"#).expect("good");
    assert_eq!(incoming, Incoming { id: Some(Id::Number(7)), method: "send".into(), params: json!({"to": "bob"}) });
    let bare = Incoming::parse(r#"{"jsonrpc":"2.0","id":"a","method":"status"}"#).expect("good");
    assert_eq!((bare.id.clone(), bare.params.clone()), (Some(Id::Text("a".into())), json!({})));
    let event = Incoming::parse(r#"{"jsonrpc":"2.0","method":"typing","params":[1]}"#).expect("good");
    assert_eq!(event.answer(Ok(json!(1))), None);
}

#[test]
fn what_is_no_request_is_answered_with_the_standard_code() {
    assert_eq!(refused("{]"), (Value::Null, PARSE_ERROR));
    assert_eq!(refused(""), (Value::Null, PARSE_ERROR));
    assert_eq!(refused(&"[".repeat(100_000)), (Value::Null, PARSE_ERROR));
    for line in ["[]", "1", "null", r#"{"id":null}"#, r#"{"id":1.5}"#, r#"{"id":{}}"#] {
        assert_eq!(refused(line), (Value::Null, INVALID_REQUEST), "{line}");
    }
    for rest in
        [r#""method":"x""#, r#""jsonrpc":"1.0","method":"x""#, r#""jsonrpc":"2.0""#, r#""jsonrpc":"2.0","method":1"#]
    {
        assert_eq!(refused(&format!(r#"{{"id":3,{rest}}}"#)), (json!(3), INVALID_REQUEST), "{rest}");
    }
    assert_eq!(refused(r#"{"jsonrpc":"2.0","id":"k","method":"x","params":5}"#), (json!("k"), INVALID_REQUEST));
}

#[test]
fn parameters_have_a_type() {
    #[derive(Debug, Deserialize)]
    struct To {
        to: String,
    }
    let request = |params| Incoming { id: None, method: "send".into(), params };
    assert_eq!(request(json!({"to": "bob"})).params::<To>().expect("good").to, "bob");
    assert_eq!(request(json!({})).params::<To>().expect_err("missing").code, INVALID_PARAMS);
    assert_eq!(ErrorObject::method_not_found("x").code, METHOD_NOT_FOUND);
}

#[test]
fn responses_have_exactly_one_outcome() {
    let text = |response: Response| serde_json::to_string(&response).expect("JSON");
    assert_eq!(text(Response::ok(Id::Number(1), json!({"a": 1}))), r#"{"jsonrpc":"2.0","id":1,"result":{"a":1}}"#);
    let error = ErrorObject::new(4, "no");
    assert_eq!(text(Response::error(None, error)), r#"{"jsonrpc":"2.0","id":null,"error":{"code":4,"message":"no"}}"#);
    let null: Response = serde_json::from_str(r#"{"jsonrpc":"2.0","id":1,"result":null}"#).expect("a result of null");
    assert_eq!(null.into_result(), Ok(Value::Null));
    serde_json::from_str::<Response>(r#"{"jsonrpc":"2.0","id":1}"#).expect_err("no outcome");
}

fn pair() -> (Client, Connection) {
    let (ours, theirs) = tokio::io::duplex(1024 * 1024);
    (Client::new(Connection::over(ours)), Connection::over(theirs))
}

async fn next(server: &mut Connection) -> Incoming {
    let line = server.recv_line().await.expect("a line").expect("open");
    Incoming::parse(&line).expect("a request")
}

#[tokio::test]
async fn a_call_finds_its_answer_among_events_and_late_answers() {
    let (mut client, mut server) = pair();
    let serve = async {
        let incoming = next(&mut server).await;
        assert_eq!((incoming.method.as_str(), &incoming.params), ("double", &json!({"n": 4})));
        server.send(&Response::ok(Id::Number(99), json!("late"))).await.expect("sent");
        server.send(&Notification::new("message", json!({"text": "hi"}))).await.expect("sent");
        server.send(&incoming.answer(Ok(json!(8)))).await.expect("sent");
    };
    let (doubled, ()) = tokio::join!(client.call::<_, u32>("double", json!({"n": 4})), serve);
    assert_eq!(doubled.expect("answered"), 8);
    let event = client.next_event().await.expect("kept").expect("open");
    assert_eq!((event.method.as_str(), &event.params["text"]), ("message", &json!("hi")));
    drop(server);
    assert_eq!(client.next_event().await.expect("closed"), None);
    assert!(matches!(client.call::<_, Value>("status", json!({})).await, Err(RpcError::Line(_) | RpcError::Closed)));
}

#[tokio::test]
async fn refusals_and_strange_answers_are_told_apart() {
    let (mut client, mut server) = pair();
    let serve = async {
        let incoming = next(&mut server).await;
        server.send(&incoming.answer(Err(ErrorObject::method_not_found("x")))).await.expect("sent");
        let incoming = next(&mut server).await;
        server.send(&incoming.answer(Ok(json!("text")))).await.expect("sent");
        next(&mut server).await;
        server.send(&json!({"neither": 1})).await.expect("sent");
    };
    let ask = async {
        let refused = client.call::<_, u32>("x", json!({})).await;
        assert!(matches!(refused, Err(RpcError::Refused(error)) if error.code == METHOD_NOT_FOUND));
        assert!(matches!(client.call::<_, u32>("y", json!({})).await, Err(RpcError::Result(_))));
        assert!(matches!(client.call::<_, u32>("z", json!({})).await, Err(RpcError::Line(LineError::Json(_)))));
    };
    tokio::join!(ask, serve);
}

#[tokio::test]
async fn too_many_events_are_reported_as_missed() {
    let (mut client, mut server) = pair();
    let serve = async {
        let incoming = next(&mut server).await;
        for number in 0..=CONTROL_EVENTS {
            server.send(&Notification::new("tick", json!(number))).await.expect("sent");
        }
        server.send(&incoming.answer(Ok(Value::Null))).await.expect("sent");
    };
    let (called, ()) = tokio::join!(client.call::<_, ()>("wait", json!({})), serve);
    called.expect("answered");
    assert!(matches!(client.next_event().await, Err(RpcError::EventsMissed)));
    assert_eq!(client.next_event().await.expect("kept").expect("open").params, json!(CONTROL_EVENTS));
}
