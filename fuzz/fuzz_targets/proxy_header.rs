//! Fuzzes [`fairlead_fuzz::targets::proxy_header`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fairlead_fuzz::targets::proxy_header(data));
