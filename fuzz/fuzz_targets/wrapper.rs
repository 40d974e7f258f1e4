//! See `etcd_doctor_fuzz::wrapper_line`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| etcd_doctor_fuzz::wrapper_line(data));
