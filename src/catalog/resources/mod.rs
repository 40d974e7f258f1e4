//! What an etcd key or an API path means to Kubernetes.
//!
//! kube-apiserver stores built-in objects under `PREFIX/PLURAL[/NAMESPACE]/NAME`, without their
//! group, and custom resources under `PREFIX/GROUP/PLURAL[/NAMESPACE]/NAME`. [`BUILTINS`] gives
//! the group back; [`parse_key`] reads keys, [`parse_path`] reads request URIs.

mod detect;
mod events;
mod key;
mod parts;
mod path;
mod table;
mod under_prefix;

pub use events::is_events;
pub use key::{KNOWN_PREFIXES, is_health_key, parse_bare_key, parse_key, parse_key_with};
pub use parts::{KeyParts, RowKey, Scope};
pub use path::{ApiPath, names_resource, parse_path};
pub use table::{BUILTINS, Builtin, builtin_by_name, builtin_by_segment, builtin_by_type};
