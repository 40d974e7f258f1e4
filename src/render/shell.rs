//! Shell commands in the width of a terminal, such that they can still be copied and run.

use unicode_width::UnicodeWidthStr as _;

/// How much further in a line stands that goes on with a command.
const FURTHER: usize = 4;

/// Breaks the lines of a block of commands. A quote may reach over several of them.
#[derive(Debug, Default)]
pub(super) struct Shell {
    /// The quote that is open.
    quote: Option<char>,
}

impl Shell {
    /// A line of the block in at most `room` columns, where that can be done: a comment goes above its
    /// command, and a command is broken between words with a backslash. Nothing inside quotes is.
    pub(super) fn fit(&mut self, line: &str, room: usize) -> Vec<String> {
        let (breaks, comment) = self.read(line);
        if line.width() <= room {
            return vec![line.to_owned()];
        }
        let code = line.get(..comment).unwrap_or(line).trim_end();
        let comment = line.get(comment..).unwrap_or_default();
        let indent = line.len() - line.trim_start().len();
        let mut out = Vec::new();
        if let Some(text) = comment.strip_prefix('#') {
            let blanks = " ".repeat(indent);
            let most = room.saturating_sub(indent + 2);
            let text = super::wrap(text, most, 0);
            out.extend(text.lines().map(|line| format!("{blanks}# {line}")));
        }
        if code.trim().is_empty() {
            return out;
        }
        let further = " ".repeat(indent + FURTHER);
        let mut from = 0;
        let mut head = "";
        loop {
            let rest = code.get(from..).unwrap_or_default();
            // With the backslash and its blank.
            let fits = |end: usize| {
                let piece = code.get(from..end).unwrap_or_default();
                head.len() + piece.width() + 2 <= room
            };
            let ends = || {
                breaks
                    .iter()
                    .copied()
                    .filter(|at| *at > from && *at < code.len())
            };
            let end = ends().take_while(|at| fits(*at)).last().or(ends().next());
            match end {
                Some(end) if head.len() + rest.width() > room => {
                    let piece = code.get(from..end).unwrap_or_default();
                    out.push(format!("{head}{} \\", piece.trim_end()));
                    from = end + 1;
                    head = &further;
                }
                _ => {
                    out.push(format!("{head}{rest}"));
                    return out;
                }
            }
        }
    }

    /// The blanks at which a line may be broken, and where its comment begins.
    fn read(&mut self, line: &str) -> (Vec<usize>, usize) {
        let mut breaks = Vec::new();
        let mut escaped = false;
        let mut before = ' ';
        for (at, c) in line.char_indices() {
            let bare = !std::mem::take(&mut escaped);
            match (self.quote, c) {
                (Some('"') | None, '\\') if bare => escaped = true,
                (None, '\'' | '"') if bare => self.quote = Some(c),
                (Some(quote), c) if c == quote && bare => self.quote = None,
                (None, '#') if before == ' ' => return (breaks, at),
                // Behind a word, before another one that is no backslash.
                (None, ' ') if bare && before != ' ' => {
                    let next = line.get(at + 1..).and_then(|rest| rest.chars().next());
                    if next.is_some_and(|next| !matches!(next, ' ' | '\\' | '#')) {
                        breaks.push(at);
                    }
                }
                _ => {}
            }
            before = c;
        }
        (breaks, line.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_broken_between_words_and_comments_go_above() {
        let mut shell = Shell::default();
        let line = "curl -s http://127.0.0.1:2381/metrics | grep -E 'a b c' | sort   # the node's own, twice";
        assert_eq!(shell.fit(line, 100), [line]);
        assert_eq!(
            shell.fit(line, 40),
            [
                "# the node's own, twice",
                "curl -s http://127.0.0.1:2381/metrics \\",
                "    | grep -E 'a b c' | sort",
            ]
        );
        // What is quoted stays whole, also where the quote is closed on another line.
        let long = "jq 'select(.stage == \"ResponseComplete\" and .verb == \"list\")";
        assert_eq!(
            shell.fit(long, 40),
            [
                "jq \\",
                "    'select(.stage == \"ResponseComplete\" and .verb == \"list\")"
            ]
        );
        let closed = "  | [.userAgent, .objectRef.resource] | @tsv' /var/log/audit.log | tail";
        assert_eq!(
            shell.fit(closed, 50),
            [
                "  | [.userAgent, .objectRef.resource] | @tsv' \\",
                "      /var/log/audit.log | tail"
            ]
        );
        assert_eq!(
            shell.fit("# more than one line of words that say what to do", 30),
            ["# more than one line of words", "# that say what to do"]
        );
        // One that goes on anyway.
        assert_eq!(
            shell.fit("export A=/etc/kubernetes/a B=/etc/kubernetes/b \\", 30),
            [
                "export A=/etc/kubernetes/a \\",
                "    B=/etc/kubernetes/b \\"
            ]
        );
    }

    proptest::proptest! {
        /// Joined again, it is the same command.
        #[test]
        fn a_broken_command_is_the_same(line in "[a-c'\"| ]{0,60}", room in 8_usize..40) {
            let shown = Shell::default().fit(&line, room).join("\n");
            let joined = shown.replace("\\\n", " ");
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            proptest::prop_assert_eq!(words(&joined), words(&line));
        }
    }
}
