//! Every integration test is a module of this one binary: each further binary would link the whole program once more.

mod architecture;
mod docs;
mod routing;
#[cfg(test)]
mod fuzz_corpus;
