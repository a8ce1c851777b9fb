//! Every integration test is a module of this one binary: each further binary would link the whole program once more.

mod admin;
mod architecture;
mod bed;
mod docs;
mod exchange;
mod routing;
#[cfg(test)]
mod fuzz_corpus;
mod telemetry;
