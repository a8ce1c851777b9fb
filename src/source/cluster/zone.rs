//! The zone of the node that we run on, asked for once somebody wants requests to stay in it, and then never again: a node
//! does not move.

use std::sync::Arc;
use std::time::Duration;

use http::header;
use kube::Client;
use kube::client::Body;
use serde_json::Value;
use tokio::sync::mpsc::Sender;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::driver::Update;
use super::watch::backoff;
use crate::snapshot::api::Status;
use crate::telemetry::Metrics;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// `topology.kubernetes.io/zone` as a part of a JSON pointer.
const LABEL: &str = "/metadata/labels/topology.kubernetes.io~1zone";

/// What is known of our zone.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Its name; `None`: the node says none.
    Known(Option<Arc<str>>),
    /// We may not read the node; what the API server says.
    Forbidden(String),
}

/// Asks for the zone.
pub(super) struct Zone {
    client: Client,
    updates: Sender<Update>,
    metrics: Arc<Metrics>,
    /// `NODE_NAME`.
    node: Option<Arc<str>>,
    is_asked: bool,
    tasks: JoinSet<()>,
}

impl Zone {
    pub(super) fn new(client: Client, updates: Sender<Update>, metrics: Arc<Metrics>, node: Option<Arc<str>>) -> Zone {
        Zone { client, updates, metrics, node, is_asked: false, tasks: JoinSet::new() }
    }

    /// The node that we run on, as far as we are told.
    pub(super) fn node(&self) -> Option<&Arc<str>> {
        self.node.as_ref()
    }

    /// Somebody wants requests to stay in our zone.
    pub(super) fn want(&mut self) {
        if std::mem::replace(&mut self.is_asked, true) {
            return;
        }
        let Some(node) = &self.node else {
            warn!("NODE_NAME is not set, so our zone is not known; the endpoints of all zones are used");
            return;
        };
        let fetch = Fetch {
            client: self.client.clone(),
            updates: self.updates.clone(),
            metrics: Arc::clone(&self.metrics),
            node: Arc::clone(node),
        };
        self.tasks.spawn(fetch.run());
    }
}

struct Fetch {
    client: Client,
    updates: Sender<Update>,
    metrics: Arc<Metrics>,
    node: Arc<str>,
}

impl Fetch {
    /// Asks until there is an answer. One that is forbidden is told and asked for again: the right may come.
    async fn run(self) {
        let mut failures = 0;
        loop {
            let answer = timeout(PATIENCE, self.get()).await.unwrap_or_default();
            let is_last = matches!(answer, Some(Place::Known(_)));
            if let Some(place) = answer {
                let _ = self.updates.send(Update::Zone(place)).await;
            }
            if is_last {
                return;
            }
            failures += 1;
            sleep(backoff(failures, fastrand::f64())).await;
        }
    }

    /// `None` if there is no answer.
    async fn get(&self) -> Option<Place> {
        let request = http::Request::get(format!("/api/v1/nodes/{}", self.node))
            .header(header::ACCEPT, "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1")
            .body(Body::empty())
            .ok()?;
        let response = self.client.send(request).await.ok()?;
        let code = response.status().as_u16();
        let text = response.into_body().collect_bytes().await.ok()?;
        match code {
            200 => {}
            403 => {
                self.metrics.api_refused("get", "nodes", code);
                return Some(Place::Forbidden(Status::of(code, &text).message));
            }
            _ => return None,
        }
        let node: Value = serde_json::from_slice(&text).ok()?;
        let zone = node.pointer(LABEL).and_then(Value::as_str).filter(|zone| !zone.is_empty());
        match zone {
            Some(zone) => info!(node = %self.node, zone, "our zone is known"),
            None => {
                warn!(node = %self.node, "the node has no label topology.kubernetes.io/zone; all endpoints are used");
            }
        }
        Some(Place::Known(zone.map(Arc::from)))
    }
}
