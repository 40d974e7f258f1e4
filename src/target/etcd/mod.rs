//! Where etcd is and with what one may talk to it: endpoints, credentials, and how they are found
//! on a node. Pure: nothing here opens a connection.

mod access;
mod discover;
mod endpoint;

pub use access::{Access, Identity, Pem, User};
pub use discover::{ApiServerEtcd, Discovered, Known, LocalEtcd, credentials, discover};
pub use endpoint::{Endpoint, Scheme};
