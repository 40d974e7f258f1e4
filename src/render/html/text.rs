//! Texts inside HTML: escaping, and Markdown of the embedded playbook pages.

/// A text as HTML, safe between tags and in quoted attributes. Control characters and those that
/// reorder text are shown as a mark, not sent.
pub(super) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in super::super::safe(text).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

/// Inline Markdown: code spans, bold, links (shown with their address, not followed).
fn inline(text: &str) -> String {
    let mut html = String::new();
    for (at, part) in text.split('`').enumerate() {
        if at % 2 == 1 {
            html.push_str("<code>");
            html.push_str(&escape(part));
            html.push_str("</code>");
            continue;
        }
        for (at, part) in part.split("**").enumerate() {
            if at % 2 == 1 {
                html.push_str("<strong>");
                html.push_str(&escape(part));
                html.push_str("</strong>");
            } else {
                html.push_str(&escape(part));
            }
        }
    }
    html
}

/// What a line opens.
#[derive(PartialEq)]
enum Block {
    None,
    Paragraph,
    Bullets,
    Numbers,
    Table,
    Code,
}

impl Block {
    fn close(&self) -> &'static str {
        match self {
            Block::None => "",
            Block::Paragraph => "</p>\n",
            Block::Bullets => "</li></ul>\n",
            Block::Numbers => "</li></ol>\n",
            Block::Table => "</table></div>\n",
            Block::Code => "</code></pre>\n",
        }
    }
}

/// An embedded page as HTML. Knows what the pages use: headings, paragraphs, lists, tables, code.
/// Headings start at `h4`; the page's title is left out, since the finding names the rule.
pub(super) fn markdown(text: &str) -> String {
    let mut html = String::new();
    let mut open = Block::None;
    for line in text.lines().skip(1) {
        let trimmed = line.trim();
        if trimmed.starts_with("```") {
            let was_code = open == Block::Code;
            html.push_str(open.close());
            open = if was_code {
                Block::None
            } else {
                html.push_str("<pre tabindex=\"0\"><code>");
                Block::Code
            };
            continue;
        }
        if open == Block::Code {
            html.push_str(&escape(line));
            html.push('\n');
            continue;
        }
        let number = trimmed
            .split_once(". ")
            .filter(|(n, _)| n.parse::<u8>().is_ok())
            .map(|(_, rest)| rest);
        let start = |want: Block, first: &str, next: &str, open: &mut Block, html: &mut String| {
            if *open == want {
                html.push_str(next);
            } else {
                html.push_str(open.close());
                html.push_str(first);
                *open = want;
            }
        };
        if trimmed.is_empty() {
            if !matches!(open, Block::Bullets | Block::Numbers) {
                html.push_str(open.close());
                open = Block::None;
            }
        } else if trimmed.starts_with('#') {
            html.push_str(open.close());
            open = Block::None;
            let title = trimmed.trim_start_matches('#').trim();
            html.push_str("<h4>");
            html.push_str(&inline(title));
            html.push_str("</h4>\n");
        } else if let Some(item) = trimmed.strip_prefix("- ") {
            start(
                Block::Bullets,
                "<ul><li>",
                "</li><li>",
                &mut open,
                &mut html,
            );
            html.push_str(&inline(item));
        } else if let Some(item) = number {
            start(
                Block::Numbers,
                "<ol><li>",
                "</li><li>",
                &mut open,
                &mut html,
            );
            html.push_str(&inline(item));
        } else if let Some(row) = trimmed.strip_prefix('|') {
            if row.chars().all(|c| matches!(c, '-' | ':' | '|' | ' ')) {
                continue;
            }
            let head = open != Block::Table;
            start(
                Block::Table,
                "<div class=\"scroll\" tabindex=\"0\"><table>",
                "",
                &mut open,
                &mut html,
            );
            let tag = if head { "th" } else { "td" };
            html.push_str("<tr>");
            for cell in row.trim_end_matches('|').split('|') {
                for part in ["<", tag, ">", &inline(cell.trim()), "</", tag, ">"] {
                    html.push_str(part);
                }
            }
            html.push_str("</tr>");
        } else if matches!(open, Block::Bullets | Block::Numbers) && line.starts_with(' ') {
            html.push(' ');
            html.push_str(&inline(trimmed));
        } else {
            start(Block::Paragraph, "<p>", " ", &mut open, &mut html);
            html.push_str(&inline(trimmed));
        }
    }
    html.push_str(open.close());
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_becomes_markup() {
        assert_eq!(
            escape("<script>&\"'\u{1b}\u{202E}"),
            "&lt;script&gt;&amp;&quot;&#39;\u{FFFD}\u{FFFD}"
        );
    }

    #[test]
    fn a_page_becomes_html() {
        let html = markdown(
            "# T\n\n## Fix\n\nDo `a<b`\nand **c**.\n\n1. one\n   more\n2. two\n\n```\nx <y>\n```\n| a | b |\n|---|---|\n| 1 | 2 |\n",
        );
        assert_eq!(
            html,
            "<h4>Fix</h4>\n<p>Do <code>a&lt;b</code> and <strong>c</strong>.</p>\n\
             <ol><li>one more</li><li>two</li></ol>\n<pre tabindex=\"0\"><code>x &lt;y&gt;\n</code></pre>\n\
             <div class=\"scroll\" tabindex=\"0\"><table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table></div>\n"
        );
    }

    #[test]
    fn every_embedded_page_closes_what_it_opens() {
        for page in crate::playbook::PAGES {
            let html = markdown(page.text);
            for tag in [
                "p", "ul", "ol", "li", "table", "pre", "code", "strong", "h4",
            ] {
                let opened = html.matches(&format!("<{tag}>")).count()
                    + html.matches(&format!("<{tag} ")).count();
                let closed = html.matches(&format!("</{tag}>")).count();
                assert_eq!(opened, closed, "{}: {tag}", page.name);
            }
        }
    }
}
