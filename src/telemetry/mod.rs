//! What is counted and what is logged. Handles are resolved when a table is built; a worker writes only its own cells.

pub mod access_log;
pub mod exposition;
mod failure;
pub mod log;
pub mod metrics;
pub mod moment;
mod per_worker;
mod readiness;
mod sink;

pub use self::access_log::{AccessLog, AccessWriter, Attempt, Record, upstream_name};
pub use self::failure::Failure;
pub use self::metrics::{Copied, Gauge, Metrics, RouteMetrics, WatchAge, WorkerMetrics};
pub(crate) use self::per_worker::PerWorker;
pub use self::readiness::{Alive, Part, Readiness, Unready};
