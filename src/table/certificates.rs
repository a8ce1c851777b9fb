//! Which certificate a server name gets.

use std::sync::Arc;

use super::host::ByName;
use crate::ir::{Certificate, CertificateOrigin, Config};

/// Certificates by server name, with the one for every other name.
pub(super) struct Certificates {
    by_name: ByName<Arc<Certificate>>,
    default: Arc<Certificate>,
}

impl Certificates {
    /// The certificates of a configuration, `default` for all other names.
    pub(super) fn new(config: &Config, default: &Arc<Certificate>) -> Certificates {
        let defaulted = config.defaulted.iter().map(|pattern| (pattern, default));
        let all = config.certificates.iter().chain(defaulted);
        let by_name = ByName::new(all.map(|(pattern, certificate)| (pattern, Arc::clone(certificate))));
        Certificates { by_name, default: Arc::clone(default) }
    }

    /// The certificate for `server_name`; the default one for a client that names none.
    pub(super) fn find(&self, server_name: Option<&str>) -> &Arc<Certificate> {
        server_name.and_then(|name| self.by_name.find(name)).unwrap_or(&self.default)
    }

    /// Whether `server_name` gets the certificate that was made at start.
    pub(super) fn is_self_made(&self, server_name: Option<&str>) -> bool {
        self.find(server_name).origin == CertificateOrigin::SelfMade
    }

    /// Whether names without an entry get `default`.
    pub(super) fn has_default(&self, default: &Arc<Certificate>) -> bool {
        Arc::ptr_eq(&self.default, default)
    }
}
