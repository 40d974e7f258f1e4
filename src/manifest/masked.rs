//! The lines of configuration files as they may be shown: secrets masked, all else kept.
//!
//! A diff shows lines that nobody asked to change. Each is masked in whatever form it is written:
//! YAML and JSON in block and flow form, unit files, files of assignments. What stands apart from
//! its name (the value of an `env` entry, the argument after a flag, a block text) is found by the
//! lines around it. In doubt a value is hidden: the lines are for reading, the file itself is whole.

use super::secret::{MASK, is_secret, is_user, is_variable, mask, mask_command, mask_env};
use super::secret::{pieces, plain};

/// Members of a secret's mapping that say where it is, not what it is.
const PLACES: &[&str] = &[
    "api-version",
    "audience",
    "default-mode",
    "description",
    "expiration-seconds",
    "expires",
    "groups",
    "items",
    "key",
    "kind",
    "mode",
    "name",
    "namespace",
    "optional",
    "path",
    "ttl",
    "usages",
];

/// Ends of a setting's name that make it the name of a secret rather than the secret.
const NAMES: &[&str] = &["-name", "-namespace", "-ref", "-refs"];

/// The lines, each with its secrets masked and its line ending kept.
pub(crate) fn mask_lines(lines: &[&str]) -> Vec<String> {
    let secret_objects = lines.iter().any(|line| {
        matches!(pair(line.trim()), Some(("kind", value)) if unquoted(value.trim()) == "Secret")
    });
    let mut masker = Masker {
        lines,
        secret_objects,
        hide: None,
        flag: None,
        quote: None,
        key_material: false,
        goes_on: false,
    };
    (0..lines.len()).map(|at| masker.line(at)).collect()
}

/// What lies under a secret's name.
#[derive(Clone, Copy)]
struct Hide {
    /// The column of the name.
    column: usize,
    /// A block text, hidden to its end; else values are hidden and places stay.
    block: bool,
}

/// The state that a line leaves to the next.
struct Masker<'a> {
    lines: &'a [&'a str],
    /// Objects of kind Secret are among them: their data is hidden.
    secret_objects: bool,
    hide: Option<Hide>,
    /// A flag whose value comes next.
    flag: Option<String>,
    /// The quote that ends a hidden value.
    quote: Option<char>,
    /// Inside of a private key.
    key_material: bool,
    /// A hidden value goes on after a backslash.
    goes_on: bool,
}

