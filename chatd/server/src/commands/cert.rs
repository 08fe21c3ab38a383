//! `cert`: the server's key and its certificate.

use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use chat_server::admin::init;
use chat_server::certificate::{self, Certificate, now_ms};
use chat_server::config::{Config, Layout};
use chat_server::{files, keys};
use serde::Serialize;

use super::check::act as say_findings;
use super::{json, local, rfc3339, say};
use crate::args::{Args, CertVerb, Check, What};

/// Does one of them.
pub fn act(
    args: &Args,
    layout: &Layout,
    config: &Config,
    verb: &CertVerb,
    host_name: &str,
    program: &str,
) -> anyhow::Result<ExitCode> {
    match verb {
        CertVerb::Fingerprint => fingerprint(args, config),
        CertVerb::SelfSigned => self_signed(args, config, program),
        CertVerb::Show => show(args, config),
        CertVerb::Csr { name } => csr(args, config, name),
        CertVerb::WatchTest => {
            let wanted = Check { what: Some(What::Tls), nagios: false };
            say_findings(args, layout, &wanted, host_name, program)
        }
    }
}

fn fingerprint(args: &Args, config: &Config) -> anyhow::Result<ExitCode> {
    let print = keys::load(&config.data)?.identity.id().fingerprint().to_string();
    if args.json {
        return say(&json("fingerprint", &Fingerprint { fingerprint: &print })?);
    }
    say(&print)
}

fn self_signed(args: &Args, config: &Config, program: &str) -> anyhow::Result<ExitCode> {
    init::certificate(&config.name, &config.cert, &config.key)?;
    let file = config.cert.display().to_string();
    if args.json {
        return say(&json("certificate", &File { file: &file })?);
    }
    say(&format!("certificate {file}; clients trust the server by its key: {program} cert fingerprint"))
}

fn show(args: &Args, config: &Config) -> anyhow::Result<ExitCode> {
    let pem = files::read(&config.cert)?;
    let chain = certificate::read(&pem).map_err(|error| anyhow::anyhow!("{}: {error}", config.cert.display()))?;
    let now = now_ms(SystemTime::now());
    if args.json {
        let items = chain.iter().map(|one| Item::of(one, now)).collect();
        return say(&json("certificates", &Items { file: &config.cert.display().to_string(), items })?);
    }
    let mut out = vec![config.cert.display().to_string()];
    for (index, one) in chain.iter().enumerate() {
        out.push(format!("{} {}", index + 1, one.subject));
        if !one.names.is_empty() {
            out.push(format!("  names    {}", one.names.join(", ")));
        }
        out.push(format!("  made by  {}", if one.self_signed { "itself" } else { &one.issuer }));
        let days = one.days_left(now);
        out.push(format!("  valid    {} to {} ({days} days left)", local(one.not_before_ms), local(one.not_after_ms)));
        out.push(format!("  sha256   {}", one.sha256));
    }
    say(&out.join("\n"))
}

/// A request for a certificate authority, signed by the key that is there, or by a new one.
fn csr(args: &Args, config: &Config, names: &[String]) -> anyhow::Result<ExitCode> {
    let names = if names.is_empty() { vec![config.name.clone()] } else { names.to_vec() };
    if !config.key.exists() {
        let key = chat_link::cert::new_key()?;
        let above = config.key.parent().unwrap_or(Path::new(""));
        files::write_new(&config.key, key.as_bytes(), files::key_mode(above))?;
    }
    let key = files::read_secret(&config.key)?;
    let request = chat_link::cert::request(&names, &key)?;
    if args.json {
        return say(&json("request", &Request { names: &names, pem: &request })?);
    }
    say(request.trim_end())
}

#[derive(Serialize)]
struct Fingerprint<'a> {
    fingerprint: &'a str,
}

#[derive(Serialize)]
struct File<'a> {
    file: &'a str,
}

#[derive(Serialize)]
struct Request<'a> {
    names: &'a [String],
    pem: &'a str,
}

#[derive(Serialize)]
struct Items<'a> {
    file: &'a str,
    items: Vec<Item<'a>>,
}

/// A certificate as it is printed, in this order.
#[derive(Serialize)]
struct Item<'a> {
    subject: &'a str,
    issuer: &'a str,
    names: &'a [String],
    not_before: String,
    not_after: String,
    days_left: i64,
    self_signed: bool,
    sha256: &'a str,
}

impl Item<'_> {
    fn of(one: &Certificate, now_ms: i64) -> Item<'_> {
        Item {
            subject: &one.subject,
            issuer: &one.issuer,
            names: &one.names,
            not_before: rfc3339(one.not_before_ms),
            not_after: rfc3339(one.not_after_ms),
            days_left: one.days_left(now_ms),
            self_signed: one.self_signed,
            sha256: &one.sha256,
        }
    }
}
