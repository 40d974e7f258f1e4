//! Masks secrets at the moment of reading, so that none is ever stored.

/// What stands in for a secret.
pub(super) const MASK: &str = "***";

/// Settings whose name looks like a secret and whose value is a mode, a lifetime or a label.
const HARMLESS: &[&str] = &[
    "anonymous-auth",
    "auth-token",
    "auth-token-ttl",
    "authentication-skip-lookup",
    "authentication-token-webhook",
    "authentication-token-webhook-cache-ttl",
    "authentication-token-webhook-version",
    "client-cert-auth",
    "concurrent-serviceaccount-token-syncs",
    "enable-bootstrap-token-auth",
    "initial-cluster-token",
    "legacy-service-account-token-clean-up-period",
    "legacy-service-account-token-cleaner",
    "peer-client-cert-auth",
    "secrets-encryption",
    "service-account-extend-token-expiration",
    "service-account-max-token-expiration",
    "token-ttl",
];

/// What a secret's name contains, wherever it stands.
const WORDS: &[&str] = &[
    "token",
    "secret",
    "password",
    "passwd",
    "passphrase",
    "credential",
    "apikey",
    "api-key",
    "access-key",
    "auth-key",
    "authkey",
    "certificate-key",
    "encryption-key",
    "join-key",
    "private-key",
];

/// Words that make a secret only where the name ends with them: `webhook-pass` and `basic-auth`, but
/// neither `bypass-cache`, `jwt-ttl` nor `authorization-mode`.
const LAST_WORDS: &[&str] = &[
    "auth",
    "authorization",
    "bearer",
    "cookie",
    "jwt",
    "pass",
    "passcode",
    "pw",
    "pwd",
    "sig",
    "signature",
];

/// Parameters of addresses that hold no secret. Any other one may.
const PARAMETERS: &[&str] = &[
    "application-name",
    "bucket",
    "cafile",
    "certfile",
    "charset",
    "collation",
    "connect-timeout",
    "database",
    "dbname",
    "exclude",
    "host",
    "hostaddr",
    "keyfile",
    "limit",
    "loc",
    "maxallowedpacket",
    "port",
    "read-timeout",
    "readtimeout",
    "replicas",
    "revhistory",
    "search-path",
    "slowmethod",
    "sslcert",
    "sslcrl",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "target-session-attrs",
    "timeout",
    "timeoutseconds",
    "tls",
    "user",
    "verbose",
    "writetimeout",
];

/// The value of a setting as it may be shown. `name` is a flag, a variable or a file key.
pub(super) fn mask(name: &str, value: &str) -> String {
    let plain = plain(name);
    let last = last_word(&plain);
    // `k3s server --token`, `etcd --discovery-user=name:password`.
    if is_user(&plain) {
        return match value.split_once(':') {
            Some((user, _)) => format!("{user}:{MASK}"),
            None => value.to_owned(),
        };
    }
    // `--header=X-Auth-Token:abc`
    if matches!(last, "header" | "headers")
        && let Some((header, _)) = value.split_once(':')
    {
        return format!("{header}:{MASK}");
    }
    if is_secret(&plain) && !is_reference(&plain, value) {
        return MASK.to_owned();
    }
    mask_text(value)
}

/// The value of an environment variable of a process; `KEY` alone is enough to hide it.
pub(super) fn mask_env(name: &str, value: &str) -> String {
    // The shell's working directory.
    if matches!(name, "PWD" | "OLDPWD") {
        return mask_text(value);
    }
    let flag = plain(name);
    let upper = name.to_ascii_uppercase();
    let secret = ["TOKEN", "SECRET", "PASSWORD", "PASSWD", "KEY", "CREDENTIAL"]
        .iter()
        .any(|word| upper.contains(word));
    if secret && !HARMLESS.contains(&flag.as_str()) && !is_reference(&flag, value) {
        return MASK.to_owned();
    }
    mask(name, value)
}

/// A flag as it stands on a command line, where a value may stick to it: `kubelet-token abc` in one
/// word.
pub(super) fn mask_name(name: &str) -> String {
    match name.split_once(char::is_whitespace) {
        Some((flag, value)) => format!("{flag} {}", mask(flag, value.trim())),
        None => name.to_owned(),
    }
}

