//! The meaning of one key: resource, group, namespace, name.

use std::borrow::Cow;

use super::table::Builtin;

/// What a key means to Kubernetes. Everything borrows from the key or from the table of
/// built-in resources unless the key holds bytes that are no UTF-8.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyParts<'a> {
    /// `/registry`, `/kubernetes.io`, …; empty when the key has none.
    pub prefix: Cow<'a, str>,
    /// The built-in resource, where it is one.
    pub builtin: Option<&'static Builtin>,
    /// Plural name (`pods`), in parentheses what is no API object (`(health)`,
    /// `(masterleases)`), empty when the key is not Kubernetes's.
    pub resource: Cow<'a, str>,
    /// API group; `None` when unknown, empty for the core group.
    pub group: Option<Cow<'a, str>>,
    /// Namespace, where the key holds one.
    pub namespace: Option<Cow<'a, str>>,
    /// Object name, where the key holds one.
    pub name: Option<Cow<'a, str>>,
    /// Where the key ends.
    pub scope: Scope,
}

/// How much a key says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Not a Kubernetes key.
    #[default]
    Unknown,
    /// Above all resources (`/registry/`), or a whole API group.
    All,
    /// `/registry/pods`: the resource without a final slash, as old count polls and revision
    /// probes ask. As a range it also covers resources that share the beginning.
    ResourceBare,
    /// `/registry/pods/`.
    Resource,
    /// `/registry/pods/kube-system/`.
    Namespace,
    /// One object.
    Object,
}

/// A row of the load table that hashes and compares without allocating.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RowKey<'a> {
    /// A built-in resource, or a name in parentheses.
    Name(&'a str),
    /// A custom resource and its group.
    Custom(&'a str, &'a str),
}

impl KeyParts<'_> {
    /// `pods`, `leases.coordination.k8s.io`, `(health)`: the row of the load table. Empty for
    /// keys that are not Kubernetes's.
    pub fn resource_group(&self) -> Cow<'_, str> {
        match self.row_key() {
            RowKey::Name(name) => Cow::Borrowed(name),
            RowKey::Custom(resource, group) => Cow::Owned(format!("{resource}.{group}")),
        }
    }

    /// The same as a key that needs no allocation.
    pub fn row_key(&self) -> RowKey<'_> {
        if let Some(builtin) = self.builtin {
            return RowKey::Name(builtin.resource_group);
        }
        match self.group.as_deref() {
            None | Some("") => RowKey::Name(&self.resource),
            Some(group) => RowKey::Custom(&self.resource, group),
        }
    }

    /// Whether the key is an API object's or a list of such.
    pub fn is_object(&self) -> bool {
        !self.resource.is_empty() && !self.resource.starts_with('(')
    }

    /// The parts without borrowing.
    pub fn into_owned(self) -> KeyParts<'static> {
        fn own(text: Cow<'_, str>) -> Cow<'static, str> {
            Cow::Owned(text.into_owned())
        }
        KeyParts {
            prefix: own(self.prefix),
            builtin: self.builtin,
            resource: own(self.resource),
            group: self.group.map(own),
            namespace: self.namespace.map(own),
            name: self.name.map(own),
            scope: self.scope,
        }
    }
}
