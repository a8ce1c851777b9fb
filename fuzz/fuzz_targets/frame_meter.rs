//! Fuzzes [`fairlead_fuzz::targets::frame_meter`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fairlead_fuzz::targets::frame_meter(data));
