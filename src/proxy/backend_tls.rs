//! TLS towards back ends that ask for more than a connection to whoever answers: names, verification, certificates of ours.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};
use webpki::{EndEntityCert, Error};

use super::tls::{AnyCertificate, HTTP2, HTTP11, limited};
use crate::filter::certificate::{self, Usage};
use crate::ir::{self, Verified};

/// The configurations of one identity for HTTP/1.1 and HTTP/2, each with sessions of its own.
pub(super) fn configs(tls: &ir::BackendTls) -> Result<[Arc<ClientConfig>; 2], rustls::Error> {
    Ok([config(tls, HTTP11)?, config(tls, HTTP2)?])
}

fn config(tls: &ir::BackendTls, alpn: &[u8]) -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = limited(tls.ciphers.as_deref());
    let versions: Vec<_> = [(&TLS13, tls.no_tls13), (&TLS12, tls.no_tls12)]
        .into_iter()
        .filter_map(|(version, is_off)| (!is_off).then_some(version))
        .collect();
    let verifier: Arc<dyn ServerCertVerifier> = match &tls.verified {
        None => Arc::new(AnyCertificate),
        Some(verified) => Arc::new(Believed { verified: verified.clone(), provider: Arc::clone(&provider) }),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match &tls.certificate {
        None => builder.with_no_client_auth(),
        Some(own) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&own.key)))),
    };
    config.enable_sni = tls.sends_name;
    config.alpn_protocols = vec![alpn.to_vec()];
    Ok(Arc::new(config))
}

/// Takes certificates of some authorities, for the name that was asked for.
struct Believed {
    verified: Verified,
    provider: Arc<CryptoProvider>,
}

impl fmt::Debug for Believed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.verified, f)
    }
}

impl ServerCertVerifier for Believed {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Verified { by, depth } = &self.verified;
        let judged = certificate::verify(own, others, by, *depth, Usage::Server, now);
        let named = judged.and_then(|()| EndEntityCert::try_from(own)?.verify_is_valid_for_subject_name(name));
        match named {
            Ok(()) => Ok(ServerCertVerified::assertion()),
            Err(Error::CertNotValidForName(_)) if certificate::has_common_name(own, &name.to_str()) => {
                Ok(ServerCertVerified::assertion())
            }
            Err(Error::CertNotValidForName(_)) => Err(CertificateError::NotValidForName.into()),
            Err(_) => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
