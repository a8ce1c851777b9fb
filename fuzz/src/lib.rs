//! What is fuzzed, as plain functions: libFuzzer calls them on nightly, `tests/suite/fuzz_corpus.rs` on stable.

mod second;
pub mod targets;
