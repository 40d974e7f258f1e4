//! See `etcd_doctor_fuzz::x509`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| etcd_doctor_fuzz::x509(data));
