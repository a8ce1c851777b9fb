//! Fuzzes [`fairlead_fuzz::targets::pattern`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fairlead_fuzz::targets::pattern(data));
