//! Fuzzes [`fairlead_fuzz::targets::host`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fairlead_fuzz::targets::host(data));
