//! rpc, call: the control protocol itself, for programs that would rather speak than parse.

use std::io::{BufRead, Read};

use chat_local::connection::LineError;
use chat_local::json::escaped;
use chat_local::rpc::{ErrorObject, PARSE_ERROR, Response};
use chat_proto::control::METHODS;
use chat_proto::control::message::{Pending, State};
use chat_proto::limits::CONTROL_LINE_MAX;
use serde_json::{Map, Value};
use tokio::sync::mpsc;

use super::Context;
use crate::args;
use crate::exit::Exit;
use crate::key;
use crate::output::{End, Trouble};
use crate::time::{Clock, milliseconds, parse_moment};
use crate::words::troubles;

/// Lines that wait for chatd; more wait in the pipe.
const LINES: usize = 16;

/// `rpc`: lines from stdin to chatd, lines from chatd to stdout.
pub async fn rpc(ctx: &mut Context) -> Result<(), End> {
    let filler = Filler::new(ctx).await?;
    ctx.daemon().await?;
    let Some(daemon) = ctx.take_daemon() else { return Err(troubles::not_running().into()) };
    let (mut reader, mut writer) = daemon.into_connection().split();
    let (lines, mut typed) = mpsc::channel(LINES);
    std::thread::spawn(move || read_lines(&lines));
    let (mut open, mut unanswered) = (true, 0_u64);
    // What was asked before stdin ended is answered.
    while open || unanswered > 0 {
        tokio::select! {
            line = typed.recv(), if open => match line {
                None => open = false,
                Some(line) => match request(&filler, &line) {
                    Ok(request) => {
                        unanswered += u64::from(is_answered(&request));
                        writer.send(&request).await.map_err(broken)?;
                    }
                    Err(answer) => ctx.out.line(&answer)?,
                },
            },
            line = reader.recv_line() => match line.map_err(broken)? {
                Some(line) => {
                    unanswered = unanswered.saturating_sub(u64::from(is_answer(&line)));
                    ctx.out.line(&escaped(&line))?;
                }
                None => return Err(troubles::broken("chatd went away").into()),
            },
        }
    }
    Ok(())
}

/// Will chatd answer this? A well-formed notification is the one thing that it does not.
fn is_answered(request: &Value) -> bool {
    let params = &request["params"];
    let whole =
        request["jsonrpc"] == "2.0" && request["method"].is_string() && (params.is_object() || params.is_array());
    request.get("id").is_some() || !whole
}

/// An answer, and no event.
fn is_answer(line: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Said {
        method: Option<serde::de::IgnoredAny>,
    }
    serde_json::from_str::<Said>(line).is_ok_and(|said| said.method.is_none())
}

fn broken(error: LineError) -> End {
    troubles::broken(&error.to_string()).into()
}

/// Whole lines of stdin, until it ends or nobody wants them.
fn read_lines(lines: &mpsc::Sender<Vec<u8>>) {
    let mut stdin = std::io::stdin().lock();
    loop {
        let mut line = Vec::new();
        let bound = CONTROL_LINE_MAX as u64 + 1;
        match (&mut stdin).take(bound).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) if line.iter().all(u8::is_ascii_whitespace) => {}
            Ok(_) => {
                if lines.blocking_send(line).is_err() {
                    return;
                }
            }
        }
    }
}

/// The request that a line is, with what was missing; or the answer to a line that cannot be passed on.
fn request(filler: &Filler, line: &[u8]) -> Result<Value, String> {
    let mut request: Value = serde_json::from_slice(line).map_err(|error| refused(error.to_string()))?;
    if let Value::Object(members) = &mut request
        && let Some(method) = members.get("method").and_then(Value::as_str).map(str::to_owned)
        && let Value::Object(params) = members.entry("params").or_insert_with(|| Value::Object(Map::new()))
    {
        filler.fill(&method, params).map_err(|trouble| refused(trouble.what))?;
    }
    if request.to_string().len() > CONTROL_LINE_MAX {
        return Err(refused(LineError::TooLong.to_string()));
    }
    Ok(request)
}

fn refused(why: String) -> String {
    // A response is always JSON.
    serde_json::to_string(&Response::error(None, ErrorObject::new(PARSE_ERROR, why))).unwrap_or_default()
}

