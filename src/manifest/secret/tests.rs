//! What is a secret and what only sounds like one.

use super::*;
use proptest::prelude::*;

#[test]
fn secrets_go_and_settings_stay() {
    let cases: &[(&str, &str, &str)] = &[
        ("token", "K10abc::server:xyz", "***"),
        ("agent-token", "abc", "***"),
        ("discovery-password", "hunter2", "***"),
        ("discovery-user", "root:hunter2", "root:***"),
        ("initial-cluster-token", "etcd-events-1", "etcd-events-1"),
        ("auth-token", "simple", "simple"),
        ("token-auth-file", "/etc/tokens.csv", "/etc/tokens.csv"),
        ("etcd-s3-secret-key", "abc", "***"),
        ("etcd-s3-access-key", "abc", "***"),
        (
            "datastore-endpoint",
            "mysql://u:p@tcp(h:3306)/d",
            "mysql://u:***@tcp(h:3306)/d",
        ),
        (
            "datastore-endpoint",
            "u:p@tcp(h:3306)/d",
            "u:***@tcp(h:3306)/d",
        ),
        (
            "etcd-servers",
            "https://a:2379,https://u:p@b:2379",
            "https://a:2379,https://u:***@b:2379",
        ),
        ("key-file", "/etc/pki/k.key", "/etc/pki/k.key"),
        ("authentication-token-webhook-cache-ttl", "10s", "10s"),
    ];
    for (name, value, expected) in cases {
        assert_eq!(mask(name, value), *expected, "{name}");
    }
}

#[test]
fn parameters_and_data_source_names() {
    let cases: &[(&str, &str)] = &[
        (
            "postgres://u:p@h/db?sslmode=disable&password=p",
            "postgres://u:***@h/db?sslmode=disable&password=***",
        ),
        (
            "postgres://h/db?password=a,b;c&sslmode=disable",
            "postgres://h/db?password=***&sslmode=disable",
        ),
        (
            "https://a:2379?token=x,https://b:2379?timeout=3s",
            "https://a:2379?token=***,https://b:2379?timeout=3s",
        ),
        ("https://x?unheard-of=x", "https://x?unheard-of=***"),
        (
            "postgres://h/db?sslmode=disable,password=x",
            "postgres://h/db?sslmode=disable,password=***",
        ),
        (
            "u:p@ss@tcp(h:3306)/d?tls=true",
            "u:***@tcp(h:3306)/d?tls=true",
        ),
        (
            "host=h user=u password='a b' dbname=d",
            "host=h user=u password=*** dbname=d",
        ),
        (
            "host=h password=a,b dbname=d",
            "host=h password=*** dbname=d",
        ),
        ("Server=x;Password=p;", "Server=x;Password=***;"),
        ("name=tailscale,joinKey=k", "name=tailscale,joinKey=***"),
    ];
    for (text, expected) in cases {
        assert_eq!(mask("datastore-endpoint", text), *expected);
    }
    for same in [
        "jwt,pub-key=/x,priv-key=/y,sign-method=RS256",
        "LegacyServiceAccountTokenCleanUp=true,AllAlpha=false",
        "token-0=https://10.0.0.1:2380,m1=https://10.0.0.2:2380",
        "token_cleaner=4,secrets=5",
        "/events#https://10.0.0.3:2379;https://10.0.0.4:2379",
        "secrets=500,pods=1000",
        "a=b, c",
    ] {
        assert_eq!(mask("some-setting", same), same);
    }
}

#[test]
fn short_words_count_at_the_end_of_a_name() {
    for name in [
        "webhook-pass",
        "webhookPass",
        "basic-auth",
        "jwt",
        "bearer",
        "pwd",
        "db-pass-2",
        "authorization",
        "vpn-auth",
    ] {
        assert_eq!(mask(name, "leak"), "***", "{name}");
    }
    for name in [
        "bypass-cache",
        "authorization-mode",
        "jwt-ttl",
        "pass-through",
        "passive",
        "auth-token-ttl",
        "client-cert-auth",
        "basic-auth-file",
    ] {
        assert_eq!(mask(name, "kept"), "kept", "{name}");
    }
    assert_eq!(mask("anonymous-auth", "false"), "false");
    assert_eq!(mask("header", "X-Any: leak"), "X-Any:***");
    assert_eq!(mask_name("kubelet-token leak"), "kubelet-token ***");
    assert_eq!(mask_env("DB_PASS", "leak"), "***");
    assert_eq!(mask_env("OPENSTACK_PWD", "leak"), "***");
    assert_eq!(mask_env("PWD", "/root"), "/root");
}

