//! Sockets: client connections, the life of a request, connections to back ends.

pub mod balance;
mod bind;
mod clock;
mod crowd;
pub mod downstream;
mod drain;
mod error;
mod exchange;
mod forward;
mod io;
mod listener;
mod note;
mod port_holder;
mod reply;
mod timer;
mod tls;
mod tunnel;
mod upload;
mod upstream;
mod worker;
