//! Who we are towards a backend over TLS, and whom we take it for: connections of one identity are never used by another.

use std::sync::{Arc, OnceLock};

use rustls::ClientConfig;

use crate::ir;

/// One way to speak TLS to backends. It outlasts tables, and with it sessions and connections.
pub struct TlsIdentity {
    /// Tells it apart from all others; never 0.
    pub number: u32,
    /// What is shown and asked for.
    pub settings: Arc<ir::BackendTls>,
    /// For HTTP/1.1 and for HTTP/2, made when the first table has it; `None`: they cannot be made.
    configs: OnceLock<Option<[Arc<ClientConfig>; 2]>>,
}

impl TlsIdentity {
    pub(super) fn new(number: u32, settings: Arc<ir::BackendTls>) -> TlsIdentity {
        TlsIdentity { number, settings, configs: OnceLock::new() }
    }

    /// The configurations for HTTP/1.1 and HTTP/2, made by `make` if nobody has.
    pub fn configs(
        &self,
        make: impl FnOnce(&ir::BackendTls) -> Result<[Arc<ClientConfig>; 2], rustls::Error>,
    ) -> Option<&[Arc<ClientConfig>; 2]> {
        self.configs.get_or_init(|| make(&self.settings).ok()).as_ref()
    }
}