impl Masker<'_> {
    fn line(&mut self, at: usize) -> String {
        let whole = self.lines.get(at).copied().unwrap_or_default();
        let body = whole.trim_end_matches(['\n', '\r']);
        let ending = whole.strip_prefix(body).unwrap_or_default();
        let text = body.trim_start();
        let lead = body.strip_suffix(text).unwrap_or_default();
        if text.is_empty() {
            return whole.to_owned();
        }
        format!("{lead}{}{ending}", self.text(at, lead.len(), text))
    }

    fn text(&mut self, at: usize, indent: usize, text: &str) -> String {
        if self.key_material {
            self.key_material = !text.contains("-----END");
            return MASK.to_owned();
        }
        if let Some((before, after)) = text.split_once("-----BEGIN")
            && after.contains("PRIVATE KEY")
        {
            self.key_material = !after.contains("-----END");
            let before = before.trim_end_matches(['"', '\'']);
            return format!("{}{MASK}", mask_command(before));
        }
        if let Some(close) = self.quote {
            if text.contains(close) {
                self.quote = None;
            }
            return MASK.to_owned();
        }
        if self.goes_on {
            self.goes_on = text.ends_with('\\');
            return MASK.to_owned();
        }
        let hidden = match self.hide {
            Some(hide)
                if indent > hide.column
                    || (indent == hide.column && !hide.block && text.starts_with("- ")) =>
            {
                if hide.block {
                    return MASK.to_owned();
                }
                true
            }
            _ => {
                self.hide = None;
                false
            }
        };
        self.entry(at, indent, text, hidden)
    }

    fn entry(&mut self, at: usize, indent: usize, text: &str, hidden: bool) -> String {
        if text.starts_with(['#', ';']) {
            let words = text.trim_start_matches(['#', ';', ' ', '\t']);
            let lead = text.strip_suffix(words).unwrap_or_default();
            return format!("{lead}{}", alone(words));
        }
        let (dashes, rest) = item(text);
        let column = indent + dashes.len();
        let masked = if rest.starts_with(['{', '[', '}', ']']) {
            self.flow(rest, hidden)
        } else if let Some((_, value)) = pair(rest) {
            let key = rest.strip_suffix(value).unwrap_or_default();
            format!("{key}{}", self.member(at, column, key, value, hidden))
        } else {
            self.words(rest, !dashes.is_empty(), hidden)
        };
        format!("{dashes}{masked}")
    }

    /// The value of a mapping's member, with what follows it on the line.
    fn member(&mut self, at: usize, column: usize, key: &str, value: &str, hidden: bool) -> String {
        self.flag = None;
        let key = unquoted(key.trim_end().trim_end_matches(':').trim_end());
        let (value, comment) = value
            .split_at_checked(comment_at(value))
            .unwrap_or((value, ""));
        let comment = match comment.strip_prefix('#') {
            Some(words) => format!("#{}", alone(words)),
            None => String::new(),
        };
        let mut name = (key == "value")
            .then(|| self.name_beside(at, column))
            .flatten();
        let forced = self.is_forced(key, hidden);
        let shown = value.trim().trim_end_matches(',');
        // An environment variable hides what its name does not tell of a setting.
        let hides = forced
            || is_hidden(key)
            || name
                .as_deref()
                .is_some_and(|name| mask_env(name, "leak") == MASK);
        if self.secret_objects && matches!(key, "data" | "stringData") {
            self.hide = Some(Hide {
                column,
                block: true,
            });
            return if shown.is_empty() {
                value.to_owned()
            } else {
                format!(" {MASK}")
            };
        }
        if shown.is_empty() {
            self.hide = hides.then_some(Hide {
                column,
                block: false,
            });
            return format!("{value}{comment}");
        }
        let how = |c: char| matches!(c, '+' | '-') || c.is_ascii_digit();
        if shown
            .strip_prefix(['|', '>'])
            .is_some_and(|rest| rest.chars().all(how))
        {
            self.hide = hides.then_some(Hide {
                column,
                block: true,
            });
            return format!("{value}{comment}");
        }
        let masked = if shown.starts_with(['{', '[']) {
            if hides && !closes(shown) {
                self.hide = Some(Hide {
                    column,
                    block: false,
                });
            }
            self.flow(value, hides)
        } else {
            let masked = self.scalar(key, name.take(), value, forced);
            if masked.contains(MASK) && !value.contains(MASK) && self.hide.is_none() {
                // A value that is folded goes on in lines further in.
                self.hide = Some(Hide {
                    column,
                    block: false,
                });
            }
            masked
        };
        format!("{masked}{comment}")
    }

    fn is_forced(&self, key: &str, hidden: bool) -> bool {
        hidden && !is_name(key) && !PLACES.contains(&plain(key).as_str())
            || key.ends_with("last-applied-configuration")
    }

    /// A scalar with the blanks and the comma around it.
    fn scalar(&mut self, key: &str, name: Option<String>, text: &str, forced: bool) -> String {
        let body = text.trim().trim_end_matches(',');
        let (Some(lead), Some(tail)) = (
            text.find(body).and_then(|from| text.get(..from)),
            text.rfind(body)
                .and_then(|from| text.get(from + body.len()..)),
        ) else {
            return MASK.to_owned();
        };
        let switch = matches!(unquoted(body), "true" | "false" | "null" | "~" | "");
        let masked = if forced && !switch {
            MASK.to_owned()
        } else if let Some(name) = name {
            within(body, |value| mask_env(&name, value))
        } else if is_name(key) {
            body.to_owned()
        } else {
            within(body, |value| mask(key, value))
        };
        if masked.ends_with(MASK) {
            self.opens(body);
            return format!("{lead}{masked}{tail}");
        }
        // A key in base64 of PEM: `key: LS0tLS1CRUdJTi…`.
        if plain(key).contains("key") && unquoted(body).starts_with("LS0t") {
            return format!("{lead}{MASK}{tail}");
        }
        format!("{lead}{}{tail}", mask_command(&masked))
    }

    /// A hidden value whose quote is still open.
    fn opens(&mut self, body: &str) {
        for quote in ['"', '\''] {
            if let Some(rest) = body.strip_prefix(quote)
                && !rest.contains(quote)
            {
                self.quote = Some(quote);
            }
        }
    }

    /// What is no mapping's member: an element, an assignment, a command or a part of one.
    fn words(&mut self, text: &str, element: bool, hidden: bool) -> String {
        if hidden {
            return MASK.to_owned();
        }
        if let Some(flag) = self.flag.take()
            && !text.trim_start_matches(['"', '\'']).starts_with('-')
        {
            if element || text.starts_with(['"', '\'']) {
                return mask(&flag, text);
            }
            let before = format!("--{flag} ");
            let masked = mask_command(&format!("{before}{text}"));
            return masked.strip_prefix(&before).unwrap_or(MASK).to_owned();
        }
        let masked = self.assignment(text).unwrap_or_else(|| mask_command(text));
        let last = text
            .trim_end_matches(|c: char| c.is_whitespace() || matches!(c, '\\' | ',' | '"' | '\''))
            .rsplit(char::is_whitespace)
            .next()
            .unwrap_or_default()
            .trim_start_matches(['"', '\'']);
        self.flag = last
            .strip_prefix('-')
            .map(|flag| flag.trim_start_matches('-'))
            .filter(|flag| !flag.contains('='))
            .filter(|flag| is_user(&plain(flag)) || is_secret(&plain(flag)))
            .map(str::to_owned);
        masked
    }

    /// `NAME=value` of a unit, of an environment file or of k3s' lists of arguments.
    fn assignment(&mut self, text: &str) -> Option<String> {
        let (head, value) = text.split_once('=')?;
        let key = head.trim_start_matches("export ").trim();
        let key = key.trim_start_matches(['"', '\'']);
        let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if key.is_empty() || key.starts_with('-') || !key.chars().all(named) {
            return None;
        }
        let masked = if is_variable(key) {
            mask_env(key, value)
        } else {
            mask(key, value)
        };
        if masked == MASK {
            self.opens(value.trim_start());
            self.goes_on = value.ends_with('\\');
            return Some(format!("{head}={MASK}"));
        }
        Some(format!("{head}={}", mask_command(&masked)))
    }

    /// A text in flow form, or a line of one.
    fn flow(&mut self, text: &str, hidden: bool) -> String {
        let parts = pieces(text, |c| matches!(c, '{' | '}' | '[' | ']' | ','));
        let mut out = String::with_capacity(text.len());
        let mut levels: Vec<(bool, Option<String>)> = Vec::new();
        let mut next = hidden;
        for (at, part) in parts.iter().enumerate() {
            if part.starts_with(['{', '}', '[', ']', ',']) {
                for c in part.chars() {
                    match c {
                        '{' | '[' => {
                            let name = parts.get(at + 1..).and_then(name_ahead);
                            levels.push((next, name));
                        }
                        '}' | ']' => {
                            levels.pop();
                            next = levels.last().map_or(hidden, |level| level.0);
                        }
                        _ => next = levels.last().map_or(hidden, |level| level.0),
                    }
                }
                out.push_str(part);
                continue;
            }
            let (forced, name) = levels.last().cloned().unwrap_or((hidden, None));
            if part.trim().is_empty() {
                out.push_str(part);
            } else if let Some((key, value)) = pair(part.trim_start()) {
                let head = part.strip_suffix(value).unwrap_or_default();
                out.push_str(head);
                let forced = self.is_forced(key, forced);
                if value.trim().is_empty() {
                    next = forced || is_hidden(key);
                    out.push_str(value);
                } else {
                    let name = name.filter(|_| key == "value");
                    out.push_str(&self.scalar(key, name, value, forced));
                    self.quote = None;
                }
            } else {
                let body = part.trim_start();
                out.push_str(part.strip_suffix(body).unwrap_or_default());
                out.push_str(&self.words(body, true, forced));
            }
        }
        out
    }

    /// The `name` of the mapping that the `value` of this line belongs to.
    fn name_beside(&self, at: usize, column: usize) -> Option<String> {
        // Whether the line belongs to the same mapping, and its name.
        let look = |text: &str| -> Option<Option<String>> {
            let body = text.trim_start();
            if body.is_empty() || body.starts_with('#') {
                return Some(None);
            }
            let (dashes, rest) = item(body);
            let own = text.trim_end().len().checked_sub(rest.trim_end().len())?;
            if own < column {
                return None;
            }
            Some(match pair(rest) {
                Some(("name", value)) if own == column => {
                    let end = comment_at(value);
                    let value = value.get(..end).unwrap_or(value);
                    Some(unquoted(value.trim().trim_end_matches(',')).to_owned())
                }
                _ if own == column && !dashes.is_empty() => return None,
                _ => None,
            })
        };
        let starts = |line: &&str| !item(line.trim_start()).0.is_empty();
        let here = self.lines.get(at)?;
        if !starts(here) {
            for line in self.lines.get(..at)?.iter().rev() {
                match look(line)? {
                    None => {}
                    name => return name,
                }
                let own = line.len() - line.trim_start().len();
                if starts(line) && own < column {
                    break;
                }
            }
        }
        for line in self.lines.get(at + 1..)? {
            let own = line.len() - line.trim_start().len();
            if starts(line) && own < column {
                return None;
            }
            match look(line)? {
                None => {}
                name => return name,
            }
        }
        None
    }
}

