//! The webhook's own certificate: made here, kept in a Secret for all replicas, and told to the API server.
//!
//! Each replica looks at the Secret every few seconds. Whoever finds nothing usable in it makes a new authority with one
//! certificate and forgets the authority's key. The Secret's version decides between two that do so at once. The authority
//! before stays trusted until the next renewal, so a replica that still serves its certificate is believed.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use rustls::sign::CertifiedKey;
use serde_json::json;
use tracing::{info, warn};

use super::certificate::WebhookKey;
use crate::controller::seconds_since_epoch;
use crate::ir::{Certificate, CertificateOrigin, Name};
use crate::settings::ClusterSettings;
use crate::snapshot::secret;
use crate::source::cluster;

/// How often the Secret and the configuration are looked at. Until then a configuration that was replaced calls in vain.
const EVERY: Duration = Duration::from_secs(10);
/// The same after a failure.
const AGAIN: Duration = Duration::from_secs(5);
/// The API server believes another authority a moment after it was told.
const TELL: Duration = Duration::from_secs(5);
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a certificate is valid, days.
const VALID: u16 = 90;
/// It is replaced when less than this is left of it, seconds.
const LEFT: i64 = 30 * 86_400;
const CHAIN: &str = "tls.crt";
const KEY: &str = "tls.key";
const AUTHORITY: &str = "ca.crt";

