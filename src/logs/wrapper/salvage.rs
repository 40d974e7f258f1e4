//! The last resort for a line that no wrapper explains: a record's unmistakable beginning in the
//! middle of it, as in an Ansible result, a chat, or a table of an unknown tool.

use memchr::memmem;

use crate::logs::format::{capnslog, klog, plain};
use crate::logs::needle;

/// A record inside a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// It stands there as it is.
    Plain(&'a [u8]),
    /// It is inside a JSON string, one level of escapes deep.
    Escaped(&'a [u8]),
}

/// Looks for one; what stands before it is no part of it.
pub fn find(text: &[u8]) -> Option<Found<'_>> {
    let after = |at: usize| text.get(at..).filter(|_| at > 0);
    // Objects of any kind stand inside an audit record, so it goes first.
    if let Some(rest) = needle::AUDIT.find(text).and_then(after) {
        return Some(Found::Plain(rest));
    }
    if let Some(rest) = needle::ZAP.find(text).and_then(after) {
        return Some(Found::Plain(rest));
    }
    if let Some(rest) = needle::ZAP_ESCAPED.find(text).and_then(after) {
        return Some(Found::Escaped(rest));
    }
    if let Some(rest) = capnslog::glued(text).and_then(after) {
        return Some(quoting(text, rest));
    }
    if let Some(rest) = needle::RAFT.find_iter(text).find_map(|at| raft(text, at)) {
        return Some(quoting(text, rest));
    }
    let rest = needle::GO_LINE
        .find_iter(text)
        .take(4)
        .find_map(|at| klog_before(text, at))
        .and_then(after)?;
    Some(quoting(text, rest))
}

/// The line of etcd 3.4's raft package that starts at `at`, which is no part of a word.
fn raft(text: &[u8], at: usize) -> Option<&[u8]> {
    let before = text.get(at.checked_sub(1)?)?;
    let rest = text.get(at..)?;
    (!before.is_ascii_alphanumeric() && plain::starts(rest)).then_some(rest)
}

/// Where a klog header starts whose source position holds `at`.
fn klog_before(text: &[u8], at: usize) -> Option<usize> {
    let from = at.saturating_sub(120);
    (from..at).rev().find(|start| {
        let before = start.checked_sub(1).and_then(|at| text.get(at));
        before.is_none_or(|b| !b.is_ascii_alphanumeric())
            && text.get(*start..).is_some_and(klog::starts)
    })
}

/// Whether what was found is inside a JSON string: quotes in it are escaped.
fn quoting<'a>(text: &'a [u8], rest: &'a [u8]) -> Found<'a> {
    let head = text.get(..text.len() - rest.len()).unwrap_or_default();
    if opened(head) && memmem::find(rest, b"\\\"").is_some() {
        Found::Escaped(rest)
    } else {
        Found::Plain(rest)
    }
}

/// Whether the last quote of a text opens a string. The ones before it do not tell: the text may
/// have lost its beginning.
fn opened(head: &[u8]) -> bool {
    let own = |at: &usize| at.checked_sub(1).and_then(|at| head.get(at)) != Some(&b'\\');
    let quote = memchr::memrchr_iter(b'"', head).find(own);
    let before = quote.and_then(|at| head.get(..at));
    before.is_some_and(|before| {
        let last = before.trim_ascii_end().last();
        last.is_none_or(|last| matches!(last, b':' | b'=' | b',' | b'[' | b'{' | b'('))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_in_the_middle_of_a_line() {
        let klog = "I0601 19:12:41.560590   27341 request.go:601] Waited for 1.07s";
        let text = format!("\"msg\": \"Exited 1.\\n\\nstderr: {klog}");
        assert_eq!(find(text.as_bytes()), Some(Found::Plain(klog.as_bytes())));
        let text = br#"said: {"level":"warn","msg":"x"}"#;
        assert_eq!(find(text), Some(Found::Plain(&text[6..])));
        let text = br#"["{\"level\":\"warn\",\"msg\":\"x\"}"]"#;
        assert_eq!(find(text), Some(Found::Escaped(&text[2..])));
        // A string before it is closed, so its own quotes are as their writer put them.
        let request = r#"2021-05-14 16:47:40.512613 W | etcdserver: range request "key:\"/a\" ""#;
        for head in [r#"{container="etcd", pod="x"} "#, r#"pod "etcd-0" said: "#] {
            let text = format!("{head}{request}");
            assert_eq!(
                find(text.as_bytes()),
                Some(Found::Plain(request.as_bytes()))
            );
        }
        for head in [r#"lost", "stderr": ""#, r#"args=["\"x\": "#] {
            let text = format!("{head}{request}");
            assert_eq!(
                find(text.as_bytes()),
                Some(Found::Escaped(request.as_bytes()))
            );
        }
        let text = b"--> 2020-09-25 20:20:54.061610 W | etcdserver: x";
        assert_eq!(find(text), Some(Found::Plain(&text[4..])));
        let text = b"stdout: raft2022/03/19 02:50:20 INFO: 6cb8 became follower at term 35";
        assert_eq!(find(text), Some(Found::Plain(&text[8..])));
        assert_eq!(find(b"a draft2022/03/19 02:50:20 INFO: x"), None);
        let text = br#"a b c d {"kind":"Event","apiVersion":"audit.k8s.io/v1","o":{"level":"x"}}"#;
        assert_eq!(find(text), Some(Found::Plain(&text[8..])));
        assert_eq!(find(b"see request.go:601 for this"), None);
    }
}
