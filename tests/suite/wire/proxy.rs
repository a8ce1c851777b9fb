//! The proxy of the scripts: one worker, one host, one endpoint.

use std::net::SocketAddr;

use fairlead::settings::Limits;

use crate::bed::{self, Bed};

/// Serves host `a.example` from one endpoint, `upstream`, under `limits` as `--limit` takes them, with the annotations of
/// its Ingress as YAML flow text.
pub(super) fn start(upstream: SocketAddr, limits: &[(&str, &str)], annotations: &str) -> Bed {
    let mut all = Limits::default();
    for (name, value) in limits {
        all.set(name, value).unwrap();
    }
    let manifests = bed::ingress("wire", "a.example", "/", "app", annotations) + &bed::service("app", &[upstream]);
    Bed::with(&manifests, all, 1, None)
}
