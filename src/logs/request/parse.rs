//! A request text to a [`Request`].

use std::borrow::Cow;

use crate::catalog::resources::{KeyParts, Scope, parse_key};
use crate::logs::event::{Operation, Request};

use super::names;
use super::shape::{Compare, Facts, cut_shape, shape_of};
use super::token::{Quoted, Token, Tokens};

/// Reads a request text as the slow-apply lines print it.
pub fn parse_request(text: &[u8]) -> Request<'_> {
    parse_request_as(text, Operation::Unknown)
}

/// As [`parse_request`], where the line names the operation elsewhere (`response type`) and the
/// text is only the request's own fields.
pub fn parse_request_as(text: &[u8], hint: Operation) -> Request<'_> {
    read_request(text, hint, false)
}

/// As [`parse_request_as`], of a text that breaks off: only what is surely there is told.
pub fn parse_cut_request(text: &[u8], hint: Operation) -> Request<'_> {
    read_request(text, hint, true)
}

fn read_request(text: &[u8], hint: Operation, cut: bool) -> Request<'_> {
    let mut reader = Reader {
        tokens: Tokens::new(text),
        facts: Facts {
            cut,
            ..Facts::default()
        },
        id: None,
        key: None,
        range_end: None,
    };
    let operation = match hint {
        Operation::Unknown => reader.request(),
        hint => {
            reader.fields_of(hint);
            hint
        }
    };
    reader.finish(operation)
}

struct Reader<'a> {
    tokens: Tokens<'a>,
    facts: Facts,
    id: Option<u64>,
    key: Option<Quoted<'a>>,
    range_end: Option<Quoted<'a>>,
}

fn number(word: &[u8]) -> Option<u64> {
    if word.is_empty() || word.len() > 20 {
        return None;
    }
    word.iter().try_fold(0u64, |value, digit| {
        if !digit.is_ascii_digit() {
            return None;
        }
        value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    })
}

impl<'a> Reader<'a> {
    /// The whole text: a bare range, a read-only transaction, or `header:<…>` and an operation.
    fn request(&mut self) -> Operation {
        while let Some(token) = self.tokens.next() {
            let Token::Name(name) = token else {
                // A torn or foreign beginning.
                if token == Token::Open {
                    self.tokens.skip_block();
                }
                continue;
            };
            let operation = match name {
                b"header" => {
                    self.header();
                    continue;
                }
                b"key"
                | b"range_end"
                | b"limit"
                | b"revision"
                | b"sort_order"
                | b"sort_target"
                | b"serializable"
                | b"keys_only"
                | b"count_only"
                | b"min_mod_revision"
                | b"max_mod_revision"
                | b"min_create_revision"
                | b"max_create_revision" => {
                    self.range_field(name);
                    self.range_fields();
                    return Operation::Range;
                }
                b"compare" | b"success" | b"failure" => {
                    self.txn_field(name);
                    self.txn_fields();
                    return Operation::Txn;
                }
                b"ID" | b"Method" | b"Path" | b"Val" => {
                    self.v2_field(name);
                    self.v2_fields();
                    return Operation::V2;
                }
                other => operation_of(other),
            };
            if operation == Operation::Unknown {
                self.tokens.skip_value();
                continue;
            }
            self.open();
            self.fields_of(operation);
            return operation;
        }
        // An empty text is a range without any field, or nothing at all: not told apart.
        Operation::Unknown
    }

    /// Enters the block of the operation just named.
    fn open(&mut self) {
        self.tokens.take_if(|token| *token == Token::Open);
    }

    fn fields_of(&mut self, operation: Operation) {
        match operation {
            Operation::Range | Operation::DeleteRange => self.range_fields(),
            Operation::Put => self.put_fields(),
            Operation::Txn => self.txn_fields(),
            Operation::V2 => self.v2_fields(),
            Operation::LeaseGrant
            | Operation::LeaseRevoke
            | Operation::LeaseCheckpoint
            | Operation::Compaction => self.small_fields(),
            _ => {}
        }
    }

