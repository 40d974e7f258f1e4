//! A live etcd through its own API: read-only, with a deadline on every call.
//!
//! ```text
//! target::etcd (endpoints, credentials) → Dialer → one Connection a member → model → collect
//! ```
//!
//! One client a member: a client over several endpoints sends each request to another member, and
//! a status must be known to be of the member that was asked.

mod connect;
mod probe;
mod tls;
mod trouble;

pub use connect::{Connection, Dialer, runtime, within};
pub use probe::{Greeting, probe};
pub use trouble::{Trouble, TroubleKind};
