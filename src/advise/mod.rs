//! Models that turn evidence and the diagnosis into "set X from A to B, because …".

mod advice;

pub use advice::{Advice, Bound, Disposition, Relief, Remedy, Strength};
