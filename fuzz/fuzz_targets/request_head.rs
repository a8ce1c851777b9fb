//! Fuzzes [`fairlead_fuzz::targets::request_head`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fairlead_fuzz::targets::request_head(data));
