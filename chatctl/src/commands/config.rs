//! profile, trust, config.

use std::path::Path;

use chat_proto::control::config::{self as control, Profile, Trusted};

use super::Context;
use crate::args;
use crate::json::{self, Json, ToJson, members};
use crate::output::{End, Form, Shown};
use crate::settings::{self, Setting, Settings};
use crate::text::{edited_from, from_file};
use crate::time::iso;
use crate::words::{self, ask, troubles};

/// `profile`.
pub async fn profile(ctx: &mut Context, args: args::Profile) -> Result<(), End> {
    match args {
        args::Profile::List => profile_list(ctx).await,
        args::Profile::Add { name } => {
            let profile = ctx.call(&control::ProfileAdd { name }).await?;
            profile_changed(ctx, &profile, &words::profile_added(&profile.name))
        }
        args::Profile::Default { name } => {
            let profile = ctx.call(&control::ProfileDefault { name }).await?;
            profile_changed(ctx, &profile, &words::profile_default(&profile.name))
        }
        args::Profile::Remove { name, force } => profile_remove(ctx, name, force).await,
    }
}

async fn profile_list(ctx: &mut Context) -> Result<(), End> {
    let profiles = ctx.call(&control::ProfileList {}).await?.items;
    match ctx.out.form {
        Form::Json => {
            ctx.out.object("profiles", json::items(profiles.iter().map(json::profile)))?;
        }
        Form::Plain => profiles.iter().try_for_each(|profile| profile_row(ctx, profile))?,
        Form::Human => profiles.iter().try_for_each(|profile| ctx.out.line(&words::profile(profile)))?,
    }
    ctx.listed(profiles.is_empty())
}

fn profile_row(ctx: &Context, profile: &Profile) -> Result<(), End> {
    let default = if profile.default { "yes" } else { "no" };
    let link = json::link(profile.link);
    ctx.out.row(&[&profile.name, &profile.user, &profile.server, &link, default])
}

fn profile_changed(ctx: &Context, profile: &Profile, words: &str) -> Result<(), End> {
    match ctx.out.form {
        Form::Json => ctx.out.object("profile", json::profile(profile)),
        Form::Plain => profile_row(ctx, profile),
        Form::Human => ctx.out.success(words),
    }
}

async fn profile_remove(ctx: &mut Context, name: String, force: bool) -> Result<(), End> {
    if !ctx.prompt.confirm(&ask::wipe(&name), "--yes").await? {
        return Err(troubles::declined().into());
    }
    ctx.restart_clock();
    ctx.call(&control::ProfileRemove { name: name.clone(), force }).await?;
    match ctx.out.form {
        Form::Json => ctx.out.object("profile", members!({ "name": name, "removed": true })),
        Form::Plain => ctx.out.row(&[&name, "removed"]),
        Form::Human => ctx.out.success(&words::profile_removed(&name)),
    }
}

/// `trust`.
pub async fn trust(ctx: &mut Context, args: args::Trust) -> Result<(), End> {
    match args {
        args::Trust::List => {
            let keys = ctx.call(&control::TrustList {}).await?.items;
            trust_list(ctx, &keys)?;
            ctx.listed(keys.is_empty())
        }
        args::Trust::Show { name } => {
            let mut keys = ctx.call(&control::TrustList {}).await?.items;
            keys.retain(|key| is_meant(&key.name, &name));
            if keys.is_empty() {
                return Err(troubles::unknown_trust(&name).into());
            }
            trust_list(ctx, &keys)
        }
        args::Trust::Accept { fingerprint } => {
            let key = ctx.call(&control::TrustAccept { fingerprint }).await?;
            match ctx.out.form {
                Form::Human => ctx.out.success(&words::trust_accepted(&key)),
                _ => trust_list(ctx, &[key]),
            }
        }
        args::Trust::Remove { name } => {
            ctx.call(&control::TrustRemove { name: name.clone() }).await?;
            match ctx.out.form {
                Form::Json => ctx.out.object("trust", members!({ "name": name, "removed": true })),
                Form::Plain => ctx.out.row(&[&name, "removed"]),
                Form::Human => ctx.out.success(&words::trust_removed(&name)),
            }
        }
    }
}

/// `HOST` means every port of it.
fn is_meant(known: &str, typed: &str) -> bool {
    let host = known.rsplit_once(':').map_or(known, |(host, _)| host);
    known.eq_ignore_ascii_case(typed) || host.eq_ignore_ascii_case(typed)
}

fn trust_list(ctx: &Context, keys: &[Trusted]) -> Result<(), End> {
    match ctx.out.form {
        Form::Json => ctx.out.object("trust", json::items(keys.iter().map(json::trusted))),
        Form::Plain => keys.iter().try_for_each(|key| {
            ctx.out.row(&[&key.kind, &key.name, &key.fingerprint.to_string(), &iso(key.since_ms), &key.by])
        }),
        Form::Human => keys.iter().try_for_each(|key| ctx.out.line(&words::trusted(key, &ctx.out.clock))),
    }
}

/// `config`: answered here, without chatd running.
pub async fn config(ctx: &mut Context, args: args::Config) -> Result<(), End> {
    match args {
        args::Config::Path => config_path(ctx),
        args::Config::Check => config_check(ctx),
        args::Config::Get { key } => config_get(ctx, &key),
        args::Config::Set { key, value } => config_set(ctx, &key, &value).await,
        args::Config::List => config_list(ctx),
        args::Config::Edit => config_edit(ctx).await,
    }
}

