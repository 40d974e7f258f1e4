//! What is here and how to reach it. Every read of a host's files goes through [`HostRoot`].

mod root;

pub use root::{Entry, HostRoot};
