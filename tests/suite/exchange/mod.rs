//! Client, proxy and back end over loopback, one file for each feature.

mod cache;
mod compress;
pub mod filters;
mod config;
mod health;
mod hosts;
pub mod late;
pub mod plain;
pub mod scripted;
mod regex;
mod seen;
