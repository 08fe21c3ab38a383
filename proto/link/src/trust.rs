//! Whether a certificate is vouched for: asked always, decided by the caller.
//!
//! A server whose key is pinned may bear any certificate, so a bad certificate does not end the handshake here; its
//! fault is handed to the caller, who goes on only with a pin (S2). Handshake signatures are always verified.

use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_platform_verifier::Verifier;

use crate::cert::{CertError, certificates, provider};

/// What is wrong with a server's certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateProblem {
    /// It was valid once.
    #[error("the certificate has expired")]
    Expired,
    /// It will be valid, or this host's clock is wrong.
    #[error("the certificate is not valid yet: is the clock of this host right?")]
    NotYetValid,
    /// It is for other names than the one connected to.
    #[error("the certificate is for another name")]
    WrongName,
    /// No authority known here signed it; self-signed ones are of this kind.
    #[error("the certificate is not signed by a known authority")]
    UnknownIssuer,
    /// Anything else, in the library's words.
    #[error("the certificate is not acceptable: {0}")]
    Other(String),
}

/// The authorities that may vouch for a server. Loaded when made, so make it anew to see changes.
#[derive(Clone, Debug)]
pub struct Roots(Option<Arc<dyn ServerCertVerifier>>);

impl Roots {
    /// The system's authorities. A system without any vouches for nobody.
    pub fn system() -> Roots {
        match Verifier::new(provider()) {
            Ok(verifier) => Roots(Some(Arc::new(verifier))),
            Err(error) => {
                tracing::debug!(%error, "this system knows no certificate authorities");
                Roots(None)
            }
        }
    }

    /// The authorities of a PEM text: a private CA, or a server's own self-signed certificate.
    pub fn pem(text: &[u8]) -> Result<Roots, CertError> {
        let mut store = RootCertStore::empty();
        for certificate in certificates(text)? {
            store.add(certificate).map_err(|error| CertError::Chain(error.to_string()))?;
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(store.into(), provider())
            .build()
            .map_err(|error| CertError::Unusable(error.to_string()))?;
        Ok(Roots(Some(verifier)))
    }
}

/// Lets the handshake go on whatever the certificate, and remembers what was wrong with it.
#[derive(Debug)]
pub(crate) struct Recorder {
    roots: Roots,
    provider: Arc<CryptoProvider>,
    /// Set once, while the handshake is processed; the same connection reads it afterwards.
    outcome: OnceLock<Result<(), CertificateProblem>>,
}

impl Recorder {
    pub(crate) fn new(roots: Roots, provider: Arc<CryptoProvider>) -> Recorder {
        Recorder { roots, provider, outcome: OnceLock::new() }
    }

    /// What the verification said; a certificate that was never looked at is not vouched for.
    pub(crate) fn outcome(&self) -> Result<(), CertificateProblem> {
        self.outcome.get().cloned().unwrap_or(Err(CertificateProblem::UnknownIssuer))
    }
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let outcome = match &self.roots.0 {
            Some(roots) => {
                roots.verify_server_cert(end_entity, intermediates, name, ocsp, now).map(|_| ()).map_err(problem)
            }
            None => Err(CertificateProblem::UnknownIssuer),
        };
        // A second certificate on one connection cannot be; if it were, the first outcome stands.
        let _ = self.outcome.set(outcome);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The library's words in ours.
fn problem(error: Error) -> CertificateProblem {
    let Error::InvalidCertificate(fault) = error else { return CertificateProblem::Other(error.to_string()) };
    match fault {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => CertificateProblem::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => CertificateProblem::NotYetValid,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            CertificateProblem::WrongName
        }
        CertificateError::UnknownIssuer => CertificateProblem::UnknownIssuer,
        other => CertificateProblem::Other(other.to_string()),
    }
}
