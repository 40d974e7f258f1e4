//! What a request does, where it is one of the API's own verbs.

/// What a request does, where it is one of the API's own verbs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// One object.
    Get,
    /// Many.
    List,
    /// Changes as they come.
    Watch,
    /// A new object.
    Create,
    /// A whole object anew.
    Update,
    /// A part of one.
    Patch,
    /// One object less.
    Delete,
    /// Many.
    DeleteCollection,
}

impl Verb {
    /// The word of the log.
    pub fn word(self) -> &'static str {
        match self {
            Verb::Get => "get",
            Verb::List => "list",
            Verb::Watch => "watch",
            Verb::Create => "create",
            Verb::Update => "update",
            Verb::Patch => "patch",
            Verb::Delete => "delete",
            Verb::DeleteCollection => "deletecollection",
        }
    }

    pub(super) fn of(word: &[u8]) -> Option<Self> {
        Some(match word {
            b"get" => Verb::Get,
            b"list" => Verb::List,
            b"watch" => Verb::Watch,
            b"create" => Verb::Create,
            b"update" => Verb::Update,
            b"patch" => Verb::Patch,
            b"delete" => Verb::Delete,
            b"deletecollection" => Verb::DeleteCollection,
            _ => return None,
        })
    }
}
