//! The certificate that the webhook serves, renewed while it runs.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tracing::{info, warn};

use super::own;
use crate::ir::CertificateOrigin;
use crate::settings::{ClusterSettings, WebhookCertificate};
use crate::snapshot::secret;

/// How often files are read again: who mounts them replaces them.
const FILES: Duration = Duration::from_secs(10);

/// Where the certificate comes from, and what of it is served; nothing before the first one is there.
pub struct WebhookKey {
    source: WebhookCertificate,
    served: ArcSwapOption<CertifiedKey>,
}

impl fmt::Debug for WebhookKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookKey")
    }
}

impl ResolvesServerCert for WebhookKey {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.served.load_full()
    }
}

impl WebhookKey {
    /// Reads files; one that cannot be used is an error now, and later the last good one stays.
    pub(super) fn new(source: &WebhookCertificate) -> Result<WebhookKey, String> {
        let served = match source {
            WebhookCertificate::Files { certificate, key } => Some(read(certificate, key)?),
            WebhookCertificate::Own { .. } => None,
        };
        Ok(WebhookKey { source: source.clone(), served: ArcSwapOption::from(served) })
    }

    /// TLS 1.2 and 1.3 with whatever is served at the moment. API servers present no certificate of their own unless they
    /// are set up for it, so none is asked for.
    pub(super) fn server_config(self: &Arc<Self>) -> Arc<ServerConfig> {
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Arc::new(config)
    }

    /// Serves another one from now on.
    pub(super) fn serve(&self, key: Arc<CertifiedKey>) {
        self.served.store(Some(key));
    }

    /// Keeps it up to date, for ever.
    pub(super) async fn renew(self: Arc<Self>, cluster: ClusterSettings) {
        match &self.source {
            WebhookCertificate::Files { certificate, key } => self.follow(certificate, key).await,
            WebhookCertificate::Own { configuration, secret } => {
                own::keep(&self, &cluster, configuration, secret).await;
            }
        }
    }

    async fn follow(&self, certificate: &Path, key: &Path) {
        let mut complaint = None;
        loop {
            tokio::time::sleep(FILES).await;
            match read(certificate, key) {
                Ok(read) => {
                    complaint = None;
                    if self.served.load().as_ref().is_none_or(|served| served.cert != read.cert) {
                        info!("the webhook has another certificate");
                        self.serve(read);
                    }
                }
                Err(why) if complaint.as_ref() != Some(&why) => {
                    warn!(error = why, "the webhook keeps its certificate");
                    complaint = Some(why);
                }
                Err(_) => {}
            }
        }
    }
}

fn read(certificate: &Path, key: &Path) -> Result<Arc<CertifiedKey>, String> {
    let bytes = |flag: &str, path: &Path| {
        std::fs::read(path).map_err(|error| format!("--validating-webhook-{flag} {}: {error}", path.display()))
    };
    let (chain, private) = (bytes("certificate", certificate)?, bytes("key", key)?);
    let read = secret::certificate(CertificateOrigin::SelfMade, &chain, &private);
    read.map(|certificate| certificate.key).map_err(|why| {
        // The reader speaks of the keys of a Secret.
        let why = why.replace("tls.crt", &certificate.display().to_string());
        format!("--validating-webhook-certificate: {}", why.replace("tls.key", &key.display().to_string()))
    })
}
