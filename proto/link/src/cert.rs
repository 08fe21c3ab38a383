//! Certificates: a self-signed one for a first start, and the TLS settings that a server serves.
//!
//! chat-server calls this at start and whenever its certificate files change. TLS 1.3 only: both ends are ours.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chat_proto::version::ALPN;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::{ServerConfig, version};
use zeroize::Zeroizing;

/// How long a self-signed certificate lasts: pins name the server's key, so nothing is gained by making it short.
const SELF_SIGNED_FOR: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// A certificate begins this long before it is made, for clients whose clocks are behind.
const BACKDATED_BY: Duration = Duration::from_secs(24 * 3600);

/// Why a certificate cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum CertError {
    /// The chain holds no certificate in PEM.
    #[error("no certificate in PEM: {0}")]
    Chain(String),
    /// The key file holds no private key in PEM.
    #[error("no private key in PEM: {0}")]
    Key(String),
    /// Key and certificate do not belong together, or cannot be used for TLS 1.3.
    #[error("certificate and key cannot be used: {0}")]
    Unusable(String),
    /// A name that no certificate can bear.
    #[error("no certificate can be made for these names: {0}")]
    Names(String),
}

/// A new certificate and its key, both in PEM.
pub struct SelfSigned {
    /// The certificate.
    pub cert_pem: String,
    /// Its secret key; wiped from memory when dropped.
    pub key_pem: Zeroizing<String>,
}

/// Makes a certificate for `names` (host names or addresses) that lasts ten years from `now`.
pub fn self_signed(names: &[String], now: SystemTime) -> Result<SelfSigned, CertError> {
    let unusable = |error: rcgen::Error| CertError::Names(error.to_string());
    let mut params = rcgen::CertificateParams::new(names.to_vec()).map_err(unusable)?;
    params.not_before = (now - BACKDATED_BY).into();
    params.not_after = (now + SELF_SIGNED_FOR).into();
    params.distinguished_name = rcgen::DistinguishedName::new();
    if let Some(name) = names.first() {
        params.distinguished_name.push(rcgen::DnType::CommonName, name.as_str());
    }
    let key = rcgen::KeyPair::generate().map_err(unusable)?;
    let cert = params.self_signed(&key).map_err(unusable)?;
    Ok(SelfSigned { cert_pem: cert.pem(), key_pem: Zeroizing::new(key.serialize_pem()) })
}

/// A new private key in PEM.
pub fn new_key() -> Result<Zeroizing<String>, CertError> {
    let key = rcgen::KeyPair::generate().map_err(|error| CertError::Key(error.to_string()))?;
    Ok(Zeroizing::new(key.serialize_pem()))
}

/// A request for a certificate for `names`, in PEM, that a certificate authority takes; proves that its sender holds the key.
pub fn request(names: &[String], key_pem: &[u8]) -> Result<String, CertError> {
    let unusable = |error: rcgen::Error| CertError::Names(error.to_string());
    let text = std::str::from_utf8(key_pem).map_err(|error| CertError::Key(error.to_string()))?;
    let key = rcgen::KeyPair::from_pem(text).map_err(|error| CertError::Key(error.to_string()))?;
    let mut params = rcgen::CertificateParams::new(names.to_vec()).map_err(unusable)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    if let Some(name) = names.first() {
        params.distinguished_name.push(rcgen::DnType::CommonName, name.as_str());
    }
    params.serialize_request(&key).and_then(|request| request.pem()).map_err(unusable)
}

/// What a server serves: the certificate chain (its own first), TLS 1.3, our protocol alone.
///
/// No early data (S3), no tickets and no resumption: a device key logs in as quickly and keeps nothing per client.
pub fn server_config(chain_pem: &[u8], key_pem: &[u8]) -> Result<Arc<ServerConfig>, CertError> {
    let chain = certificates(chain_pem)?;
    let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(|error| CertError::Key(error.to_string()))?;
    let unusable = |error: rustls::Error| CertError::Unusable(error.to_string());
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unusable)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}

/// The certificates of a PEM text, at least one.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| CertError::Chain(error.to_string()))?;
    if chain.is_empty() {
        return Err(CertError::Chain("the file holds none".into()));
    }
    Ok(chain)
}

/// Makes aws-lc-rs the provider of the process: the first line of every `main`.
///
/// Another crate may bring a second provider along, and a builder that has to choose between two panics.
pub fn install_provider() {
    // Fails only when a provider was installed before, and then there is nothing to choose.
    let _ = aws_lc_rs::default_provider().install_default();
}

/// The provider, named to every builder of this crate.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
