//! The variables of a shell's script, put in as the shell does it: what has one value all along the
//! script and comes with the program's environment.

use super::argv::{self, Word};
use super::secret::{MASK, mask_env};

/// Most bytes that values may add: Linux starts no program with more (execve(2)).
const MOST: usize = 2 << 20;

/// Puts the variables in where the words are a shell and its script. What nobody is known to set stays,
/// as `${NAME}`.
pub(super) fn put_in<'a>(words: &mut [Word], env: &dyn Fn(&str) -> Option<&'a str>) {
    if let Some(script) = argv::script_at(words).and_then(|at| words.get_mut(at)) {
        script.text = filled(&script.text, env);
    }
}

fn filled<'a>(script: &str, env: &dyn Fn(&str) -> Option<&'a str>) -> String {
    let mut out = String::with_capacity(script.len());
    let mut room = MOST;
    let mut quote: Option<char> = None;
    let mut previous = '\n';
    let mut rest = script;
    while let Some(c) = rest.chars().next() {
        rest = rest.get(c.len_utf8()..).unwrap_or("");
        let before = std::mem::replace(&mut previous, c);
        match (quote, c) {
            (Some('\''), '\'') => quote = None,
            (Some('\''), _) => {}
            (_, '\\') => {
                out.push(c);
                if let Some(next) = rest.chars().next() {
                    out.push(next);
                    rest = rest.get(next.len_utf8()..).unwrap_or("");
                }
                continue;
            }
            (Some('"'), '"') => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, '#') if before.is_whitespace() || before == ';' => {
                let end = rest.find('\n').unwrap_or(rest.len());
                out.push(c);
                out.push_str(rest.get(..end).unwrap_or(""));
                rest = rest.get(end..).unwrap_or("");
                continue;
            }
            (_, '$') => {
                let Some((name, after)) = named(rest) else {
                    out.push(c);
                    continue;
                };
                let value = env(name).filter(|value| !sets(script, name) && value.len() <= room);
                // A flag shows a secret under a name that does not tell it.
                let value = value.map(|value| match mask_env(name, value) == MASK {
                    true => MASK,
                    false => value,
                });
                match value {
                    Some(value) => {
                        room -= value.len();
                        quoted(value, quote.is_some(), &mut out);
                    }
                    None => {
                        out.push_str("${");
                        out.push_str(name);
                        out.push('}');
                    }
                }
                rest = after;
                continue;
            }
            _ => {}
        }
        out.push(c);
    }
    out
}

/// The name behind a `$`, plain or in braces, and what follows it.
fn named(rest: &str) -> Option<(&str, &str)> {
    let is_name = |name: &str| {
        !name.starts_with(|c: char| c.is_ascii_digit())
            && !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    if let Some(inner) = rest.strip_prefix('{') {
        return inner.split_once('}').filter(|(name, _)| is_name(name));
    }
    let end = rest
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(rest.len());
    rest.split_at_checked(end).filter(|(name, _)| is_name(name))
}

/// Whether the script gives a variable another value.
fn sets(script: &str, name: &str) -> bool {
    script.match_indices(name).any(|(at, _)| {
        let before = script.get(..at).and_then(|text| text.chars().next_back());
        let after = script.get(at + name.len()..).unwrap_or("");
        after.starts_with('=')
            && before.is_none_or(|c| c.is_whitespace() || matches!(c, ';' | '&' | '|' | '(' | '\0'))
    })
}

/// A value as a script would have to write it: outside of quotes blanks part words, and nothing else of
/// it means anything to the shell.
fn quoted(value: &str, inside: bool, out: &mut String) {
    for c in value.chars() {
        match (inside, c) {
            (true, '"' | '\\' | '$' | '`') => out.extend(['\\', c]),
            (true, c) => out.push(c),
            (false, c) if c.is_whitespace() => out.push(' '),
            (false, c)
                if c.is_alphanumeric() || matches!(c, '-' | '_' | '=' | '/' | '.' | ',' | ':') =>
            {
                out.push(c);
            }
            (false, c) => out.extend(['\\', c]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(script: &str) -> Vec<Vec<String>> {
        let env = |name: &str| match name {
            "OPTS" => Some("--a=1  --b='x;y'"),
            "Q" => Some("5"),
            "MY_TOKEN" => Some("hush"),
            _ => None,
        };
        let commands = argv::shell_commands(&filled(script, &env), 1);
        let texts = |words: Vec<Word>| words.into_iter().map(|word| word.text).collect();
        commands.into_iter().map(texts).collect()
    }

    #[test]
    fn quotes_decide_what_becomes_of_a_variable() {
        for (script, want) in [
            ("etcd $OPTS", &["etcd", "--a=1", "--b='x;y'"][..]),
            ("etcd --q=${Q} --r=$Q.", &["etcd", "--q=5", "--r=5."]),
            (r#"etcd "$OPTS""#, &["etcd", "--a=1  --b='x;y'"]),
            ("etcd '$OPTS'", &["etcd", "$OPTS"]),
            (r"etcd \$OPTS", &["etcd", "$OPTS"]),
            ("etcd $NO ${NO} $1", &["etcd", "${NO}", "${NO}", "$1"]),
            ("etcd --a # it's $Q", &["etcd", "--a"]),
            ("etcd --x=$MY_TOKEN", &["etcd", "--x=***"]),
        ] {
            assert_eq!(of(script), [want], "{script}");
        }
        // The script's own value is not the one of the environment.
        assert_eq!(of("Q=7; etcd --q=$Q")[1], ["etcd", "--q=${Q}"]);
    }

    #[test]
    fn values_that_stand_again_and_again_are_bounded() {
        let value = "x".repeat(1 << 20);
        let text = filled(&"$Q ".repeat(1000), &|_| Some(value.as_str()));
        assert!(text.len() < 3 << 20, "{}", text.len());
    }

    proptest::proptest! {
        #[test]
        fn no_script_panics(script: String) {
            let _ = filled(&script, &|_| Some("v"));
        }
    }
}
