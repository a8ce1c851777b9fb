//! Sockets.

pub mod balance;
mod bind;
mod crowd;
mod downstream;
mod drain;
mod listener;
mod port_holder;
mod tls;
