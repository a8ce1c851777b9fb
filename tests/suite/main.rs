//! Every integration test is a module of this one binary: each further binary would link the whole program once more.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "everything here is a test; the lints' own exemption ends at functions marked as tests"
)]

mod admin;
mod architecture;
mod balancing;
mod bed;
mod bounds;
mod checks;
mod cli;
mod clients;
mod cluster;
mod controller;
mod docs;
mod drills;
mod exchange;
mod explain;
mod folder;
mod fuzz_corpus;
mod golden;
mod http2;
mod memo;
mod migration;
mod origin;
mod routing;
mod sticky;
mod swap;
mod telemetry;
mod tls;
mod wire;
