//! Paths and hosts in the one form that everything is matched in: `compile` brings Ingresses to it, the proxy requests.

pub mod host;
pub mod path;

/// Why a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Fault(pub &'static str);
