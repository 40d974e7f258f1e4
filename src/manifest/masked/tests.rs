//! No secret is left in any line.

use super::*;
use proptest::prelude::*;

fn masked(text: &str) -> String {
    mask_lines(&text.split_inclusive('\n').collect::<Vec<_>>()).concat()
}

/// Each text holds the word `leak`, perhaps several times, and the word `kept`.
#[test]
fn no_form_of_a_secret_is_shown() {
    let texts = [
        "token: leak\nkept: kept\n",
        "- token: leak # kept\n",
        "token: 'leak leak' # kept\npassword: leak # password: leak\n",
        "password: >\n  leak\n\n  leak\nkept: 1\n",
        "password: |\n    leak\nkept: 1\n",
        "password:\n  leak\nkept: 1\n",
        "password: \"leak\n  leak\"\nkept: 1\n",
        "password: leak\n  leak\nkept: 1\n",
        "tokens:\n- leak\n- leak\nkept: 1\n",
        "tokens:\n  - leak\nkept: 1\n",
        "tokens: [leak, \"leak\"]\nkept: 1\n",
        "tokens: [leak,\n  leak]\nkept: 1\n",
        "secrets: {a: leak, path: kept}\n",
        "env:\n- name: A_PASSWORD\n  value: leak\n- name: B\n  value: kept\n",
        "env:\n- value: leak\n  name: A_PASSWORD\n- value: kept\n  name: B\n",
        "env:\n  # of it\n  - name: \"A_KEY\" # so\n    # and\n    value: leak\n  - name: B\n    value: kept\n",
        "env:\n- name: A_PASSWORD\n  value: |\n    leak\n- name: B\n  value: kept\n",
        "env: [{name: A_PASSWORD, value: leak}, {value: leak, name: B_TOKEN}, {name: C, value: kept}]\n",
        "env:\n- {name: A_PASSWORD, value: \"leak, leak\"}\n- {name: C, value: kept}\n",
        "httpHeaders:\n- name: Authorization\n  value: Bearer leak\n- name: Kept\n  value: kept\n",
        "{\n  \"env\": [\n    {\n      \"name\": \"A_PASSWORD\",\n      \"value\": \"leak\"\n    },\n    {\n      \"name\": \"B\",\n      \"value\": \"kept\"\n    }\n  ]\n}\n",
        "{\"env\":[{\"name\":\"A_PASSWORD\",\"value\":\"leak\"},{\"name\":\"B\",\"value\":\"kept\"}]}\n",
        "{\"command\": [\"etcd\", \"--discovery-password\", \"leak\", \"kept\"]}\n",
        "  \"kubectl.kubernetes.io/last-applied-configuration\": \"{\\\"token\\\":\\\"leak\\\"}\",\n  \"kept\": 1\n",
        "command:\n- etcd\n- --discovery-password=leak\n- --name=kept\n",
        "command:\n- etcd\n- --discovery-password\n- leak leak\n- --name=kept\n",
        "command:\n- etcd\n- '--discovery-user=root:leak'\n- \"--name=kept\"\n",
        "command:\n- sh\n- -c\n- etcd --discovery-password leak --name kept\n",
        "args: [--discovery-password, leak, --name, kept]\n",
        "etcd-arg:\n- discovery-password=leak\n- \"discovery-user=root:leak\"\n- name=kept\n",
        "datastore-endpoint: postgres://u:leak@h/db?password=leak&sslmode=kept\n",
        "ETCD_ROOT_PASSWORD=leak leak # leak\nETCD_NAME=kept\n",
        "export ETCD_ROOT_PASSWORD=\"leak\nleak\"\nETCD_NAME=kept\n",
        "A_PASSWORD=leak\\\nleak\nETCD_NAME=kept\n",
        "# token: leak\n#A_PASSWORD=leak\n; A_PASSWORD=leak\nkept\n",
        "Environment=A_PASSWORD=leak B=kept\n",
        "Environment=\"A_PASSWORD=leak leak\" B=kept\n",
        "SetCredential=a:leak\nkept\n",
        "ExecStart=/usr/bin/etcd \\\n  --discovery-password \\\n  leak --name kept\n",
        "ExecStart=/usr/bin/etcd --discovery-password leak \\\n  --name kept\n",
        "kind: Secret\ndata:\n  any: leak\nmetadata:\n  any: kept\n",
        "items:\n- apiVersion: v1\n  data:\n    any: leak\n  kind: Secret\n  metadata:\n    any: kept\n",
        "tls.key: |\n  -----BEGIN PRIVATE KEY-----\n  leak\n  -----END PRIVATE KEY-----\nkept: 1\n",
        "any: \"-----BEGIN RSA PRIVATE KEY-----\\nleak\\n-----END RSA PRIVATE KEY-----\"\nkept: 1\n",
        "client-key-data: LS0tleak\nkept: 1\n",
        "providers:\n- aescbc:\n    keys:\n    - name: kept\n      secret: leak\n",
        "token: leak\r\nkept: 1\r\n",
        "token: &anchor leak\npassword: &anchor\n  leak\nkept: 1\n",
    ];
    for text in texts {
        let shown = masked(text);
        assert!(!shown.contains("leak"), "{text}\n{shown}");
        assert!(shown.contains("kept"), "{text}\n{shown}");
        assert!(shown.contains(MASK), "{text}\n{shown}");
        assert_eq!(shown.lines().count(), text.lines().count(), "{text}");
        assert_eq!(masked(&shown), shown, "{text}");
    }
}

