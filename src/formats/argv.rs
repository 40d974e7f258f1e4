//! A process's arguments and environment as the kernel shows them: NUL-separated bytes.
//!
//! Some collectors write the arguments with spaces instead; that is read too, as far as it can be.

/// Most arguments or variables that are kept.
const MAX_ITEMS: usize = 4096;

/// Splits `/proc/PID/cmdline`. Empty arguments in the middle are kept, torn UTF-8 is replaced.
pub fn parse_cmdline(bytes: &[u8]) -> Vec<String> {
    if bytes.contains(&0) {
        let bytes = bytes.strip_suffix(&[0]).unwrap_or(bytes);
        return bytes.split(|b| *b == 0).take(MAX_ITEMS).map(text).collect();
    }
    // Without any NUL the file was rewritten by a collector (or the process overwrote its title):
    // flags then stand apart by blanks.
    bytes
        .split(u8::is_ascii_whitespace)
        .filter(|part| !part.is_empty())
        .take(MAX_ITEMS)
        .map(text)
        .collect()
}

/// Splits `/proc/PID/environ` into names and values; what has no `=` is left out.
pub fn parse_environ(bytes: &[u8]) -> Vec<(String, String)> {
    let separator = if bytes.contains(&0) { 0 } else { b'\n' };
    bytes
        .split(|b| *b == separator)
        .filter_map(|item| {
            let at = memchr::memchr(b'=', item)?;
            let (name, value) = item.split_at_checked(at)?;
            (!name.is_empty()).then(|| (text(name), text(value.get(1..).unwrap_or_default())))
        })
        .take(MAX_ITEMS)
        .collect()
}

/// The value of a flag: `--name value`, `--name=value`, `-name …` (Go accepts one dash). The last
/// one wins, as in Go's flag package. A flag without a value gives an empty text.
pub fn flag_value<'a>(argv: &'a [String], name: &str) -> Option<&'a str> {
    let mut found = None;
    for (at, arg) in argv.iter().enumerate() {
        let Some(rest) = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-')) else {
            continue;
        };
        let Some(rest) = rest.strip_prefix(name) else {
            continue;
        };
        if let Some(value) = rest.strip_prefix('=') {
            found = Some(value);
        } else if rest.is_empty() {
            let next = argv.get(at + 1).map(String::as_str);
            found = Some(next.filter(|value| !value.starts_with('-')).unwrap_or(""));
        }
    }
    found
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_keep_their_bounds() {
        let argv = parse_cmdline(b"etcd\0--name=a b\0\0--data-dir\0/var/lib/etcd\0");
        assert_eq!(
            argv,
            ["etcd", "--name=a b", "", "--data-dir", "/var/lib/etcd"]
        );
        assert_eq!(flag_value(&argv, "name"), Some("a b"));
        assert_eq!(flag_value(&argv, "data-dir"), Some("/var/lib/etcd"));
        assert_eq!(flag_value(&argv, "data"), None);
        assert_eq!(parse_cmdline(b""), Vec::<String>::new());
        assert_eq!(
            parse_cmdline(b"etcd --unsafe-no-fsync -wal-dir=/w\n"),
            ["etcd", "--unsafe-no-fsync", "-wal-dir=/w"]
        );
    }

    #[test]
    fn the_last_flag_wins_and_a_bare_one_is_empty() {
        let argv = parse_cmdline(b"etcd\0--name=a\0--name=b\0--unsafe-no-fsync\0--x\0");
        assert_eq!(flag_value(&argv, "name"), Some("b"));
        assert_eq!(flag_value(&argv, "unsafe-no-fsync"), Some(""));
    }

    #[test]
    fn environment_pairs() {
        assert_eq!(
            parse_environ(b"ETCD_NAME=a\0BROKEN\0=x\0ETCD_DATA_DIR=/d=e\0"),
            [
                ("ETCD_NAME".to_owned(), "a".to_owned()),
                ("ETCD_DATA_DIR".to_owned(), "/d=e".to_owned())
            ]
        );
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_do(bytes: Vec<u8>) {
            let argv = parse_cmdline(&bytes);
            proptest::prop_assert!(argv.len() <= bytes.len().max(1));
            let _ = flag_value(&argv, "name");
            proptest::prop_assert!(parse_environ(&bytes).len() <= bytes.len());
        }
    }
}
