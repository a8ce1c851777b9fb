//! Sockets.

mod bind;
mod downstream;
mod port_holder;
mod tls;
