//! Masks secrets at the moment of reading, so that none is ever stored.

/// What stands in for a secret.
pub(super) const MASK: &str = "***";

/// Settings whose name looks like a secret and whose value is a mode, a lifetime or a label.
const HARMLESS: &[&str] = &[
    "auth-token",
    "auth-token-ttl",
    "authentication-skip-lookup",
    "authentication-token-webhook",
    "authentication-token-webhook-cache-ttl",
    "authentication-token-webhook-version",
    "concurrent-serviceaccount-token-syncs",
    "enable-bootstrap-token-auth",
    "initial-cluster-token",
    "legacy-service-account-token-clean-up-period",
    "legacy-service-account-token-cleaner",
    "secrets-encryption",
    "service-account-extend-token-expiration",
    "service-account-max-token-expiration",
    "token-ttl",
];

const WORDS: &[&str] = &[
    "token",
    "secret",
    "password",
    "passwd",
    "passphrase",
    "credential",
    "apikey",
    "api-key",
    "api_key",
    "access-key",
    "access_key",
    "private-key",
    "private_key",
];

/// The value of a setting as it may be shown. `name` is a flag, a variable or a file key.
pub(super) fn mask(name: &str, value: &str) -> String {
    let lower = name.to_ascii_lowercase().replace('_', "-");
    let plain = lower.strip_prefix("etcd-").unwrap_or(&lower);
    // `k3s server --token`, `etcd --discovery-user=name:password`.
    if plain.ends_with("discovery-user") || plain == "user" {
        return match value.split_once(':') {
            Some((user, _)) => format!("{user}:{MASK}"),
            None => value.to_owned(),
        };
    }
    if is_secret(plain) && !is_reference(plain, value) {
        return MASK.to_owned();
    }
    without_userinfo(value)
}

/// The value of an environment variable of a process; `KEY` alone is enough to hide it.
pub(super) fn mask_env(name: &str, value: &str) -> String {
    let upper = name.to_ascii_uppercase();
    let secret = ["TOKEN", "SECRET", "PASSWORD", "PASSWD", "KEY", "CREDENTIAL"]
        .iter()
        .any(|word| upper.contains(word));
    let flag = name.to_ascii_lowercase().replace('_', "-");
    let flag = flag.strip_prefix("etcd-").unwrap_or(&flag);
    if secret && !HARMLESS.contains(&flag) && !is_reference(flag, value) {
        return MASK.to_owned();
    }
    mask(name, value)
}

fn is_secret(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    !HARMLESS.contains(&last) && WORDS.iter().any(|word| last.contains(word))
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

/// The text with the password of every `scheme://user:password@host` masked.
pub(super) fn without_userinfo(text: &str) -> String {
    if !text.contains('@') {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    // Data source names of MySQL have no scheme: `user:password@tcp(host:3306)/db`.
    if !text.contains("://")
        && let Some((user, after)) = text.split_once('@')
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

#[cfg(test)]
mod tests {
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
    }
}
