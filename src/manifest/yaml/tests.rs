//! What is read of YAML, with its places.

use super::*;
use proptest::prelude::*;

#[test]
fn lines_survive_comments_quotes_and_flow() {
    let text = "# head\napiVersion: v1\nspec:\n  containers:\n  # - --quota=1\n  - command:\n    - etcd\n    - --quota=2 # was --quota=1\n    - \"--name=a b\"\n    env: [{name: A, value: \"1\"}, {name: B, value: '2'}]\n";
    let read = read(text);
    assert_eq!(read.troubles, []);
    let containers = read.documents[0].at(&["spec", "containers"]).unwrap();
    let command = containers.items()[0].get("command").unwrap();
    let lines: Vec<_> = command
        .items()
        .iter()
        .map(|n| (n.text().unwrap(), n.line))
        .collect();
    assert_eq!(lines, [("etcd", 7), ("--quota=2", 8), ("--name=a b", 9)]);
    let env = containers.items()[0].get("env").unwrap();
    assert_eq!(env.items()[1].get("value").unwrap().line, 10);
}

#[test]
fn documents_crlf_marks_and_bad_ones_between_good_ones() {
    let text =
        "\u{feff}a: 1\r\n---\r\nb: [\r\n---\r\n# only a comment\r\n--- # note\r\nc: 3\r\n...\r\n";
    let read = read(text);
    assert_eq!(read.documents.len(), 2);
    assert_eq!(read.documents[1].get("c").unwrap().line, 7);
    assert_eq!(read.troubles.len(), 1);
    assert!(read.troubles[0].fatal);
    assert!(
        (2..=4).contains(&read.troubles[0].line),
        "{:?}",
        read.troubles
    );
}

#[test]
fn what_opens_too_many_brackets_is_refused_before_it_is_parsed() {
    for open in ["[", "{", "[{a: ", "{a: ["] {
        // Minutes, if it were parsed.
        let text = format!("a: 1\n---\n# [\n\nspec: {}\n", open.repeat(300_000));
        let read = read(&text);
        assert_eq!(read.documents.len(), 1, "{open}");
        assert_eq!(read.troubles.len(), 1, "{open}");
        assert!(
            read.troubles[0].fatal && read.troubles[0].line == 5,
            "{open}"
        );
        let why = &read.troubles[0].why;
        assert!(why.starts_with("opens more than 256 brackets"), "{why}");
    }
    // An odd quote in a block of text hides nothing.
    let text = format!("a: |\n  say \"\nb: {}\n", "[".repeat(300_000));
    let why = &read(&text).troubles[0].why;
    assert!(why.starts_with("opens more than 1000 brackets"), "{why}");
    // As many as are followed, and those that open nothing or are closed again.
    for text in [
        format!("a: {}{}\n", "[".repeat(100), "]".repeat(100)),
        format!("a: '{}'\n# {}\n", "[".repeat(900), "[".repeat(5_000)),
        format!("a: {{{}}}\n", "b: [{}], ".repeat(2_000)),
    ] {
        assert_eq!(
            read(&text).troubles,
            [],
            "{}",
            text.get(..40).unwrap_or_default()
        );
    }
}

#[test]
fn tabs_and_templates_are_refused_with_their_line() {
    let tab = read("a:\n\tb: 1\n");
    assert_eq!((tab.troubles[0].line, tab.troubles[0].column), (2, Some(1)));
    let template = read("a: 1\n---\nx: 1\nb: {{ .Values.x }}\n");
    assert_eq!(template.documents.len(), 1);
    assert_eq!(
        (template.troubles[0].line, template.troubles[0].column),
        (4, Some(4))
    );
    for line in [
        "{{- if .Values.x }}",
        "- {{ include \"x\" . }}",
        "{% if x %}",
        "<% if x %>\nb: 1",
    ] {
        let read = read(&format!("a: 1\n{line}\n"));
        assert!(read.documents.is_empty(), "{line}");
        assert!(read.troubles[0].why.contains("template"), "{line}");
    }
    assert_eq!(read("# {{ fine }}\na: 1\n").troubles, []);
    assert_eq!(read("{\n\t\"a\": {\"b\": 1}}").troubles, []);
}

#[test]
fn a_template_in_a_text_is_a_text() {
    let texts = [
        "- \"--fqdn-template={{.Name}}.example.com\"\n- --format={{ .level }}\n- 'it''s # {{ x }}'\n",
        "a: 'C:\\'\n# managed by {{ .host }}\nb: 'x' # {{ y }}\n",
        "a: |\n  {{ if x }}\n  y\n  {{ end }}\n",
    ];
    for text in texts {
        let read = read(text);
        assert_eq!((read.documents.len(), read.troubles), (1, vec![]), "{text}");
    }
    assert_eq!(without_comments("'C:\\' # x").0, "'C:\\'    ");
    assert_eq!(without_comments("'it''s # x' # y").0, "'it''s # x'    ");
    assert_eq!(without_comments("\"a\\\" # x\" # y").0, "\"a\\\" # x\"    ");
}

#[test]
fn duplicated_keys_are_noticed_and_the_last_counts() {
    let read = read("a: 1\nb: 2\na: 3\n");
    assert_eq!(read.documents[0].text_at(&["a"]), Some("3"));
    assert_eq!((read.troubles[0].line, read.troubles[0].fatal), (3, false));
}

#[test]
fn anchors_and_merges() {
    let read = read("base: &b\n  x: 1\n  y: 2\nuse:\n  <<: *b\n  y: 3\nalias: *b\n");
    let doc = &read.documents[0];
    assert_eq!(doc.text_at(&["use", "x"]), Some("1"));
    assert_eq!(doc.text_at(&["use", "y"]), Some("3"));
    assert_eq!(doc.text_at(&["alias", "y"]), Some("2"));
}

proptest! {
    #[test]
    fn never_panics_on_bytes(bytes: Vec<u8>) {
        let _ = read(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn never_panics_on_yaml_like_text(text in "([a-z\"'#:{}\\[\\]&*!|>\\-, \t\n\r]|- |: |\n  ){0,80}") {
        let _ = read(&text);
    }

    #[test]
    fn blanking_keeps_the_length(text: String) {
        prop_assert_eq!(without_comments(&text).0.len(), text.len());
    }
}

#[test]
fn scalars_that_two_yaml_versions_read_differently_are_told() {
    let text =
        "a: no\nb: \"no\"\nc: 'on'\nd: [off, 017, 1_000]\ne: nowhere\nf: --x=no\n# g: no\nh: 10\n";
    let read = read(text);
    let told: Vec<(u32, bool)> = read
        .troubles
        .iter()
        .map(|t| (t.line, t.ambiguous && !t.fatal))
        .collect();
    assert_eq!(told, [(1, true), (4, true), (4, true), (4, true)]);
    assert!(read.troubles[0].why.contains("the boolean false"));
    assert!(read.troubles[2].why.contains("the number 15"));
    assert!(read.troubles[3].why.contains("the number 1000"));
}