#[test]
fn what_is_no_secret_stays_as_it_is() {
    for text in [
        "volumes:\n- name: certs\n  secret:\n    secretName: etcd-certs\n    defaultMode: 420\n",
        "env:\n- name: A_PASSWORD\n  valueFrom:\n    secretKeyRef:\n      name: db\n      key: pass\n",
        "automountServiceAccountToken: false\nimage: registry.k8s.io/etcd:3.5.21-0\n",
        "command:\n- etcd\n- --initial-cluster-token=a\n- --key-file=/etc/k.key\n- --auth-token\n- simple\n",
        "- --service-account-key-file=/etc/kubernetes/pki/sa.pub\n- --token-auth-file=/a\n",
        "ExecStart=/usr/bin/etcd --name a \\\n  --quota-backend-bytes=8589934592\n",
        "ETCD_INITIAL_CLUSTER=\"a=https://10.0.0.1:2380,b=https://10.0.0.2:2380\"\n",
        "    {\n      \"name\": \"manager\",\n      \"args\": [\n        \"--kube-api-qps=100\",\n        \"--v=2\"\n      ]\n    }\n",
        "# it's a comment: with \"quotes\n\n\n---\n...\n",
        "\t[Unit]\nDescription=etcd: key-value store\n",
    ] {
        assert_eq!(masked(text), text);
    }
}

proptest! {
    #[test]
    fn never_panics_and_keeps_the_lines(text in "([a-zA-Z_\"'#:;{}\\[\\]&*!|>\\-=, \\\\\t\n\r]|- |: |\n  |token|name|value|é){0,80}") {
        let shown = masked(&text);
        prop_assert_eq!(shown.matches('\n').count(), text.matches('\n').count());
    }

    #[test]
    fn a_token_is_hidden_whatever_it_is(secret in "[a-zA-Z0-9+/=.:@%!]{12,24}", lead in "( |\t|- ){0,3}") {
        let text = format!("a: 1\n{lead}token: {secret}\nA_PASSWORD={secret}\nb: 2\n");
        prop_assert!(!masked(&text).contains(&secret), "{}", masked(&text));
    }
}

#[test]
fn the_quote_after_a_value_is_no_part_of_it() {
    let line = "- command: [\"kcm\", \"--use-service-account-credentials=true\", '--discovery-user=root:leak', \"--kube-api-qps=5\"]\n";
    let shown = masked(line);
    assert_eq!(
        shown,
        "- command: [\"kcm\", \"--use-service-account-credentials=true\", '--discovery-user=root:***', \"--kube-api-qps=5\"]\n"
    );
}