fn config_path(ctx: &Context) -> Result<(), End> {
    let places = ctx.places()?;
    let socket = places.sockets().into_iter().next().unwrap_or_default();
    let paths = [
        ("config", places.layout.config_file()),
        ("data", places.layout.data.clone()),
        ("state", places.layout.state.clone()),
        ("log", places.layout.log_file()),
        ("socket", socket),
    ];
    match ctx.out.form {
        Form::Json => {
            let members = paths.iter().map(|(name, path)| (*name, path.to_string_lossy().to_json()));
            ctx.out.object("config", Json::object(&members.collect::<Vec<_>>()))
        }
        Form::Plain => paths.iter().try_for_each(|(name, path)| ctx.out.row(&[name, &path.to_string_lossy()])),
        Form::Human => paths
            .iter()
            .try_for_each(|(name, path)| ctx.out.line(&format!("{name:<7} {}", Shown::line(&path.to_string_lossy())))),
    }
}

/// chatd knows what its configuration means, so it is asked: `chatd --check` reads and judges, and starts nothing.
fn config_check(ctx: &Context) -> Result<(), End> {
    let places = ctx.places()?;
    let file = places.layout.config_file();
    settings::judge(&places, None)?;
    match ctx.out.form {
        Form::Json => ctx.out.object("config", members!({ "ok": true, "config": file.to_string_lossy() })),
        Form::Plain => ctx.out.row(&["ok", &file.to_string_lossy()]),
        Form::Human => ctx.out.success(&words::config_ok(&file, file.exists())),
    }
}

fn config_get(ctx: &Context, key: &str) -> Result<(), End> {
    let places = ctx.places()?;
    let all = Settings::read(&places)?.all()?;
    let found = all.iter().find(|setting| setting.key == key).ok_or_else(|| troubles::no_setting(key))?;
    match ctx.out.form {
        Form::Json => ctx.out.object("config", one_setting(&places.layout.config_file(), found)),
        Form::Plain => ctx.out.row(&[bare(&found.value)]),
        Form::Human => ctx.out.line(&Shown::line(bare(&found.value)).to_string()),
    }
}

/// A text without its quotes, for scripts.
fn bare(value: &str) -> &str {
    value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value)
}

fn one_setting(file: &Path, setting: &Setting) -> Json {
    members!({
        "config": file.to_string_lossy(),
        "key": setting.key,
        "value": bare(&setting.value),
        "default": setting.default,
    })
}

fn config_list(ctx: &Context) -> Result<(), End> {
    let places = ctx.places()?;
    let all = Settings::read(&places)?.all()?;
    let item =
        |s: &Setting| members!({ "key": s.key, "value": bare(&s.value), "default": s.default, "about": s.about });
    match ctx.out.form {
        Form::Json => {
            let config = members!({ "config": places.layout.config_file().to_string_lossy() });
            ctx.out.object("config", config.with("items", &Json::list(all.iter().map(item))))
        }
        Form::Plain => all.iter().try_for_each(|s| {
            ctx.out.row(&[&s.key, bare(&s.value), if s.default { "default" } else { "set" }, &s.about])
        }),
        Form::Human => {
            all.iter().try_for_each(|s| ctx.out.line(&words::setting(&s.key, &s.value, s.default, &s.about)))
        }
    }
}

async fn config_set(ctx: &mut Context, key: &str, value: &str) -> Result<(), End> {
    let places = ctx.places()?;
    let value = Settings::read(&places)?.set(key, value)?;
    let running = ctx.dial().await.is_ok_and(|daemon| daemon.is_some());
    match ctx.out.form {
        Form::Json => {
            let setting = Setting { key: key.to_owned(), value, default: false, about: String::new() };
            ctx.out.object("config", one_setting(&places.layout.config_file(), &setting))
        }
        Form::Plain => ctx.out.row(&[key, bare(&value)]),
        Form::Human => ctx.out.success(&words::setting_changed(key, &value, running)),
    }
}

/// The editor is given a copy; what chatd refuses can be edited again and never takes the file's place.
async fn config_edit(ctx: &mut Context) -> Result<(), End> {
    let places = ctx.places()?;
    let file = places.layout.config_file();
    // A file that is wrong is edited too: that is how it is mended.
    let before = match Settings::read(&places) {
        Ok(settings) => settings.text()?,
        Err(_) => from_file(&file)?,
    };
    let mut text = before.clone();
    loop {
        let edited = edited_from(ctx.prompt, &text, "config set KEY VALUE");
        // Not a message's trouble.
        text = edited.map_err(|trouble| trouble.next("config list"))?;
        if text == before {
            ctx.out.note(words::CONFIG_UNCHANGED);
            return Ok(());
        }
        let Err(trouble) = settings::replace(&places, &text) else { break };
        ctx.out.trouble(&trouble);
        if !ctx.prompt.confirm(ask::EDIT_AGAIN, "--yes").await? {
            return Err(End::Quiet(trouble.exit));
        }
    }
    ctx.restart_clock();
    let running = ctx.dial().await.is_ok_and(|daemon| daemon.is_some());
    match ctx.out.form {
        Form::Json => ctx.out.object("config", members!({ "ok": true, "config": file.to_string_lossy() })),
        Form::Plain => ctx.out.row(&["ok", &file.to_string_lossy()]),
        Form::Human => ctx.out.success(&words::config_written(&file, running)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_means_all_its_ports() {
        assert!(is_meant("chat.lan:7443", "chat.lan"));
        assert!(is_meant("chat.lan:7443", "CHAT.lan:7443"));
        assert!(is_meant("[::1]:7443", "[::1]"));
        assert!(!is_meant("chat.lan:7443", "lan"));
    }
}
