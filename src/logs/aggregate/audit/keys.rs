//! The keys of rows.

use crate::catalog::resources::{KeyParts, RowKey};
use crate::logs::aggregate::seconds::Class;
use crate::logs::audit::AuditRecord;

/// Stands between the parts of a row's key.
pub const SEPARATOR: char = '\u{1f}';

/// Writes the parts of a key, with what stands between them.
pub(super) fn write_key(key: &mut String, parts: &[&str]) {
    key.clear();
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            key.push(SEPARATOR);
        }
        key.push_str(part);
    }
}

/// `resource.group` in parts: the resource, what stands between, the group.
pub(super) fn resource_parts<'p>(parts: &'p KeyParts<'_>) -> [&'p str; 3] {
    match parts.row_key() {
        RowKey::Name(name) => [name, "", ""],
        RowKey::Custom(resource, group) => [resource, ".", group],
    }
}

/// Writes what the keys of a caller's objects begin with.
pub(super) fn object_beginning(key: &mut String, record: &AuditRecord<'_>) {
    let agent = record.user_agent.as_deref().unwrap_or("");
    let user = record.user.as_deref().unwrap_or("");
    let [resource, dot, group] = resource_parts(&record.parts);
    write_key(key, &[agent, user, &record.verb, resource]);
    key.push_str(dot);
    key.push_str(group);
    key.push(SEPARATOR);
}

/// Writes the key of an object.
pub(super) fn object_key(key: &mut String, record: &AuditRecord<'_>) {
    object_beginning(key, record);
    if let Some(namespace) = record.parts.namespace.as_deref()
        && !namespace.is_empty()
    {
        key.push_str(namespace);
        key.push('/');
    }
    key.push_str(record.parts.name.as_deref().unwrap_or(""));
}

/// Writes the name of a request's cells.
pub(super) fn second_name(key: &mut String, record: &AuditRecord<'_>) {
    for part in resource_parts(&record.parts) {
        key.push_str(part);
    }
    let class = Class::of_verb(&record.verb).map_or("", Class::word);
    for part in [
        class,
        record.user_agent.as_deref().unwrap_or(""),
        record.user.as_deref().unwrap_or(""),
    ] {
        key.push(SEPARATOR);
        key.push_str(part);
    }
}