    fn header(&mut self) {
        self.open();
        while let Some(token) = self.tokens.next() {
            match token {
                Token::Close => return,
                Token::Name(b"ID") => self.id = self.word_number(),
                Token::Open => self.tokens.skip_block(),
                _ => {}
            }
        }
    }

    fn word(&mut self) -> Option<&'a [u8]> {
        match self.tokens.take_if(|token| matches!(token, Token::Word(_))) {
            Some(Token::Word(word)) => Some(word),
            _ => self.missing(),
        }
    }

    fn word_number(&mut self) -> Option<u64> {
        let word = self.word()?;
        // Where the text breaks off, it may be the beginning of a longer one.
        if self.facts.cut && self.tokens.rest().is_empty() {
            return None;
        }
        number(word)
    }

    fn text(&mut self) -> Option<Quoted<'a>> {
        match self.tokens.take_if(|token| matches!(token, Token::Text(_))) {
            Some(Token::Text(quoted)) => {
                self.facts.cut |= quoted.torn;
                Some(quoted)
            }
            _ => self.missing(),
        }
    }

    /// A field without its value: if nothing follows, the text was cut there.
    fn missing<T>(&mut self) -> Option<T> {
        self.facts.cut |= self.tokens.rest().is_empty();
        None
    }

    fn is_true(&mut self) -> bool {
        self.word() == Some(b"true")
    }

    fn range_fields(&mut self) {
        while let Some(token) = self.tokens.next() {
            match token {
                Token::Name(name) => self.range_field(name),
                Token::Open => self.tokens.skip_block(),
                Token::Close => return,
                // The beginning of a name.
                _ => self.facts.cut |= self.tokens.rest().is_empty(),
            }
        }
    }

    fn range_field(&mut self, name: &[u8]) {
        match name {
            b"key" => {
                let key = self.text();
                if self.key.is_none() {
                    self.key = key;
                }
            }
            b"range_end" => {
                let end = self.text();
                if self.range_end.is_none() {
                    self.range_end = end;
                }
            }
            b"limit" => self.facts.limit = self.word_number(),
            b"revision" => self.facts.revision = self.word_number(),
            b"count_only" => self.facts.count_only = self.is_true(),
            b"keys_only" => self.facts.keys_only = self.is_true(),
            b"serializable" => self.facts.serializable = self.is_true(),
            b"sort_order" | b"sort_target" => {
                self.facts.sorted = true;
                self.tokens.skip_value();
            }
            _ => self.tokens.skip_value(),
        }
    }

    fn put_fields(&mut self) {
        while let Some(token) = self.tokens.next() {
            match token {
                Token::Name(b"key") => {
                    let key = self.text();
                    if self.key.is_none() {
                        self.key = key;
                    }
                }
                Token::Name(b"value_size") => {
                    let size = self.word_number();
                    self.facts.value_size = self.facts.value_size.or(size);
                }
                Token::Name(b"lease") => {
                    self.facts.lease = self.word_number().is_some_and(|id| id != 0)
                }
                // `value:"…"` at debug level is an object, secrets included: never kept.
                Token::Name(_) => self.tokens.skip_value(),
                Token::Open => self.tokens.skip_block(),
                Token::Close => return,
                _ => {}
            }
        }
    }

    fn txn_fields(&mut self) {
        while let Some(token) = self.tokens.next() {
            match token {
                // The last branch only reads the key back, which is known by then.
                Token::Name(b"failure") if self.key.is_some() => return,
                Token::Name(name) => self.txn_field(name),
                Token::Open => self.tokens.skip_block(),
                Token::Close => return,
                _ => {}
            }
        }
    }

    fn txn_field(&mut self, name: &[u8]) {
        match name {
            b"compare" => {
                self.open();
                self.compares();
            }
            b"success" => {
                self.open();
                self.branch(true);
            }
            b"failure" => {
                self.open();
                self.branch(false);
            }
            _ => self.tokens.skip_value(),
        }
    }

    /// The compares of a transaction, one after the other without brackets of their own.
    fn compares(&mut self) {
        while let Some(token) = self.tokens.next() {
            match token {
                Token::Name(b"key") => {
                    self.facts.compares += 1;
                    let key = self.text();
                    if self.key.is_none() {
                        self.key = key;
                    }
                }
                Token::Name(b"mod_revision" | b"version" | b"create_revision") => {
                    let compare = match self.word_number() {
                        Some(0) => Compare::Absent,
                        Some(_) => Compare::Revision,
                        None => Compare::Other,
                    };
                    if self.facts.compare.is_none() {
                        self.facts.compare = Some(compare);
                    }
                }
                Token::Name(b"target" | b"result") => self.tokens.skip_value(),
                Token::Name(_) => {
                    if self.facts.compare.is_none() {
                        self.facts.compare = Some(Compare::Other);
                    }
                    self.tokens.skip_value();
                }
                // 3.7 may bracket each compare.
                Token::Open => self.compares(),
                Token::Close => return,
                _ => {}
            }
        }
    }

    /// The operations of one branch. Only those of the success branch count and name the
    /// transaction; failure branches of Kubernetes read the key back.
    fn branch(&mut self, success: bool) {
        while let Some(token) = self.tokens.next() {
            let name = match token {
                Token::Name(name) => name,
                Token::Open => {
                    self.tokens.skip_block();
                    continue;
                }
                Token::Close => return,
                _ => continue,
            };
            self.open();
            if !success {
                if self.key.is_none()
                    && self
                        .tokens
                        .take_if(|token| *token == Token::Name(b"key"))
                        .is_some()
                {
                    self.key = self.text();
                }
                self.tokens.skip_block();
                continue;
            }
            self.facts.operations += 1;
            match name {
                b"request_put" => {
                    self.facts.puts += 1;
                    self.put_fields();
                }
                b"request_range" => {
                    self.facts.ranges += 1;
                    // Ranges inside a transaction never make it a LIST or a count.
                    self.inner_range();
                }
                b"request_delete_range" => {
                    self.facts.deletes += 1;
                    self.inner_range();
                }
                _ => self.tokens.skip_block(),
            }
        }
    }

    fn inner_range(&mut self) {
        while let Some(token) = self.tokens.next() {
            match token {
                Token::Name(b"key") => {
                    let key = self.text();
                    if self.key.is_none() {
                        self.key = key;
                    }
                }
                Token::Name(_) => self.tokens.skip_value(),
                Token::Open => self.tokens.skip_block(),
                Token::Close => return,
                _ => {}
            }
        }
    }

    fn small_fields(&mut self) {
        while let Some(token) = self.tokens.next() {
            match token {
                Token::Name(b"revision") => self.facts.revision = self.word_number(),
                Token::Name(_) => self.tokens.skip_value(),
                Token::Open => self.tokens.skip_block(),
                Token::Close => return,
                _ => {}
            }
        }
    }

    fn v2_fields(&mut self) {
        while let Some(token) = self.tokens.next() {
            match token {
                Token::Name(name) => self.v2_field(name),
                Token::Close => return,
                _ => {}
            }
        }
    }

    fn v2_field(&mut self, name: &[u8]) {
        match name {
            b"ID" => self.id = self.word_number(),
            b"Method" => {
                let method = self.text();
                // The server's own /health asks with QGET up to 3.3.
                self.facts.v2_qget = method.is_some_and(|method| method.raw() == b"QGET");
            }
            b"Path" => {
                let path = self.text();
                if self.key.is_none() {
                    self.key = path;
                }
            }
            _ => self.tokens.skip_value(),
        }
    }

    fn finish(self, operation: Operation) -> Request<'a> {
        let facts = self.facts;
        let key_torn = self.key.is_some_and(|key| key.torn);
        let key = self.key.map(|quoted| quoted.bytes());
        let range_end = self.range_end.map(|quoted| quoted.bytes());
        let mut parts = match (operation, &key) {
            (Operation::V2, _) | (_, None) => KeyParts::default(),
            (_, Some(key)) if key_torn => own(key, parse_torn),
            (_, Some(key)) => parts_of(key, range_end.as_deref()),
        };
        let mut shape = shape_of(
            operation,
            &facts,
            key.as_deref(),
            range_end.as_deref(),
            parts.scope,
        );
        if facts.cut {
            shape = cut_shape(operation, &facts, shape);
            if range_end.is_none() && operation == Operation::Range {
                // The end that follows may make a position of what looks like a name.
                parts.name = None;
            }
        }
        Request {
            operation,
            shape,
            id: self.id,
            key,
            range_end,
            parts,
            limit: facts.limit,
            revision: facts.revision,
            count_only: facts.count_only,
            keys_only: facts.keys_only,
            serializable: facts.serializable,
            leased: facts.lease,
            operations: match operation {
                Operation::Txn => facts.operations,
                _ => 1,
            },
            value_size: facts.value_size,
            torn: key_torn,
        }
    }
}

