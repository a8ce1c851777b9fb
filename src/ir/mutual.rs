//! TLS that is more than a certificate of ours: whom clients must show themselves to be, and what is shown to and asked of
//! backends.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use rustls_pki_types::TrustAnchor;
use webpki::CertRevocationList;

use super::{Certificate, Cipher, Regex};

/// Authorities whose certificates are believed, and what they took back. Compared by the bytes that it was read from.
#[derive(Clone)]
pub struct Authorities(Arc<Known>);

struct Known {
    anchors: Box<[TrustAnchor<'static>]>,
    revoked: Box<[CertRevocationList<'static>]>,
    fingerprint: [u8; 32],
}

impl Authorities {
    /// Authorities and their lists of certificates taken back, with the SHA-256 of what they were read from.
    pub fn new(
        anchors: Box<[TrustAnchor<'static>]>,
        revoked: Box<[CertRevocationList<'static>]>,
        fingerprint: [u8; 32],
    ) -> Authorities {
        Authorities(Arc::new(Known { anchors, revoked, fingerprint }))
    }

    /// Whose certificates are believed.
    pub fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.0.anchors
    }

    /// What they took back; empty: nothing is asked for.
    pub fn revoked(&self) -> &[CertRevocationList<'static>] {
        &self.0.revoked
    }
}

impl PartialEq for Authorities {
    fn eq(&self, other: &Self) -> bool {
        self.0.fingerprint == other.0.fingerprint
    }
}

impl Eq for Authorities {}

impl PartialOrd for Authorities {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Authorities {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.fingerprint.cmp(&other.0.fingerprint)
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Authorities {
    /// `2 CAs`, `1 CA, 1 CRL`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let (anchors, revoked) = (self.0.anchors.len(), self.0.revoked.len());
        write!(f, "{anchors} CA{}", plural(anchors))?;
        if revoked > 0 { write!(f, ", {revoked} CRL{}", plural(revoked)) } else { Ok(()) }
    }
}

/// TLS towards a backend (`proxy-ssl-*`). Connections are shared only between requests for which all of it is equal.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct BackendTls {
    /// What is shown to the backend.
    pub certificate: Option<Arc<Certificate>>,
    /// Whose certificates are believed; `None`: any certificate is taken.
    pub verified: Option<Verified>,
    /// The name that the backend's certificate must have, and that is sent.
    pub name: Option<Arc<str>>,
    /// The name is sent (SNI).
    pub sends_name: bool,
    /// No TLS 1.2.
    pub no_tls12: bool,
    /// No TLS 1.3.
    pub no_tls13: bool,
    /// Cipher suites of TLS 1.2; `None`: all.
    pub ciphers: Option<Box<[Cipher]>>,
}

/// How the certificate of a backend is judged.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Verified {
    /// Whose certificates are believed.
    pub by: Authorities,
    /// At most so many certificates stand between the backend's and the authority's.
    pub depth: u32,
}

/// Client certificates on one host (`auth-tls-*`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientAuth {
    /// What is asked of clients. `None`: nobody can be judged, so nobody comes in.
    pub demand: Option<Arc<Demand>>,
    /// Where clients are sent whose certificate is missing or bad; else they get 400.
    pub error_page: Option<Arc<str>>,
    /// What is searched for in the subject; clients without it get 403.
    pub subject: Option<Regex>,
    /// The backend gets the certificate.
    pub passes_certificate: bool,
}

/// How TLS is spoken to the clients of one host, where that is not as everywhere. Sessions are resumed only where it is equal.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostTls {
    /// Cipher suites of TLS 1.2, in their order (`ssl-ciphers`); `None`: those of the ConfigMap.
    pub ciphers: Option<Box<[Cipher]>>,
    /// The client's order of suites counts (`ssl-prefer-server-ciphers` is `false`).
    pub client_order: bool,
}

/// What is asked of a client in its handshake. Sessions are resumed only where all of it is equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Demand {
    /// Whose certificates are believed.
    pub by: Authorities,
    /// What becomes of clients without a good one.
    pub mode: ClientMode,
    /// At most so many certificates stand between the client's and the authority's.
    pub depth: u32,
}

/// `auth-tls-verify-client`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClientMode {
    /// Not asked for.
    Off,
    /// Must be there and good.
    #[default]
    On,
    /// May be missing, must not be bad.
    Optional,
    /// The same, but may be of an unknown authority.
    OptionalNoCa,
}

impl ClientMode {
    /// The word of the annotation.
    pub fn as_str(self) -> &'static str {
        match self {
            ClientMode::Off => "off",
            ClientMode::On => "on",
            ClientMode::Optional => "optional",
            ClientMode::OptionalNoCa => "optional_no_ca",
        }
    }
}

impl ClientAuth {
    /// What is asked of clients in the handshake, if anything is.
    pub fn asked(&self) -> Option<&Arc<Demand>> {
        self.demand.as_ref().filter(|demand| demand.mode != ClientMode::Off)
    }
}
