//! The admission webhook: an Ingress is judged before the API server stores it. Off by default; nothing needs it.
//!
//! It parses and compiles, runs nothing and changes nothing. When it is down, `failurePolicy` of its configuration
//! decides; the chart's `Ignore` blocks nobody.

mod certificate;
mod own;
mod review;
mod server;

use std::net::SocketAddr;
use std::sync::Arc;

pub use self::certificate::WebhookKey;
pub use self::review::Reviewer;
pub(super) use self::server::serve;
use super::server::bind_all;
use crate::controller::Snapshots;
use crate::proxy::BindError;
use crate::settings::{ClusterSettings, CompileOptions, WebhookSettings};

/// A webhook that is bound and has its files, ready to be served by the admin thread.
pub struct Webhook {
    sockets: Vec<std::net::TcpListener>,
    key: Arc<WebhookKey>,
    reviewer: Arc<Reviewer>,
    cluster: ClusterSettings,
}

/// Why there is no webhook.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// Its address cannot be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Its certificate cannot be used: one line.
    #[error("{0}")]
    Certificate(String),
}

impl Webhook {
    /// Binds the addresses and reads the certificate, if it is in files. `snapshots` is asked for what to judge against.
    pub fn new(
        settings: &WebhookSettings,
        cluster: &ClusterSettings,
        options: &CompileOptions,
        snapshots: Snapshots,
    ) -> Result<Webhook, WebhookError> {
        let key = WebhookKey::new(&settings.certificate).map_err(WebhookError::Certificate)?;
        Ok(Webhook {
            sockets: bind_all(&settings.addresses)?,
            key: Arc::new(key),
            reviewer: Arc::new(Reviewer::new(options, cluster.watch_namespace.clone(), snapshots)),
            cluster: cluster.clone(),
        })
    }

    /// Addresses as bound.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        super::server::addresses(&self.sockets)
    }
}
