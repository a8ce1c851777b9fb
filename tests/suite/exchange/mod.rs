//! Client, proxy and back end over loopback, one file for each feature.

mod authority;
mod backend_tls;
mod client_certificates;
pub mod filters;
mod config;
mod health;
mod hosts;
pub mod late;
pub mod plain;
mod regex;
mod seen;
