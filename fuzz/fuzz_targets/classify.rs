//! See `etcd_doctor_fuzz::classify_lines`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| etcd_doctor_fuzz::classify_lines(data));