fn operation_of(name: &[u8]) -> Operation {
    match name {
        b"put" => Operation::Put,
        b"txn" => Operation::Txn,
        b"range" => Operation::Range,
        b"delete_range" => Operation::DeleteRange,
        b"lease_grant" => Operation::LeaseGrant,
        b"lease_revoke" => Operation::LeaseRevoke,
        b"lease_checkpoint" => Operation::LeaseCheckpoint,
        b"compaction" => Operation::Compaction,
        b"alarm" => Operation::Alarm,
        b"v2" => Operation::V2,
        other => names::of_request(other),
    }
}

/// Borrowed keys give borrowed parts; keys that had escapes give their own.
fn own<'a>(key: &Cow<'a, [u8]>, read: impl Fn(&[u8]) -> KeyParts<'_>) -> KeyParts<'a> {
    read(key).into_owned()
}

fn parts_of<'a>(key: &Cow<'a, [u8]>, range_end: Option<&[u8]>) -> KeyParts<'a> {
    let parts = match key {
        Cow::Borrowed(key) => parse_key(key),
        Cow::Owned(_) => own(key, parse_key),
    };
    match range_end {
        Some(end) => page_parts(parts, end),
        None => parts,
    }
}

/// The parts of a range's key. A later page starts behind the last object of the page before: the
/// name in the key is only a position, and the range's end says whether it is one namespace's or all.
pub(crate) fn page_parts<'a>(mut parts: KeyParts<'a>, range_end: &[u8]) -> KeyParts<'a> {
    if parts.scope != Scope::Object || parts.name.is_none() {
        return parts;
    }
    if let Some(prefix) = range_end.split_last().map(|(_, prefix)| parse_key(prefix)) {
        parts.scope = match prefix.scope {
            Scope::ResourceBare | Scope::Resource => {
                parts.namespace = None;
                Scope::Resource
            }
            Scope::Namespace => Scope::Namespace,
            // `/registry/example.com/widgets/default0`: a custom resource's namespace
            // looks like a name.
            Scope::Object if prefix.namespace.is_none() && parts.namespace.is_some() => {
                Scope::Namespace
            }
            other => other,
        };
    }
    parts.name = None;
    parts
}

/// A key that was cut: what stands before its last slash is whole.
pub(crate) fn parse_torn(key: &[u8]) -> KeyParts<'_> {
    match memchr::memrchr(b'/', key) {
        Some(slash) if slash > 0 => {
            let mut parts = parse_key(key.get(..=slash).unwrap_or_default());
            if parts.scope == Scope::All {
                // The resource itself is cut.
                parts = KeyParts {
                    prefix: parts.prefix,
                    ..KeyParts::default()
                };
            }
            parts
        }
        _ => KeyParts::default(),
    }
}

#[cfg(test)]
mod tests;
