//! Objects as the API writes them, without the fields that nobody reads: `managedFields` alone are half of the text.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ServiceSpec;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort};
use k8s_openapi::api::networking::v1::{IngressClassSpec, IngressSpec, IngressStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Deserialize, Deserializer};

/// `metadata`, as far as it is read.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata {
    pub(super) name: Option<String>,
    pub(super) namespace: Option<String>,
    pub(super) uid: Option<String>,
    pub(super) resource_version: Option<String>,
    pub(super) creation_timestamp: Option<Time>,
    pub(super) labels: Option<BTreeMap<String, String>>,
    pub(super) annotations: Option<BTreeMap<String, String>>,
}

/// `networking.k8s.io/v1 Ingress`.
#[derive(Deserialize)]
pub(super) struct Ingress {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) metadata: Metadata,
    pub(super) spec: Option<IngressSpec>,
    pub(super) status: Option<IngressStatus>,
}

/// `networking.k8s.io/v1 IngressClass`.
#[derive(Deserialize)]
pub(super) struct IngressClass {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) metadata: Metadata,
    pub(super) spec: Option<IngressClassSpec>,
}

/// `v1 Service`.
#[derive(Deserialize)]
pub(super) struct Service {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) metadata: Metadata,
    pub(super) spec: Option<ServiceSpec>,
}

/// `discovery.k8s.io/v1 EndpointSlice`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EndpointSlice {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) metadata: Metadata,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) address_type: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) ports: Option<Vec<EndpointPort>>,
}

/// `v1 ConfigMap`.
#[derive(Deserialize)]
pub(super) struct ConfigMap {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) metadata: Metadata,
    pub(super) data: Option<BTreeMap<String, String>>,
}

/// `v1 Secret`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Secret {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) metadata: Metadata,
    pub(super) data: Option<BTreeMap<String, ByteString>>,
    pub(super) string_data: Option<BTreeMap<String, String>>,
}

/// Any object of which only `metadata` is read. A Pod's specification is by far the largest of all, and reading it would
/// be paid for in every build.
#[derive(Deserialize)]
pub(super) struct Named {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) metadata: Metadata,
}

/// `null` stands for nothing, as everywhere in the API.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(from).map(Option::unwrap_or_default)
}
