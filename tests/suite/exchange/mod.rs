//! Client, proxy and back end over loopback, one file for each feature.

mod canary;
mod config;
pub mod filters;
mod health;
mod hosts;
pub mod late;
pub mod plain;
mod regex;
mod seen;
