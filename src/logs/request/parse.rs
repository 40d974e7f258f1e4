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
        // A later page starts behind the last object of the page before: the name in the key is
        // only a position, and the range's end says whether it is one namespace's or all.
        Some(end) if parts.scope == Scope::Object && parts.name.is_some() => {
            let mut parts = parts;
            if let Some(prefix) = end.split_last().map(|(_, prefix)| parse_key(prefix)) {
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
        _ => parts,
    }
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
mod tests {
    use super::*;
    use crate::logs::event::Shape;

    /// operation, resource.group, namespace, name, shape
    fn read(text: &str) -> String {
        let request = parse_request(text.as_bytes());
        format!(
            "{} {} {} {} {}",
            request.operation.word(),
            request.parts.resource_group(),
            request.parts.namespace.as_deref().unwrap_or("-"),
            request.parts.name.as_deref().unwrap_or("-"),
            request.shape.word()
        )
    }

    #[test]
    fn ranges_by_shape() {
        let cases = [
            (
                r#"key:"/registry/pods/" range_end:"/registry/pods0" "#,
                "range pods - - list",
            ),
            (
                r#"key:"/registry/pods/" range_end:"/registry/pods0" limit:500 "#,
                "range pods - - list",
            ),
            (
                r#"key:"/registry/pods/" range_end:"/registry/pods0" limit:10000 "#,
                "range pods - - list",
            ),
            (
                r#"key:"/registry/services/specs/ns-804/" range_end:"/registry/services/specs/ns-8040" "#,
                "range services ns-804 - list",
            ),
            (
                "key:\"/registry/pods/kube-system/p-2\0\" range_end:\"/registry/pods0\" limit:500 ",
                "range pods - - page",
            ),
            (
                "key:\"/registry/pods/kube-system/p-2\0\" range_end:\"/registry/pods/kube-system0\" limit:500 ",
                "range pods kube-system - page",
            ),
            (
                "key:\"/registry/example.com/widgets/a/w1\0\"  range_end:\"/registry/example.com/widgets/a0\"  limit:500",
                "range widgets.example.com a - page",
            ),
            (
                "key:\"/registry/example.com/widgets/a/w1\0\"  range_end:\"/registry/example.com/widgets0\"  limit:500",
                "range widgets.example.com - - page",
            ),
            (
                r#"key:"/registry/pods/" range_end:"/registry/pods0" count_only:true "#,
                "range pods - - count",
            ),
            (
                r#"key:"/registry/pods" range_end:"/registry/podt" count_only:true "#,
                "range pods - - count",
            ),
            (
                r#"key:"/registry/pods/" range_end:"/registry/pods0" keys_only:true "#,
                "range pods - - list",
            ),
            (r#"key:"/registry/pods/a/b" "#, "range pods a b get"),
            (r#"key:"/registry/pods/a/b" limit:1 "#, "range pods a b get"),
            (
                r#"key:"/registry/statefulsets" limit:1"#,
                "range statefulsets.apps - - revision-probe",
            ),
            (
                r#"key:"/registry/longhorn.io/engines" limit:1 "#,
                "range engines.longhorn.io - - revision-probe",
            ),
            (r#"key:"/registry/health" "#, "range (health) - - health"),
            (r#"key:"health" "#, "range (health) - - health"),
            (r#"key:"foo" "#, "range (foo) - - health"),
            (r#"limit:1 keys_only:true "#, "range  - - health"),
            (
                r#"key:"compact_rev_key" "#,
                "range (compact_rev_key) - - compaction",
            ),
            ("key:\"\0\" range_end:\"\0\" ", "range (all) - - list"),
            (
                r#"key:"/registry/masterleases/" range_end:"/registry/masterleases0" "#,
                "range (masterleases) - - list",
            ),
            (
                r#"key:"/sensu.io/handlers/default/keepalive" limit:1 "#,
                "range  - - get",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn writes_by_what_their_compare_asks() {
        let cases = [
            (
                r#"header:<ID:7 username:"kube" auth_revision:1 > txn:<compare:<target:MOD key:"/registry/events/d/p" mod_revision:0 > success:<request_put:<key:"/registry/events/d/p" value_size:300 lease:99 >> failure:<request_range:<key:"/registry/events/d/p" > >>"#,
                "txn events d p create",
            ),
            (
                r#"header:<ID:7> txn:<compare:<target:MOD  key:"/registry/pods/a/b"  mod_revision:12> success:<request_put:<key:"/registry/pods/a/b" value_size:300 >> failure:<request_range:{key:"/registry/pods/a/b"}>>"#,
                "txn pods a b update",
            ),
            (
                r#"header:<ID:7 > txn:<compare:<target:MOD key:"/registry/deployments/t/d" mod_revision:5 > success:<request_delete_range:<key:"/registry/deployments/t/d" > > failure:<request_range:<key:"/registry/deployments/t/d" > >>"#,
                "txn deployments.apps t d delete",
            ),
            (
                r#"header:<ID:7 > txn:<compare:<key:"compact_rev_key" version:0 > success:<request_put:<key:"compact_rev_key" value_size:1 >> failure:<request_range:<key:"compact_rev_key" > >>"#,
                "txn (compact_rev_key) - - compaction",
            ),
            (
                r#"header:<ID:7 > txn:<compare:<target:VALUE key:"/a" value_size:3 > success:<request_put:<key:"/a" value_size:3 >> failure:<>>"#,
                "txn  - - txn",
            ),
            (
                r#"compare:<> success:<request_range:<key:"/registry/pods/a/b" limit:2 >  request_range:<key:"/x" > > failure:<>"#,
                "txn pods a b txn",
            ),
            (
                r#"header:<ID:7 > put:<key:"/registry/masterleases/10.0.0.1" value_size:50 lease:9 >"#,
                "put (masterleases) - 10.0.0.1 update",
            ),
            (
                r#"header:{ID:9}  delete_range:{key:"/registry/events/d/"  range_end:"/registry/events/d0"}"#,
                "delete_range events d - delete",
            ),
            (
                "header:<ID:7 > lease_grant:<ttl:15-second id:694d9296faf18c07>",
                "lease_grant  - - lease",
            ),
            (
                "header:<ID:7 > lease_revoke:<id:694d9296faf18c07>",
                "lease_revoke  - - lease",
            ),
            (
                "header:{ID:997725437095445575}  compaction:{revision:36}",
                "compaction  - - compaction",
            ),
            (
                "header:<ID:7 > alarm:<action:ACTIVATE memberID:1 alarm:NOSPACE > ",
                "alarm  - - other",
            ),
            (
                r#"header:<ID:7 > authenticate:<name:"x" simple_token:"..">"#,
                "authenticate  - - other",
            ),
            (
                r#"header:<ID:7 > cluster_version_set:<ver:"3.5.0" > "#,
                "cluster_version_set  - - other",
            ),
            (
                r#"ID:8268505560021698305 Method:"PUT" Path:"/0/members/f51/attributes" Val:"{\"name\":\"m1\"}" "#,
                "v2  - - other",
            ),
            (r#"ID:1 Method:"QGET" Path:"/" "#, "v2  - - health"),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn fields_and_the_hint() {
        let request = parse_request(
            br#"header:<ID:7587882124341798279 username:\"a\" auth_revision:1 > txn:<compare:<target:MOD key:\"/registry/minions/c\" mod_revision:94 > success:<request_put:<key:\"/registry/minions/c\" value_size:18649 lease:5 >> failure:<>>"#,
        );
        assert_eq!(request.id, Some(7_587_882_124_341_798_279));
        assert_eq!(request.value_size, Some(18_649));
        assert_eq!(request.operations, 1);
        assert!(request.leased);
        assert!(matches!(request.key, Some(Cow::Borrowed(_))));
        let request =
            parse_request_as(br#"key:"/registry/pods/a/b" value_size:9 "#, Operation::Put);
        assert_eq!(
            (request.shape, request.value_size),
            (Shape::Update, Some(9))
        );
        let request = parse_request(br#"key:"/registry/pods/" range_end:"/registry/pods0" limit:500 revision:9 serializable:true "#);
        assert_eq!(
            (request.limit, request.revision, request.serializable),
            (Some(500), Some(9), true)
        );
    }

    #[test]
    fn values_of_debug_lines_are_never_kept() {
        let text = br#"header:<ID:1 > txn:<compare:<target:MOD key:\"/registry/secrets/a/b\" mod_revision:2 > success:<request_put:<key:\"/registry/secrets/a/b\" value:\"k8s\\000 key:\\\"/registry/pods/x/y\\\" > secret\" > > failure:<>>"#;
        let request = parse_request(text);
        assert_eq!(request.parts.resource_group(), "secrets");
        // The value holds the text of another key, which must not be taken for one.
        assert_eq!(request.key.as_deref(), Some(&b"/registry/secrets/a/b"[..]));
        assert_eq!((request.value_size, request.shape), (None, Shape::Update));
    }

    #[test]
    fn cut_text_gives_what_is_surely_there() {
        assert_eq!(
            read(r#"key:"/registry/pods/kube-sys"#),
            "range pods - - other"
        );
        assert_eq!(
            read(r#"key:"/registry/pods/kube-system/cored"#),
            "range pods kube-system - other"
        );
        assert_eq!(read(r#"key:"/registry/poddis"#), "range  - - other");
        let whole = r#"header:<ID:7 username:"kube" auth_revision:1 > txn:<compare:<target:MOD key:"/registry/events/d/p" mod_revision:0 > success:<request_put:<key:"/registry/events/d/p" value_size:300 lease:99 >> failure:<request_range:<key:"/registry/events/d/p" > >>"#;
        for cut in 0..whole.len() {
            let request = parse_request(whole.as_bytes().get(..cut).unwrap());
            let row = request.parts.resource_group();
            assert!(row.is_empty() || row == "events", "{cut} {row}");
        }
    }

    #[test]
    fn what_a_cut_took_away_is_not_guessed() {
        let shape = |text: &str| {
            parse_cut_request(text.as_bytes(), Operation::Unknown)
                .shape
                .word()
        };
        for (text, expected) in [
            (r#"key:"/registry/pods/" range_e"#, "other"),
            (r#"key:"/registry/pods/" "#, "other"),
            (r#"key:"/registry/pods/a/b""#, "other"),
            (r#"key:"/registry/health" "#, "other"),
            (
                r#"key:"/registry/pods/" range_end:"/registry/pods0" "#,
                "other",
            ),
            (
                r#"key:"/registry/pods/" range_end:"/registry/pods0" count_only:true "#,
                "count",
            ),
            (
                r#"key:"/registry/pods/" range_end:"/registry/pods0" count_only:tr"#,
                "other",
            ),
            ("limit:1 ke", "other"),
            (
                r#"header:<ID:7 > txn:<compare:<target:MOD key:"/registry/pods/a/b" mod_revision:0 > success:<request_p"#,
                "other",
            ),
            (
                r#"header:<ID:7 > txn:<compare:<target:MOD key:"/registry/pods/a/b" mod_revision:0 > success:<request_put:<key:"/reg"#,
                "create",
            ),
            (r#"header:<ID:7 > put:<key:"/registry/masterl"#, "update"),
        ] {
            assert_eq!(shape(text), expected, "{text}");
        }
        // Where no quote tells, a name that is not whole does.
        for text in [
            r#"key:"/registry/pods/" range_e"#,
            r#"key:"/registry/pods/" range_end:"#,
            r#"key:"/registry/pods/" range_end:"/regis"#,
            r#"key:"/registry/pods/" range_end:"/registry/pods0" limit:"#,
        ] {
            assert_eq!(read(text), "range pods - - other", "{text}");
        }
        let request = parse_cut_request(br#"key:"/registry/pods/a/b" ra"#, Operation::Unknown);
        assert_eq!((request.torn, request.parts.name), (false, None));
        assert!(parse_request(br#"key:"/registry/pods/a/b"#).torn);
    }

    proptest::proptest! {
        #[test]
        fn never_panics_on_bytes(text: Vec<u8>) {
            let _ = parse_request(&text);
            let _ = parse_request_as(&text, Operation::Txn);
        }

        #[test]
        fn never_panics_on_pieces(pieces in proptest::collection::vec(proptest::sample::select(vec![
            "key:", "\"/registry/pods/a\"", "\\\"", "\"", "<", ">", "{", "}", " ", "txn:", "compare:<", "success:<",
            "request_put:<", "header:<", "range_end:", "limit:5", "value:\"", "mod_revision:0", "\\000", ":", "put:<",
        ]), 0..40)) {
            let text = pieces.concat();
            let _ = parse_request(text.as_bytes());
        }
    }
}
