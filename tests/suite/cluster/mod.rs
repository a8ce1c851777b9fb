//! A cluster as a source, against an API server that fails on demand.

mod commands;
mod config_maps;
mod fake;
mod forward;
mod reporting;
mod secrets;
mod watching;
mod webhook;
mod zone;

use std::time::Duration;

use fairlead::settings::CompileOptions;
use fairlead::source::cluster::{self, ClusterSource};
use fairlead::source::{Changed, Delta};
use fairlead::telemetry::Metrics;
use tokio::time::timeout;

use self::fake::{Fake, Fault};

/// Longer than whatever is waited for takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// What has not come by then is taken not to come.
const QUIET: Duration = Duration::from_millis(300);

const CLASS: &str =
    "---\n{kind: IngressClass, metadata: {name: fairlead}, spec: {controller: fairlead.dev/ingress-controller}}\n";

fn ingress(name: &str, secret: &str) -> String {
    format!(
        "---\n{{kind: Ingress, metadata: {{name: {name}}}, spec: {{ingressClassName: fairlead,\n \
         tls: [{{hosts: [{name}.example], secretName: {secret}}}], rules: [{{host: {name}.example}}]}}}}\n"
    )
}

fn service(name: &str) -> String {
    format!("---\n{{kind: Service, metadata: {{name: {name}}}, spec: {{ports: [{{port: 80}}]}}}}\n")
}

fn slice(service: &str, address: &str) -> String {
    format!(
        "---\n{{kind: EndpointSlice, addressType: IPv4, ports: [{{port: 8080}}], endpoints: [{{addresses: [{address}]}}],\n \
         metadata: {{name: {service}-1, labels: {{kubernetes.io/service-name: {service}}}}}}}\n"
    )
}

async fn open(fake: &Fake) -> ClusterSource {
    let options = CompileOptions { folder: false, ..CompileOptions::default() };
    open_with(fake, options).await
}

async fn open_with(fake: &Fake, options: CompileOptions) -> ClusterSource {
    let settings = fake.settings();
    let client = cluster::connect(&settings).await.unwrap();
    ClusterSource::open(&client, &settings, &options, &Metrics::new(1, true))
}

async fn synced(fake: &Fake) -> ClusterSource {
    let mut source = open(fake).await;
    timeout(PATIENCE, source.synced(|_| {})).await.expect("everything is there");
    source
}

async fn changed(source: &mut ClusterSource) -> Delta {
    let Changed { delta, .. } = timeout(PATIENCE, source.changed()).await.expect("a change is told");
    delta
}

/// Waits until the source has what is asked of it; gives the changes on the way.
async fn until(source: &mut ClusterSource, is_there: impl Fn(&fairlead::snapshot::Snapshot) -> bool) -> Delta {
    let mut sum = Delta::default();
    while !is_there(source.snapshot()) {
        sum.add(changed(source).await);
    }
    sum
}

/// Nothing changes for a while.
async fn is_quiet(source: &mut ClusterSource, time: Duration) -> bool {
    timeout(time, source.changed()).await.is_err()
}
