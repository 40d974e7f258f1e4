//! See `etcd_doctor_fuzz::wal`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| etcd_doctor_fuzz::wal(data));
