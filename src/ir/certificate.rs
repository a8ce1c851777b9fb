//! A served certificate with its key.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use rustls::sign::CertifiedKey;

use super::Name;

/// A usable certificate chain and key. Equal when the same bytes are served. `Debug` shows no key.
#[derive(Clone)]
pub struct Certificate {
    /// Where it came from.
    pub origin: CertificateOrigin,
    /// DNS names it covers (subject alternative names, else the common name), lower case, sorted.
    pub names: Vec<Arc<str>>,
    /// Serial number, hexadecimal.
    pub serial: String,
    /// Start of validity, seconds since the epoch.
    pub not_before: i64,
    /// End of validity, seconds since the epoch.
    pub not_after: i64,
    /// SHA-256 over the chain and key bytes as stored.
    pub fingerprint: [u8; 32],
    /// What rustls serves.
    pub key: Arc<CertifiedKey>,
}

/// The Secret of a certificate, or ourselves.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CertificateOrigin {
    /// Made at start because no default certificate was given.
    SelfMade,
    /// A Secret of type `kubernetes.io/tls`.
    Secret(Name),
}

impl fmt::Display for CertificateOrigin {
    /// `shop/tls`, or `self-made`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CertificateOrigin::SelfMade => f.write_str("self-made"),
            CertificateOrigin::Secret(name) => name.fmt(f),
        }
    }
}

impl Certificate {
    /// Whether the certificate is for `name`: an exact name or a wildcard of one label (RFC 6125 6.4.3).
    pub fn covers(&self, name: &str) -> bool {
        self.names.iter().any(|pattern| match pattern.strip_prefix("*.") {
            Some(suffix) => name.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == suffix),
            None => **pattern == *name,
        })
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint && self.origin == other.origin
    }
}

impl Eq for Certificate {}

impl PartialOrd for Certificate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Certificate {
    fn cmp(&self, other: &Self) -> Ordering {
        (&self.fingerprint, &self.origin).cmp(&(&other.fingerprint, &other.origin))
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("origin", &self.origin)
            .field("names", &self.names)
            .field("serial", &self.serial)
            .finish_non_exhaustive()
    }
}