/// A text that stands by itself, as a comment does.
fn alone(text: &str) -> String {
    mask_lines(&[text]).pop().unwrap_or_default()
}

/// Whether a setting of this name holds a secret.
fn is_hidden(key: &str) -> bool {
    is_secret(&plain(key)) && !is_name(key)
}

fn is_name(key: &str) -> bool {
    let plain = plain(key);
    NAMES.iter().any(|end| plain.ends_with(end))
}

/// The marks of a list's element, and what follows them.
fn item(text: &str) -> (&str, &str) {
    let mut rest = text;
    while let Some(inner) = rest.strip_prefix("- ") {
        rest = inner.trim_start();
    }
    (text.strip_suffix(rest).unwrap_or_default(), rest)
}

/// Key and value of `key: value`, of `"key":value` and of a key alone.
fn pair(text: &str) -> Option<(&str, &str)> {
    if let Some(quote) = text.chars().next().filter(|c| matches!(c, '"' | '\'')) {
        let (key, rest) = text.strip_prefix(quote)?.split_once(quote)?;
        return Some((key, rest.trim_start().strip_prefix(':')?));
    }
    let (key, value) = match text.split_once(": ") {
        Some((key, _)) => (key, text.strip_prefix(key)?.strip_prefix(':')?),
        None => (text.trim_end().strip_suffix(':')?, ""),
    };
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    let plain = !key.is_empty() && !key.starts_with('-') && key.chars().all(named);
    plain.then_some((key, value))
}

