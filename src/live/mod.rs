//! Keyed cells that outlast tables: a table pins them by identity, and a new table finds them again.

mod alias;
mod asked;
mod backend;
mod budget;
mod cache;
mod endpoint;
mod health;
mod identity;
mod keyed;
mod latency;
pub mod limits;
mod registry;
mod rendezvous;
mod replicas;
mod set;
pub mod standing;
mod transition;
mod turns;

pub use self::alias::Alias;
pub use self::asked::{Asked, Silence};
pub use self::backend::{Admitted, Backend};
pub use self::budget::RetryBudget;
pub use self::cache::{
    Body, Cache, Fetch, Joined, Lead, Life, Next, Outcome, Place, Reserved, Selecting, Slot, Stored, compact, join,
};
pub use self::endpoint::{Endpoint, FULL, InFlight, Key, Pod};
pub use self::identity::TlsIdentity;
pub use self::limits::Limits;
pub use self::registry::Registry;
pub use self::rendezvous::{Fnv, Rendezvous, next};
pub use self::replicas::Replicas;
pub use self::set::EndpointSet;
pub use self::standing::{Fault, History, Standing};
pub use self::transition::Transition;