/// `call`: one method, its result on stdout.
pub async fn call(ctx: &mut Context, args: args::CallArgs) -> Result<(), End> {
    let method = args.method.replace(['-', ' '], "_");
    if !METHODS.contains(&method.as_str()) {
        return Err(troubles::unknown_method(&args.method, METHODS).into());
    }
    let mut params = params(args.parameters.as_deref())?;
    Filler::new(ctx).await?.fill(&method, &mut params)?;
    ctx.restart_clock();
    let deadline = ctx.deadline();
    let result = ctx.daemon().await?.call_named(&method, &Value::Object(params), deadline).await;
    let result = result.map_err(|error| ctx.refused(error))?;
    ctx.out.line(&escaped(&result.to_string()))?;
    ended(&result)
}

fn params(json: Option<&str>) -> Result<Map<String, Value>, End> {
    let text = match json {
        None => return Ok(Map::new()),
        Some("-") => std::io::read_to_string(std::io::stdin().lock().take(CONTROL_LINE_MAX as u64))
            .map_err(|error| troubles::unreadable("stdin", &error))?,
        Some(text) => text.to_owned(),
    };
    serde_json::from_str(&text).map_err(|error| troubles::bad_params(&error.to_string()).into())
}

/// A result that is a success, but not all that was asked for, ends as the command does.
fn ended(result: &Value) -> Result<(), End> {
    let pending = serde_json::from_value::<Pending>(result["pending"].clone());
    match pending {
        Ok(Pending::Unreachable) => Err(End::Quiet(Exit::Unreachable)),
        Ok(Pending::TimedOut) => Err(End::Quiet(Exit::TimedOut)),
        Err(_) if result["missed"] == true => Err(End::Quiet(Exit::Partly)),
        Err(_) => Ok(()),
    }
}

/// What a command line fills in by itself.
struct Filler {
    profile: String,
    timeout_ms: u64,
    clock: Clock,
}

/// Long flags and arguments whose parameter has another name: method, as typed, parameter.
const NAMES: &[(&str, &str, &str)] = &[
    ("message", "user", "to"),
    ("message", "id", "key"),
    ("broadcast", "id", "key"),
    ("ack", "name", "cursor"),
    ("read", "n", "limit"),
    ("inbox", "n", "limit"),
];

impl Filler {
    async fn new(ctx: &mut Context) -> Result<Filler, End> {
        Ok(Filler {
            profile: ctx.profile().await?,
            timeout_ms: milliseconds(ctx.global.timeout),
            clock: ctx.out.clock.clone(),
        })
    }

    /// Adds what is missing and calls things by their parameter's name; what is given stays.
    fn fill(&self, method: &str, params: &mut Map<String, Value>) -> Result<(), Trouble> {
        for (_, typed, name) in NAMES.iter().filter(|(of, ..)| *of == method) {
            if let Some(value) = params.remove(*typed) {
                params.entry(*name).or_insert(value);
            }
        }
        let mut fill = |name: &str, value: Value| {
            params.entry(name).or_insert(value);
        };
        fill("profile", self.profile.clone().into());
        fill("timeout_ms", self.timeout_ms.into());
        if matches!(method, "message" | "broadcast") {
            fill("wait", State::Accepted.word().into());
            fill("key", key::given_or_fresh(None)?.into());
        }
        if method == "status" && params.get("wait").and_then(Value::as_str) == Some("online") {
            params.entry("wait_online_ms").or_insert(self.timeout_ms.into());
        }
        self.moments(method, params);
        Ok(())
    }

    /// Times as they are typed. What is no time is left to chatd, which may know it as an id.
    fn moments(&self, method: &str, params: &mut Map<String, Value>) {
        let of_time = matches!(method, "read" | "search" | "export");
        let Some(typed) = params.get("since").and_then(Value::as_str).filter(|_| of_time) else { return };
        match parse_moment(typed, self.clock.now, &self.clock.zone) {
            Ok(moment) => {
                params.remove("since");
                params.entry("since_ms").or_insert(moment.into());
            }
            Err(_) if method == "export" => {
                let id = params.remove("since").unwrap_or_default();
                params.entry("after").or_insert(id);
            }
            Err(_) => {}
        }
    }
}
