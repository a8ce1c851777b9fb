//! What the control loop does about endpoints between two changes of the objects: it raises the weights of those that start
//! slowly, and says in the log which were set aside and which came back.

use std::collections::BTreeMap;
use std::time::Instant;

use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::ir::BackendId;
use crate::live::{Standing, Transition};

/// Changes of standing that are logged one by one when many come at once; the rest is a number, and the admin API has all.
const LOGGED: usize = 50;

/// When the next step of a slow start is due, by backend.
#[derive(Debug, Default)]
pub(super) struct Starts(BTreeMap<BackendId, Instant>);

impl Starts {
    /// Takes note of when a backend is due; `None` = all its endpoints have their full weight.
    pub(super) fn set(&mut self, id: &BackendId, due: Option<Instant>) {
        match due {
            Some(due) => _ = self.0.insert(id.clone(), due),
            None => _ = self.0.remove(id),
        }
    }

    /// The backends that are due at `now`.
    pub(super) fn due(&self, now: Instant) -> Vec<BackendId> {
        self.0.iter().filter(|(_, due)| **due <= now).map(|(id, _)| id.clone()).collect()
    }

    /// Waits until a backend is due; for ever if none will be.
    pub(super) async fn next(&self) {
        match self.0.values().min() {
            Some(due) => tokio::time::sleep_until((*due).into()).await,
            None => std::future::pending().await,
        }
    }
}

/// The next changes of standing, as many as there are; for ever if nobody tells any.
pub(super) async fn next(heard: &mut Option<mpsc::Receiver<Transition>>) -> Vec<Transition> {
    let Some(heard) = heard else { return std::future::pending().await };
    let mut found = Vec::new();
    match heard.recv_many(&mut found, usize::MAX).await {
        0 => std::future::pending().await,
        _ => found,
    }
}

/// The backends of endpoints that came back into use.
pub(super) fn returned(transitions: &[Transition]) -> impl Iterator<Item = &BackendId> {
    transitions.iter().filter(|told| told.to == Standing::Ready).map(|told| &told.backend)
}

/// Logs changes of standing.
pub(super) fn log(transitions: &[Transition]) {
    for Transition { backend, address, from, to, reason, in_use, candidates } in transitions.iter().take(LOGGED) {
        let why = tracing::field::display(reason);
        match to {
            Standing::Ready => {
                info!(%backend, endpoint = %address, %from, why, in_use, candidates, "endpoint is back in use");
            }
            Standing::Ejected | Standing::Unhealthy => {
                warn!(%backend, endpoint = %address, standing = %to, why, in_use, candidates, "endpoint is set aside");
            }
        }
    }
    if let Some(count @ 1..) = transitions.len().checked_sub(LOGGED) {
        warn!(count, "further endpoints changed their standing; `fairlead backends` shows all");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ir::{Name, PortKey};

    fn id(service: &str) -> BackendId {
        BackendId::new(Name::new("shop", service), PortKey::Number(80))
    }

    #[test]
    fn a_backend_is_due_until_it_says_otherwise() {
        let now = Instant::now();
        let mut starts = Starts::default();
        starts.set(&id("a"), Some(now + Duration::from_secs(1)));
        starts.set(&id("b"), Some(now));
        assert_eq!(starts.due(now), [id("b")]);
        starts.set(&id("b"), None);
        assert_eq!(starts.due(now + Duration::from_secs(2)), [id("a")]);
        starts.set(&id("a"), Some(now + Duration::from_secs(3)));
        assert!(starts.due(now + Duration::from_secs(2)).is_empty());
    }
}
