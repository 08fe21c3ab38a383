//! Certificates that another link vouches for: a set of SHA-256 fingerprints in place of names, authorities and expiry.
//!
//! chatd trusts the relay by it: the server names the relay's certificate over its own link, which is proven already.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::digest::{SHA256, digest};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

/// The certificates that are trusted; shared, and added to as links say so.
#[derive(Clone, Debug, Default)]
pub struct Pins(Arc<RwLock<HashSet<[u8; 32]>>>);

impl Pins {
    /// Trusts the certificate with this SHA-256 of its DER.
    pub fn add(&self, certificate: [u8; 32]) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(certificate);
    }

    fn has(&self, certificate: &CertificateDer<'_>) -> bool {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        digest(&SHA256, certificate).as_ref().try_into().is_ok_and(|print: [u8; 32]| known.contains(&print))
    }

    /// A verifier of these certificates for TLS; signatures are checked as always.
    pub fn verifier(&self, provider: Arc<CryptoProvider>) -> Arc<dyn ServerCertVerifier> {
        Arc::new(Verifier { pins: self.clone(), provider })
    }
}

#[derive(Debug)]
struct Verifier {
    pins: Pins,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.pins.has(end_entity) {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_vouched_for_is_trusted() {
        let pins = Pins::default();
        let verifier = pins.verifier(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
        let certificate = CertificateDer::from(vec![1, 2, 3]);
        let name = ServerName::try_from("relay").expect("a name");
        let judge = || verifier.verify_server_cert(&certificate, &[], &name, &[], UnixTime::now()).is_ok();
        assert!(!judge());
        pins.add(digest(&SHA256, &certificate).as_ref().try_into().expect("32 bytes"));
        assert!(judge());
    }
}
