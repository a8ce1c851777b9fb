//! Sockets: client connections, the life of a request, connections to back ends.

mod affinity;
mod attempt;
pub mod balance;
mod bind;
mod checks;
mod clock;
mod connection;
mod crowd;
mod downstream;
mod drain;
mod error;
mod exchange;
mod forward;
mod io;
mod listener;
mod note;
mod outbox;
mod port_holder;
mod reply;
mod respond;
mod spare;
mod start;
mod timer;
mod tls;
mod tunnel;
mod unread;
mod upload;
mod upstream;
mod worker;

pub use self::bind::{BindError, bind_one};
pub use self::checks::Checks;
pub use self::downstream::meter;
pub use self::drain::Phase;
pub use self::port_holder::port_holder;
pub use self::start::{Shared, Sockets, StartError, Workers};
pub use self::tls::AnyCertificate;
