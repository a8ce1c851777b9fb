//! Client, proxy and back end over loopback, one file for each feature.

mod cache;
mod compress;
mod health;
pub mod late;
pub mod plain;
pub mod scripted;
mod seen;
