//! `init`: from nothing to a server that can run. Refuses to overwrite, and checks before it writes. Where root calls it for the account
//! of the service, whose directories a package made, everything is that account's to read, and the data its own.

use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context as _, bail};
use chat_proto::id::Fingerprint;

use crate::config::{self, Layout, PORT, template};
use crate::{files, keys};

/// Everything under one directory is for trying out: it listens on this host alone, unless it was given a name.
const LOOPBACK: &str = "127.0.0.1";

/// What `init` is to make.
pub struct Wanted<'a> {
    /// Where.
    pub layout: &'a Layout,
    /// `--name`.
    pub name: Option<&'a str>,
    /// The host's own name.
    pub host_name: &'a str,
    /// `--self-signed`.
    pub self_signed: bool,
}

/// Makes directories, key, certificate, configuration and database. Answers the fingerprint of the key.
pub async fn init(wanted: &Wanted<'_>) -> anyhow::Result<Fingerprint> {
    let layout = wanted.layout;
    let (cert, key) = (layout.tls.join("fullchain.pem"), layout.tls.join("privkey.pem"));
    let mut made = vec![layout.config.clone(), keys::path(&layout.data)];
    if wanted.self_signed {
        made.extend([cert.clone(), key.clone()]);
    }
    if let Some(there) = made.iter().find(|path| path.exists()) {
        bail!(files::FileError::Exists(there.clone()));
    }
    directories(layout)?;
    let identity = keys::create(&layout.data)?;
    if wanted.self_signed {
        certificate(wanted.name.unwrap_or(wanted.host_name), &cert, &key)?;
    }
    let listen = (layout.own && wanted.name.is_none()).then(|| format!("{LOOPBACK}:{PORT}"));
    let text = template::text(layout, wanted.name.unwrap_or_default(), listen.as_deref());
    files::write_new(&layout.config, text.as_bytes(), 0o640)?;
    let config = config::load(layout, wanted.host_name)?;
    crate::prepare_store(&config).await?;
    Ok(identity.id().fingerprint())
}

fn directories(layout: &Layout) -> anyhow::Result<()> {
    if let Some(above) = layout.config.parent() {
        files::make_dir(above, 0o755)?;
    }
    files::make_dir(&layout.data, 0o700)?;
    files::make_dir(&layout.tls, 0o750)?;
    files::make_dir(&layout.run, 0o750)?;
    Ok(())
}

/// Makes a self-signed certificate for `name` and this host, and its key; refuses where one of the two is.
pub fn certificate(name: &str, cert: &Path, key: &Path) -> anyhow::Result<()> {
    if let Some(there) = [cert, key].into_iter().find(|path| path.exists()) {
        bail!(files::FileError::Exists(there.to_owned()));
    }
    let mut names: Vec<String> = vec![name.to_owned()];
    for name in ["localhost", LOOPBACK, "::1"] {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    let made = chat_link::self_signed(&names, SystemTime::now()).context("a self-signed certificate")?;
    files::write_new(key, made.key_pem.as_bytes(), files::key_mode(key.parent().unwrap_or(Path::new(""))))?;
    files::write_new(cert, made.cert_pem.as_bytes(), 0o644)?;
    Ok(())
}
