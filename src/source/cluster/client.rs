//! The client of the API server, as the flags say or as the surroundings do.

use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ConfigExt as _};
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use tower::{BoxError, ServiceBuilder};

use crate::settings::ClusterSettings;

/// A connection over which nothing was heard for this long is probed.
const PROBE_AFTER: Duration = Duration::from_secs(15);
/// Between two probes.
const PROBE_EVERY: Duration = Duration::from_secs(5);
/// So many without an answer are the end of the connection.
const PROBES: u32 = 3;
/// The same for what was sent and is not acknowledged.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// Why there is no client: one line for people.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ClientError(String);

/// A client for whoever talks to the API server. To be called where a Tokio runtime is. Nothing is asked yet: a server
/// that is away is no error here.
///
/// The flags win; without any, a Pod uses its service account, and everybody else the usual kubeconfig files.
pub async fn connect(settings: &ClusterSettings) -> Result<Client, ClientError> {
    let mut config = config(settings).await?;
    // Every caller has its own idea of when to ask again.
    config.default_retry = false;
    client(config).map_err(|error| failed("the API server's settings cannot be used", &error))
}

/// What `Client::try_from` makes, with sockets that notice when packets are lost for good: the watches are silent most of
/// the time, and a balancer or firewall before the API server that forgot them says nothing.
fn client(config: Config) -> kube::Result<Client> {
    if config.proxy_url.is_some() {
        return Client::try_from(config);
    }
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_connect_timeout(config.connect_timeout);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(PROBE_AFTER));
    tcp.set_keepalive_interval(Some(PROBE_EVERY));
    tcp.set_keepalive_retries(Some(PROBES));
    #[cfg(target_os = "linux")]
    tcp.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
    let tls = config.rustls_https_connector_with_connector(tcp)?;
    let http: legacy::Client<_, Body> = legacy::Client::builder(TokioExecutor::new()).build(tls);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(http);
    Ok(Client::new(service, config.default_namespace))
}

async fn config(settings: &ClusterSettings) -> Result<Config, ClientError> {
    let ClusterSettings { kubeconfig, context, apiserver_host, certificate_authority, .. } = settings;
    let mut config = match (kubeconfig, apiserver_host) {
        (Some(path), _) => {
            let what = format!("--kubeconfig {}", path.display());
            let read = Kubeconfig::read_from(path).map_err(|error| failed(&what, &error))?;
            of_file(read, context.clone()).await.map_err(|error| failed(&what, &error))?
        }
        (None, Some(_)) if context.is_none() => Config::new(Uri::default()),
        (None, _) => surroundings(context.clone()).await?,
    };
    if let Some(host) = apiserver_host {
        let uri: Uri = host.parse().map_err(|error| failed(&format!("--apiserver-host {host}"), &error))?;
        if uri.scheme_str().is_none_or(|scheme| scheme != "http" && scheme != "https") {
            return Err(ClientError(format!(
                "--apiserver-host {host}: write it as https://HOST:PORT or http://HOST:PORT"
            )));
        }
        config.cluster_url = uri;
    }
    if let Some(path) = certificate_authority {
        let what = format!("--certificate-authority {}", path.display());
        std::fs::metadata(path).map_err(|error| failed(&what, &error))?;
        config.root_cert_file = Some(path.clone());
    }
    Ok(config)
}

async fn surroundings(context: Option<String>) -> Result<Config, ClientError> {
    let in_cluster =
        if context.is_none() { Config::incluster().map_err(|error| error.to_string()) } else { Err(String::new()) };
    if let Ok(config) = in_cluster {
        return Ok(config);
    }
    let from_files = match Kubeconfig::read() {
        Ok(read) => of_file(read, context).await,
        Err(error) => Err(error),
    };
    from_files.map_err(|error| {
        let what = "no Kubernetes API: this is no Pod with a service account, and the kubeconfig cannot be used";
        let ClientError(line) = failed(what, &error);
        ClientError(format!("{line}; give --kubeconfig FILE, or --manifests PATH to serve a folder"))
    })
}

async fn of_file(kubeconfig: Kubeconfig, context: Option<String>) -> Result<Config, KubeconfigError> {
    let options = KubeConfigOptions { context, ..KubeConfigOptions::default() };
    Config::from_custom_kubeconfig(kubeconfig, &options).await
}

/// One line from an error that may have several.
fn failed(what: &str, error: &dyn std::fmt::Display) -> ClientError {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default().trim_end_matches(':');
    ClientError(format!("{what}: {first}"))
}
