//! What a key means: its rows in the tables and its shape, worked out once and remembered.

use crate::catalog::resources::RowKey;
use crate::logs::aggregate::hash::{mixed, stable_hash};
use crate::logs::aggregate::hot::{folder_of, in_namespace, is_free, is_plain};
use crate::logs::aggregate::memory::{Meaning, Rows};
use crate::logs::aggregate::row::LoadRow;
use crate::logs::aggregate::table::Bounded;
use crate::logs::event::{Request, Shape};
use crate::logs::record::Record;
use crate::logs::signature::{Detail, classify};

use super::Load;
use super::tables::NONE;

/// By what a meaning is remembered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Label {
    hash: u64,
    /// Whether it says nothing of the namespace.
    free: bool,
}

impl Load {
    /// What a key means, remembered by all that decides it; without a record, only if it was met.
    pub(super) fn known(
        &mut self,
        record: Option<&Record<'_>>,
        variant: u64,
        hash: u64,
        range: (&[u8], &[u8]),
    ) -> Option<Meaning> {
        match self.recall(variant, hash, range) {
            Ok(known) => Some(known),
            Err(class) => {
                let event = classify(record?, Detail::Counts)?;
                Some(self.remember(class, event.request.as_ref()?))
            }
        }
    }

    /// What a key meant when it was met before, or what to remember it by. `hash` is that of key
    /// and range end.
    #[inline]
    pub(super) fn recall(
        &mut self,
        variant: u64,
        hash: u64,
        (key, range_end): (&[u8], &[u8]),
    ) -> Result<Meaning, Label> {
        let mut free = None;
        if let Some((folder, namespace)) = in_namespace(key, range_end) {
            let class = stable_hash(variant << 2 | 2, folder).max(1);
            free = Some((class, folder, namespace));
            if let Some(known) = self.remembered(class)
                && let Some(row) = self.plain_namespace(namespace)
            {
                return Ok(Meaning {
                    namespace: row,
                    ..known
                });
            }
        }
        let own = match folder_of(key, range_end) {
            Some(folder) => stable_hash(variant << 2 | 1, folder),
            None => mixed(hash, variant << 2),
        };
        let own = own.max(1);
        self.remembered(own).ok_or_else(|| {
            // What does not depend on the namespace is remembered once for all of them.
            match free {
                Some((class, folder, namespace))
                    if is_plain(namespace) && is_free(key, folder, namespace) =>
                {
                    Label {
                        hash: class,
                        free: true,
                    }
                }
                _ => Label {
                    hash: own,
                    free: false,
                },
            }
        })
    }

    /// The row of a namespace, unless its name may mean something else in a key.
    #[inline]
    fn plain_namespace(&mut self, namespace: &[u8]) -> Option<u32> {
        if let Some(row) = self.memory.namespaces.get(namespace) {
            return Some(row);
        }
        if !is_plain(namespace) {
            return None;
        }
        let name = std::str::from_utf8(namespace).ok()?;
        let row = self.tables.namespaces.id(name);
        self.memory.namespaces.put(namespace, row);
        Some(row)
    }

    #[inline]
    fn remembered(&mut self, class: u64) -> Option<Meaning> {
        let tables = &mut self.tables;
        let mut rows = Rows {
            resources: &mut tables.resources,
            namespaces: &mut tables.namespaces,
            prefixes: &mut tables.prefixes,
        };
        self.memory.meanings.get(class, &mut rows)
    }

    pub(super) fn remember(&mut self, class: Label, request: &Request<'_>) -> Meaning {
        let found = self.meaning_of(request);
        let namespace = request.parts.namespace.as_deref();
        self.memory.meanings.set(
            class.hash,
            found.shape,
            self.tables
                .resources
                .key(found.resource)
                .unwrap_or_default(),
            namespace.filter(|_| !class.free),
            Some(&*request.parts.prefix).filter(|prefix| !prefix.is_empty()),
        );
        found
    }

    /// Rows and shape of a request.
    pub(super) fn meaning_of(&mut self, request: &Request<'_>) -> Meaning {
        let shape = Shape::ALL
            .iter()
            .position(|shape| *shape == request.shape)
            .and_then(|at| u8::try_from(at).ok())
            .unwrap_or(u8::MAX);
        let resource = self.resource(request);
        let tables = &mut self.tables;
        let namespace = request.parts.namespace.as_deref();
        let namespace = optional_id(&mut tables.namespaces, namespace);
        let prefix = Some(&*request.parts.prefix).filter(|prefix| !prefix.is_empty());
        let prefix = optional_id(&mut tables.prefixes, prefix);
        Meaning {
            shape,
            resource,
            namespace,
            prefix,
        }
    }

    fn resource(&mut self, request: &Request<'_>) -> u32 {
        let table = &mut self.tables.resources;
        match request.parts.row_key() {
            RowKey::Name("") if request.key.is_none() => {
                table.id(&format!("({})", request.operation.word()))
            }
            RowKey::Name("") => table.id("(other keys)"),
            RowKey::Name(name) => table.id(name),
            RowKey::Custom(name, group) => table.id_of_parts(name, group),
        }
    }
}

fn optional_id(table: &mut Bounded<LoadRow>, name: Option<&str>) -> u32 {
    name.map_or(NONE, |name| table.id(name))
}

pub(super) fn is_shape(known: Meaning, shape: Shape) -> bool {
    Shape::ALL.get(usize::from(known.shape)) == Some(&shape)
}