/// Keeps `key` served, the Secret filled and the configuration told, for ever.
pub(super) async fn keep(key: &WebhookKey, settings: &ClusterSettings, configuration: &str, secret: &Name) {
    let mut complaint = None;
    let mut served: Option<Arc<CertifiedKey>> = None;
    let mut client = None;
    loop {
        let step = tokio::time::timeout(PATIENCE, step(&mut client, settings, configuration, secret)).await;
        match step.unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs()))) {
            Ok(found) => {
                complaint = None;
                if served.as_ref().is_none_or(|served| served.cert != found.cert) {
                    if served.is_some() {
                        tokio::time::sleep(TELL).await;
                    }
                    info!(%secret, "the webhook has a certificate");
                    key.serve(Arc::clone(&found));
                    served = Some(found);
                }
                tokio::time::sleep(EVERY).await;
            }
            Err(why) => {
                // What went wrong may be the connection, or the credentials it was made with.
                client = None;
                if complaint.as_ref() != Some(&why) {
                    warn!(error = why, "the certificate of the webhook cannot be kept up to date");
                    complaint = Some(why);
                }
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

/// Looks once, and puts right what is not; makes a client if there is none. Gives what is to be served.
async fn step(
    client: &mut Option<Client>,
    settings: &ClusterSettings,
    configuration: &str,
    secret: &Name,
) -> Result<Arc<CertifiedKey>, String> {
    let client = match client {
        Some(client) => client,
        None => client.insert(cluster::connect(settings).await.map_err(|error| error.to_string())?),
    };
    let configurations = Api::<ValidatingWebhookConfiguration>::all(client.clone());
    let told = configurations.get(configuration).await.map_err(failed("read", "the webhook's configuration"))?;
    let names = service_names(&told);
    let (chain, found) = kept(client, secret, &names).await?;
    let stale: Vec<_> = told
        .webhooks
        .iter()
        .flatten()
        .filter(|webhook| webhook.client_config.ca_bundle.as_ref() != Some(&chain))
        .map(|webhook| json!({"name": webhook.name, "clientConfig": {"caBundle": chain}}))
        .collect();
    if !stale.is_empty() {
        let patch = Patch::Strategic(json!({ "webhooks": stale }));
        let patched = configurations.patch(configuration, &PatchParams::default(), &patch).await;
        patched.map_err(failed("change", "the webhook's configuration"))?;
        info!(configuration, "the API server knows the webhook's authority");
    }
    Ok(Arc::clone(&found.key))
}

/// The authorities and the certificate of the Secret, renewed if need be.
async fn kept(client: &Client, name: &Name, names: &[String]) -> Result<(ByteString, Certificate), String> {
    let secrets = Api::<Secret>::namespaced(client.clone(), &name.namespace);
    let mut held = secrets.get(&name.name).await.map_err(failed("read", "the webhook's Secret"))?;
    let data = held.data.clone().unwrap_or_default();
    let now = seconds_since_epoch();
    if let Some(usable) = usable(&data, names, now) {
        return Ok(usable);
    }
    let before = data.get(AUTHORITY).map(|bytes| bytes.0.as_slice()).unwrap_or_default();
    let made = made(names, before, now)?;
    held.data = Some(made.clone());
    // With the version that was read: of two that write at once, one is refused and looks again.
    secrets
        .replace(&name.name, &PostParams::default(), &held)
        .await
        .map_err(failed("write", "the webhook's Secret"))?;
    info!(secret = %name, "made a certificate for the webhook");
    usable(&made, names, now).ok_or_else(|| "the certificate made for the webhook cannot be used".to_owned())
}

/// What the Secret holds, if it serves these names for a while.
fn usable(data: &BTreeMap<String, ByteString>, names: &[String], now: i64) -> Option<(ByteString, Certificate)> {
    let authority = data.get(AUTHORITY).filter(|bytes| !bytes.0.is_empty())?;
    let (chain, key) = (data.get(CHAIN)?, data.get(KEY)?);
    let found = secret::certificate(CertificateOrigin::SelfMade, &chain.0, &key.0).ok()?;
    let is_valid = found.not_before <= now && found.not_after - now > LEFT;
    // Addresses are not among the names that are read of a certificate.
    let serves = |name: &String| name.parse::<IpAddr>().is_ok() || found.names.iter().any(|own| **own == **name);
    let serves = names.iter().all(serves);
    (is_valid && serves).then(|| (authority.clone(), found))
}

/// A new authority and a certificate of it; the latest authority of `before` stays trusted.
fn made(names: &[String], before: &[u8], now: i64) -> Result<BTreeMap<String, ByteString>, String> {
    let failed = |error: rcgen::Error| format!("cannot make a certificate for the webhook: {error}");
    let mut authority = rcgen::CertificateParams::new(Vec::new()).map_err(failed)?;
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
    authority.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::CrlSign];
    authority.distinguished_name = rcgen::DistinguishedName::new();
    // Two authorities of one name in a bundle would be tried one for the other.
    authority.distinguished_name.push(rcgen::DnType::CommonName, format!("Fairlead Webhook Authority {now}"));
    secret::limit_validity(&mut authority, now, VALID);
    let signing = rcgen::KeyPair::generate().map_err(failed)?;
    let signed = authority.self_signed(&signing).map_err(failed)?;
    let issuer = rcgen::Issuer::new(authority, signing);

    let mut leaf = rcgen::CertificateParams::new(names.to_vec()).map_err(failed)?;
    leaf.distinguished_name = rcgen::DistinguishedName::new();
    leaf.distinguished_name.push(rcgen::DnType::CommonName, "Fairlead Webhook");
    leaf.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    leaf.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    secret::limit_validity(&mut leaf, now, VALID);
    let key = rcgen::KeyPair::generate().map_err(failed)?;
    let certificate = leaf.signed_by(&key, &issuer).map_err(failed)?;

    let authorities = format!("{}{}", signed.pem(), first_certificate(before));
    let texts = [(AUTHORITY, authorities), (CHAIN, certificate.pem()), (KEY, key.serialize_pem())];
    Ok(texts.into_iter().map(|(name, text)| (name.to_owned(), ByteString(text.into_bytes()))).collect())
}

/// The first certificate of a text in PEM; empty if there is none.
fn first_certificate(text: &[u8]) -> String {
    const END: &str = "-----END CERTIFICATE-----";
    let text = String::from_utf8_lossy(text);
    let end = text.find(END).and_then(|at| text.get(..at + END.len()));
    end.map(|first| format!("{}\n", first.trim_start())).unwrap_or_default()
}

/// The names by which the API server calls the webhook, sorted, each once.
fn service_names(configuration: &ValidatingWebhookConfiguration) -> Vec<String> {
    let clients = configuration.webhooks.iter().flatten().map(|webhook| &webhook.client_config);
    let mut names: Vec<String> = clients
        .filter_map(|client| match (&client.service, &client.url) {
            (Some(service), _) => Some(format!("{}.{}.svc", service.name, service.namespace)),
            (None, Some(url)) => url.parse::<http::Uri>().ok()?.host().map(str::to_owned),
            (None, None) => None,
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

fn failed(verb: &'static str, what: &'static str) -> impl FnOnce(kube::Error) -> String {
    move |error| match error {
        kube::Error::Api(status) => format!("cannot {verb} {what}: {}", status.message),
        error => format!("cannot {verb} {what}: {}", cluster::causes(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;
    const DAY: i64 = 86_400;

    fn names() -> Vec<String> {
        vec!["web.edge.svc".to_owned()]
    }

    #[test]
    fn a_made_certificate_serves_its_names_until_it_has_to_be_renewed() {
        let first = made(&names(), b"", NOW).unwrap();
        assert!(usable(&first, &names(), NOW).is_some());
        assert!(usable(&first, &names(), NOW + 59 * DAY).is_some());
        assert!(usable(&first, &names(), NOW + 61 * DAY).is_none(), "it is renewed before it ends");
        assert!(usable(&first, &["other.edge.svc".to_owned()], NOW).is_none(), "the Service has another name");
        assert!(usable(&BTreeMap::new(), &names(), NOW).is_none(), "the chart makes the Secret empty");
    }

    #[test]
    fn the_authority_before_stays_trusted_and_no_third() {
        let mut data = made(&names(), b"", NOW).unwrap();
        for renewal in 1..4 {
            let before = data[AUTHORITY].0.clone();
            data = made(&names(), &before, NOW + renewal * 60 * DAY).unwrap();
            let text = String::from_utf8(data[AUTHORITY].0.clone()).unwrap();
            assert_eq!(text.matches("BEGIN CERTIFICATE").count(), 2);
            assert!(text.ends_with(&first_certificate(&before)));
        }
    }
}
