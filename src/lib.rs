//! Fairlead: a Kubernetes ingress controller with its proxy inside.
//!
//! The order of the modules below is the order of the layers: a module uses only modules above it.
//! `docs/architecture.md` draws the picture.

pub mod uri;
pub mod ir;
pub mod settings;
pub mod snapshot;
pub mod compile;
pub mod telemetry;
pub mod http1;
pub mod live;
pub mod filter;
pub mod table;
pub mod proxy;
pub mod source;
pub mod report;
pub mod controller;
pub mod admin;
pub mod app;
pub mod commands;
