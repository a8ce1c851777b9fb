//! What is counted and what is logged. Handles are resolved when a table is built; a worker writes only its own cells.

pub mod access_log;
mod failure;
pub mod metrics;

pub use self::access_log::{AccessLog, AccessWriter, Attempt, Record};
pub use self::failure::Failure;
pub use self::metrics::{Metrics, RouteMetrics, WorkerMetrics};
