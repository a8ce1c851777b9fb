//! Client, proxy and back end over loopback, one file for each feature.

mod canary;
pub mod filters;
mod config;
mod health;
mod hosts;
pub mod late;
pub mod plain;
mod regex;
mod seen;
