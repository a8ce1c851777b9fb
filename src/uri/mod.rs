//! Paths and hosts in the one form that everything is matched in: `compile` brings Ingresses to it, the proxy requests. And
//! tokens, which both read.

pub mod host;
pub mod path;
pub mod token;

/// Why a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Fault(pub &'static str);