#[test]
fn of_the_known_settings_only_secrets_go() {
    use crate::catalog::settings::{Component, settings};
    let hidden: Vec<&str> = Component::ALL
        .into_iter()
        .flat_map(settings)
        .map(|setting| setting.name)
        .filter(|name| mask(name, "x") != "x")
        .collect();
    assert_eq!(
        hidden,
        [
            "discovery-password",
            "discovery-token",
            // A switch: of it only what is no switch's value goes.
            "use-service-account-credentials",
        ]
    );
    assert_eq!(mask("use-service-account-credentials", "true"), "true");
}

#[test]
fn commands_keep_all_but_their_secrets() {
    let cases: &[(&str, &str)] = &[
        (
            "etcdctl --user root:p --cacert=/ca.crt endpoint health",
            "etcdctl --user root:*** --cacert=/ca.crt endpoint health",
        ),
        (
            "sh -c ETCDCTL_USER=root:p etcdctl --password=p get a",
            "sh -c ETCDCTL_USER=root:*** etcdctl --password=*** get a",
        ),
        (
            "curl --pass p -k https://a?exclude=x",
            "curl --pass *** -k https://a?exclude=x",
        ),
        ("sh -c 'curl --pass p x'", "sh -c 'curl --pass *** x'"),
    ];
    for (command, expected) in cases {
        assert_eq!(mask_command(command), *expected);
    }
}

#[test]
fn environment_is_hidden_by_its_name() {
    assert_eq!(mask_env("AWS_SECRET_ACCESS_KEY", "/abc+def"), "***");
    assert_eq!(mask_env("MY_KEY", "abc"), "***");
    assert_eq!(mask_env("ETCD_KEY_FILE", "/etc/k"), "/etc/k");
    assert_eq!(mask_env("ETCD_INITIAL_CLUSTER_TOKEN", "t1"), "t1");
    assert_eq!(mask_env("ETCD_NAME", "a"), "a");
}

proptest! {
    #[test]
    fn a_masked_password_never_shows(pass in "[a-z0-9/!]{8,16}", host in "[a-z]{1,8}") {
        let shown = mask("etcd-servers", &format!("https://root:{pass}@{host}:2379,https://b:1"));
        prop_assert!(!shown.contains(&pass), "{}", shown);
        let shown = mask("some-password", &pass);
        prop_assert!(!shown.contains(&pass));
    }

    #[test]
    fn text_without_secrets_is_left_alone(text in "[a-z ,;'\"?&]{0,40}") {
        prop_assert_eq!(mask_command(&text), text);
    }

    #[test]
    fn never_panics(text in "\\PC{0,60}") {
        mask_command(&text);
        mask_env(&text, &text);
        mask_name(&text);
    }
}

#[test]
fn members_of_objects_are_masked() {
    for (text, want) in [
        (r#"{"password":"zz8"}"#, r#"{"password":"***"}"#),
        (
            r#"{"url":"https://a:1","bindPassword": "z\"z, 8" ,"user":"me"}"#,
            r#"{"url":"https://a:1","bindPassword": "***" ,"user":"me"}"#,
        ),
        (
            r#"{\"token\":\"zz8\",\"n\":1}"#,
            r#"{\"token\":\"***\",\"n\":1}"#,
        ),
        ("{password: zz8, user: me}", "{password: ***, user: me}"),
        (r#"{"a":{"secret":12345}}"#, r#"{"a":{"secret":***}}"#),
        (r#"{"tokens":["#, r#"{"tokens":["#),
        (r#"{"token":true,"size":5}"#, r#"{"token":true,"size":5}"#),
        ("{{.token}}:5", "{{.token}}:5"),
    ] {
        assert_eq!(mask("cloud-config-inline", text), want);
        let flag = format!("--cloud-config-inline={text}");
        assert_eq!(mask_command(&flag), format!("--cloud-config-inline={want}"));
    }
}
