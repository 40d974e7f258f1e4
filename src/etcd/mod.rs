//! A live etcd through its own API: read-only, with a deadline on every call.
//!
//! ```text
//! target::etcd (endpoints, credentials) → Dialer → one Connection a member → model → collect
//! ```
//!
//! One client a member: a client over several endpoints sends each request to another member, and
//! a status must be known to be of the member that was asked.

pub mod collect;
mod connect;
mod gather;
pub mod model;
mod plan;
mod probe;
mod roster;
mod tls;
mod trouble;

pub use collect::{Quotas, collect, examine};
pub use connect::{Connection, Dialer, runtime, within};
pub use gather::{gather, gather_telling};
pub use model::Model;
pub use plan::Plan;
pub use probe::{Greeting, probe};
pub use trouble::{Trouble, TroubleKind};
