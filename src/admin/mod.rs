//! The process seen from outside: health, readiness, metrics, and what is served and why.
//!
//! A thread of its own answers, so that neither a long compile nor busy workers fail a probe.

mod answer;
mod api;
pub mod explain;
mod health;
mod lists;
mod metrics;
mod purge;
mod server;
pub mod shape;
mod state;
pub mod webhook;

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;

pub use self::api::ShortText;
pub use self::server::{Listeners, Server};
use crate::controller::Standing;
use crate::ir;
use crate::live::Registry;
use crate::table::SharedTable;
use crate::telemetry::{Metrics, Readiness};

/// What the answers are made from. All of it is shared with the threads that change it.
pub struct View {
    /// The table that is served.
    pub table: Arc<SharedTable>,
    /// Backends with their endpoints.
    pub registry: Arc<Registry>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Whether traffic may come.
    pub readiness: Arc<Readiness>,
    /// What is wrong with the configuration, in the order of every printed list.
    pub problems: Arc<ArcSwap<Vec<Standing>>>,
    /// The traffic listeners.
    pub listeners: Vec<Listener>,
    /// The certificate made at start, served for names without one when no default is configured.
    pub default_certificate: Arc<ir::Certificate>,
    /// Prints a configuration.
    pub short_text: ShortText,
    /// Flags that concern the answers.
    pub settings: AnswerSettings,
}

/// Flags that concern the answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerSettings {
    /// `--enable-metrics`.
    pub has_metrics: bool,
    /// `--health-check-path`: answered as `/healthz` is.
    pub health_check_path: String,
}

/// A traffic listener. Prints as `https:443`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// `http` or `https`.
    pub name: &'static str,
    /// The port that it is bound to.
    pub port: u16,
}

impl Listener {
    /// Whether requests come to it over TLS.
    pub fn is_tls(&self) -> bool {
        self.name == "https"
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.port)
    }
}

#[cfg(test)]
mod tests;
