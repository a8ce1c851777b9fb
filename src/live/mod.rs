//! Keyed cells that outlast tables: a table pins them by identity, and a new table finds them again.

mod backend;
mod budget;
mod endpoints;
mod registry;

pub use self::backend::Backend;
pub use self::budget::RetryBudget;
pub use self::endpoints::{Endpoint, EndpointSet, InFlight};
pub use self::registry::Registry;
