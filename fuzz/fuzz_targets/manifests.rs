//! Fuzzes [`fairlead_fuzz::targets::manifests`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fairlead_fuzz::targets::manifests(data));