/// A whole command as it may be shown.
pub(super) fn mask_command(command: &str) -> String {
    mask_script(&without_members(command), 2)
}

/// As [`mask_command`], with so many levels of quotes looked into.
fn mask_script(command: &str, depth: u32) -> String {
    let mut out = String::with_capacity(command.len());
    // The flag that the next word is the value of.
    let mut flag: Option<&str> = None;
    for piece in pieces(command, char::is_whitespace) {
        if piece.starts_with(char::is_whitespace) {
            out.push_str(piece);
            continue;
        }
        let dashed = piece.trim_start_matches(['"', '\'']).starts_with('-');
        match flag.take() {
            Some(name) if !dashed => {
                out.push_str(&mask(name, piece));
                continue;
            }
            _ => {}
        }
        let name = piece.trim_start_matches(['"', '\'', '-']);
        match name.split_once('=') {
            Some((key, value)) if dashed || is_variable(key) => {
                out.push_str(piece.strip_suffix(value).unwrap_or_default());
                // The quote that ends the word is no part of the value.
                let quote = piece.chars().next().filter(|c| matches!(c, '"' | '\''));
                let inner = quote.and_then(|quote| value.strip_suffix(quote));
                let value = inner.unwrap_or(value);
                out.push_str(&if dashed {
                    mask(key, value)
                } else {
                    mask_env(key, value)
                });
                out.extend(quote.filter(|_| inner.is_some()));
            }
            // A script in quotes is one word.
            _ if depth > 0
                && piece.starts_with(['"', '\''])
                && piece.contains(char::is_whitespace) =>
            {
                let (quote, inner) = piece.split_at(1);
                out.push_str(quote);
                out.push_str(&mask_script(inner, depth - 1));
            }
            _ => {
                let secret = dashed && {
                    let plain = plain(name);
                    is_user(&plain) || is_secret(&plain)
                };
                flag = secret.then_some(name);
                out.push_str(&mask_text(piece));
            }
        }
    }
    out
}

/// Whether the value is `name:password`.
pub(super) fn is_user(plain: &str) -> bool {
    plain.ends_with("discovery-user") || matches!(plain, "user" | "u" | "etcdctl-user")
}

/// Whether a name is one of an environment variable.
pub(super) fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

/// The name in lower case with dashes: `joinKey`, `JOIN_KEY` and `join-key` are one.
pub(super) fn plain(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    let mut before = ' ';
    for c in name.chars() {
        if c.is_ascii_uppercase() && before.is_ascii_lowercase() {
            out.push('-');
        }
        out.push(if c == '_' {
            '-'
        } else {
            c.to_ascii_lowercase()
        });
        before = c;
    }
    match out.strip_prefix("etcd-") {
        Some(rest) => rest.to_owned(),
        None => out,
    }
}

/// The last word of a name, counters aside: `pass` of `db-pass-2`.
fn last_word(plain: &str) -> &str {
    plain
        .rsplit(|c: char| !c.is_ascii_alphanumeric())
        .map(|word| word.trim_end_matches(|c: char| c.is_ascii_digit()))
        .find(|word| !word.is_empty())
        .unwrap_or("")
}

/// Whether a setting of this plain name holds a secret.
pub(super) fn is_secret(plain: &str) -> bool {
    let last = plain.rsplit('.').next().unwrap_or(plain);
    !HARMLESS.contains(&last)
        && (WORDS.iter().any(|word| last.contains(word)) || LAST_WORDS.contains(&last_word(last)))
}

/// Whether the setting names a file or a number rather than holding the secret.
fn is_reference(name: &str, value: &str) -> bool {
    let names_file = [
        "-file",
        "-path",
        "-dir",
        "-config",
        "-ca",
        "-cafile",
        "-keyfile",
        "-certfile",
    ]
    .iter()
    .any(|end| name.ends_with(end));
    names_file || value.is_empty() || matches!(value, "true" | "false")
}

