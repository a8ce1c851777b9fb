//! Client, proxy and back end over loopback, one file for each feature.

mod authority;
mod backend_tls;
mod canary;
mod client_certificates;
mod config;
mod cache;
mod compress;
mod external;
pub mod filters;
mod health;
mod hosts;
mod mirror;
mod pace;
mod passwords;
pub mod late;
pub mod plain;
pub mod scripted;
mod regex;
mod seen;
mod snippets;
