//! Client, proxy and back end over loopback, one file for each feature.

mod as_nginx;
mod authority;
mod backend_tls;
mod broken_guards;
mod canary;
mod client_certificates;
mod config;
mod cache;
mod compress;
mod every;
mod external;
pub mod filters;
mod global_auth;
mod health;
mod hosts;
mod mirror;
mod pace;
mod passwords;
pub mod late;
mod limits;
pub mod plain;
mod pools;
pub mod scripted;
mod regex;
mod seen;
mod snippets;
