//! See `etcd_doctor_fuzz::decode`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| etcd_doctor_fuzz::decode(data));
