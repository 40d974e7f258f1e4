//! See `etcd_doctor_fuzz::ftrace`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| etcd_doctor_fuzz::ftrace(data));