/// The `name` of a mapping in flow form that begins before these parts.
fn name_ahead(parts: &[&str]) -> Option<String> {
    let mut depth = 0_i32;
    for part in parts {
        if part.starts_with(['{', '}', '[', ']', ',']) {
            for c in part.chars() {
                match c {
                    '{' | '[' => depth += 1,
                    '}' | ']' => depth -= 1,
                    _ => {}
                }
                if depth < 0 {
                    return None;
                }
            }
        } else if depth == 0
            && let Some(("name", value)) = pair(part.trim_start())
        {
            return Some(unquoted(value.trim()).to_owned());
        }
    }
    None
}

/// Whether all brackets of a text in flow form are closed in it.
fn closes(text: &str) -> bool {
    let count = |which: [char; 2]| text.matches(which).count();
    count(['{', '[']) == count(['}', ']'])
}

/// Where the comment of a YAML value begins.
fn comment_at(value: &str) -> usize {
    let mut quote: Option<char> = None;
    let mut before = ' ';
    for (at, c) in value.char_indices() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '#' && before.is_whitespace() => return at,
            None if matches!(c, '"' | '\'')
                && (before.is_whitespace() || matches!(before, '[' | '{' | ',' | ':')) =>
            {
                quote = Some(c);
            }
            None => {}
        }
        before = c;
    }
    value.len()
}

fn unquoted(text: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(inner) = text.strip_prefix(quote).and_then(|t| t.strip_suffix(quote)) {
            return inner;
        }
    }
    text
}

/// Masks what is between quotes and keeps them; what becomes a mask alone needs none.
fn within(body: &str, masked: impl Fn(&str) -> String) -> String {
    let inner = unquoted(body);
    let shown = masked(inner);
    if shown == inner {
        return body.to_owned();
    }
    match (inner.len() < body.len(), body.chars().next()) {
        (true, Some(quote)) if shown != MASK => format!("{quote}{shown}{quote}"),
        _ => shown,
    }
}

#[cfg(test)]
mod tests;
