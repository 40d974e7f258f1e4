//! Request texts of all releases.

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
    let request = parse_request_as(br#"key:"/registry/pods/a/b" value_size:9 "#, Operation::Put);
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