/// A text with the passwords of all addresses and the secrets of all `name=value` in it masked.
pub(crate) fn mask_text(text: &str) -> String {
    let text = without_userinfo(&without_members(text));
    if text.contains('=') {
        without_pairs(&text)
    } else {
        text
    }
}

/// Splits a text into runs of separators and what is between them; quotes keep words together.
pub(super) fn pieces(text: &str, separates: impl Fn(char) -> bool) -> Vec<&str> {
    let mut out = Vec::new();
    let mut start = 0;
    let mut quote: Option<char> = None;
    let mut was: Option<bool> = None;
    for (at, c) in text.char_indices() {
        let is = quote.is_none() && separates(c);
        match quote {
            Some(open) if c == open => quote = None,
            None if matches!(c, '"' | '\'')
                && text.get(at + 1..).is_some_and(|t| t.contains(c)) =>
            {
                quote = Some(c);
            }
            _ => {}
        }
        if was.is_some_and(|was| was != is) {
            out.extend(text.get(start..at));
            start = at;
        }
        was = Some(is);
    }
    out.extend(text.get(start..).filter(|rest| !rest.is_empty()));
    out
}

/// The text with secrets masked in address parameters and in data source names such as
/// `host=db password=abc` or `Server=db;Password=abc`.
fn without_pairs(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in pieces(text, char::is_whitespace) {
        let mut rest = word;
        // What follows a question mark is the address's, up to the next address.
        while let Some((before, after)) = rest.split_once('?') {
            let end = after
                .match_indices([',', ';'])
                .map(|(at, _)| at)
                .find(|at| after.get(at + 1..).is_some_and(begins_address))
                .unwrap_or(after.len());
            let (query, next) = after.split_at_checked(end).unwrap_or((after, ""));
            out.push_str(&pairs(before));
            out.push('?');
            let parameters: Vec<String> = query.split('&').map(parameter).collect();
            out.push_str(&parameters.join("&"));
            rest = next;
        }
        out.push_str(&pairs(rest));
    }
    out
}

/// The text with the secrets of objects in it masked: `{"password":"abc"}`, `{\"password\":\"abc\"}` in
/// a quoted word, `{password: abc}`.
fn without_members(text: &str) -> String {
    if !text.contains('{') {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(':') {
        out.push_str(before);
        out.push(':');
        rest = after;
        let secret = member_name(before).is_some_and(|name| is_secret(&plain(name)));
        if !secret {
            continue;
        }
        let value = after.trim_start();
        let blank = after.len() - value.len();
        out.push_str(after.get(..blank).unwrap_or(""));
        let quote = quote_at(value);
        let inner = value.get(quote.len()..).unwrap_or("");
        let end = match quote {
            "" => inner.find([',', '}', ']']).unwrap_or(inner.len()),
            quote => end_of(inner, quote),
        };
        let (secret, next) = inner.split_at_checked(end).unwrap_or((inner, ""));
        let plain = quote.is_empty()
            && (secret.starts_with(['{', '['])
                || matches!(secret.trim(), "" | "true" | "false" | "null"));
        out.push_str(quote);
        out.push_str(if plain || secret.is_empty() {
            secret
        } else {
            MASK
        });
        rest = next;
    }
    out.push_str(rest);
    out
}

/// The name of a member whose colon follows a text: in quotes, or right behind what opens or parts an object.
fn member_name(before: &str) -> Option<&str> {
    let before = before.trim_end();
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    for quote in ["\\\"", "\"", "'"] {
        if let Some(inner) = before.strip_suffix(quote) {
            let (_, name) = inner.rsplit_once(quote)?;
            return Some(name);
        }
    }
    let head = before.trim_end_matches(is_name);
    head.trim_end()
        .ends_with(['{', ','])
        .then(|| before.get(head.len()..))
        .flatten()
}

/// The quote that a text begins with, if it does.
fn quote_at(text: &str) -> &'static str {
    ["\\\"", "\"", "'"]
        .into_iter()
        .find(|quote| text.starts_with(quote))
        .unwrap_or("")
}

