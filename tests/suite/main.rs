//! Every integration test is a module of this one binary: each further binary would link the whole program once more.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "everything here is a test; the lints' own exemption ends at functions marked as tests"
)]

mod admin;
mod architecture;
mod bed;
mod cli;
mod clients;
#[cfg(test)]
mod controller;
mod docs;
mod exchange;
#[cfg(test)]
mod folder;
#[cfg(test)]
mod fuzz_corpus;
#[cfg(test)]
mod golden;
mod http2;
#[cfg(test)]
mod memo;
mod origin;
mod routing;
mod swap;
mod telemetry;
#[cfg(test)]
mod wire;
