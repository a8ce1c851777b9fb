//! Keyed cells that outlast tables: a table pins them by identity, and a new table finds them again.

mod backend;
mod registry;

pub use self::backend::{Backend, Endpoint, EndpointSet, RetryBudget};
pub use self::registry::Registry;
