//! Fuzzes [`fairlead_fuzz::targets::response_head`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fairlead_fuzz::targets::response_head(data));
