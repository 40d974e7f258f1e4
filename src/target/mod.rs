//! What is here and how to reach it. Every read of a host's files goes through [`HostRoot`].

pub mod etcd;
mod root;
mod tree;

pub use root::{Entry, HostRoot};
pub use tree::Tree;
