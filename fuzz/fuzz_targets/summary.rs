//! See `etcd_doctor_fuzz::summary_file`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| etcd_doctor_fuzz::summary_file(data));