/// Where the next such quote stands that no backslash takes back; the end of the text where none does.
fn end_of(text: &str, quote: &str) -> usize {
    text.match_indices(quote)
        .map(|(at, _)| at)
        .find(|at| !text.get(..*at).is_some_and(|before| before.ends_with('\\')))
        .unwrap_or(text.len())
}

/// `https://…`, and the `/events#https://…` of etcd-servers-overrides.
fn begins_address(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, _)| {
        !scheme.is_empty()
            && scheme
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.' | b'/' | b'#'))
    })
}

/// `name=value` pairs with any separator, secret values masked.
fn pairs(text: &str) -> String {
    let separates = |c| matches!(c, ',' | ';' | '&');
    let mut out = String::with_capacity(text.len());
    let mut separator = "";
    let mut masked = false;
    for piece in pieces(text, separates) {
        if piece.starts_with(separates) {
            separator = piece;
            continue;
        }
        // A password may hold a separator.
        if masked && !piece.contains('=') {
            separator = "";
            continue;
        }
        out.push_str(std::mem::take(&mut separator));
        let shown = pair(piece);
        masked = shown.ends_with(MASK) && !piece.ends_with(MASK);
        out.push_str(&shown);
    }
    out.push_str(separator);
    out
}

fn parameter(text: &str) -> String {
    match text.split_once('=') {
        Some((name, value)) => {
            let key = plain(name);
            let known = PARAMETERS.contains(&key.as_str()) && !is_secret(&key);
            if known || matches!(value, "" | "true" | "false" | "True" | "False") {
                format!("{name}={}", pairs(value))
            } else {
                format!("{name}={MASK}")
            }
        }
        None => text.to_owned(),
    }
}

fn pair(text: &str) -> String {
    let Some((name, value)) = text.split_once('=') else {
        return text.to_owned();
    };
    let key = plain(name.trim_start_matches(['"', '\'', '-', '{']));
    // Names of resources, of log levels and of members are no secrets: `secrets=10`,
    // `token-0=https://10.0.0.1:2380`.
    let harmless = key.ends_with("secrets")
        || key.ends_with("tokens")
        || value.contains("://")
        || (value.len() <= 2 && value.bytes().all(|b| b.is_ascii_digit()));
    if is_secret(&key) && !harmless && !is_reference(&key, value) {
        format!("{name}={MASK}")
    } else {
        text.to_owned()
    }
}

/// The text with the password of every `scheme://user:password@host` masked.
fn without_userinfo(text: &str) -> String {
    if !text.contains('@') {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    // Data source names of MySQL have no scheme: `user:password@tcp(host:3306)/db`.
    if !text.contains("://")
        && let Some((user, after)) = data_source(text)
        && let Some((name, _)) = user.split_once(':')
        && !name.contains([',', '=', ' '])
    {
        return format!("{name}:{MASK}@{after}");
    }
    while let Some((before, after)) = rest.split_once("://") {
        out.push_str(before);
        out.push_str("://");
        let end = after.find(['/', ',', ' ', ';', '?']).unwrap_or(after.len());
        // A password may hold `/`; the last `@` before the next separator ends the user.
        let authority = after.get(..end).unwrap_or(after);
        let reach = match authority.contains('@') {
            true => end,
            false => after.find([',', ' ', ';']).unwrap_or(after.len()),
        };
        let authority = after.get(..reach).unwrap_or(after);
        match authority.rsplit_once('@') {
            Some((user, host)) if user.contains(':') => {
                let name = user.split(':').next().unwrap_or("");
                out.push_str(name);
                out.push(':');
                out.push_str(MASK);
                out.push('@');
                out.push_str(host);
            }
            _ => out.push_str(authority),
        }
        rest = after.get(reach..).unwrap_or("");
    }
    out.push_str(rest);
    out
}

/// Splits `user:password@tcp(host:3306)/db` before its last `@`: a password may hold one.
fn data_source(text: &str) -> Option<(&str, &str)> {
    let at = ["@tcp(", "@tcp6(", "@unix("]
        .iter()
        .filter_map(|network| text.rfind(network))
        .max()
        .or_else(|| text.rfind('@'))?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

#[cfg(test)]
mod tests;
