//! Clients.

mod meter;
mod wire;
