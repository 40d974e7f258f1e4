//! x
use super::types::Signature;
pub(super) static TABLE: &[Signature] = &[];
