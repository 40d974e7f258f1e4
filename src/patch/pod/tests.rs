//! Changes of static pods.

use super::*;
use proptest::prelude::*;

const POD: &str = "\
# made by kubeadm
apiVersion: v1
kind: Pod
spec:
  containers:
  - command:
    - kube-controller-manager
    - --bind-address=127.0.0.1   # local only
    - --kube-api-burst=30
    - '--leader-elect=true'
    - \"--use-service-account-credentials=true\"
    image: registry.k8s.io/kube-controller-manager:v1.31.2
    name: kube-controller-manager
    env:
    - name: X
      value: --kube-api-burst=30
  hostNetwork: true
";

fn pod(text: &str) -> Pod {
    Pod::parse(text, "kube-controller-manager").unwrap()
}

fn changed(before: &str, after: &str) -> (Vec<String>, Vec<String>) {
    let b: Vec<&str> = before.lines().collect();
    let a: Vec<&str> = after.lines().collect();
    let gone = b.iter().filter(|l| !a.contains(l)).map(|l| (*l).to_owned());
    let new = a.iter().filter(|l| !b.contains(l)).map(|l| (*l).to_owned());
    (gone.collect(), new.collect())
}

#[test]
fn an_absent_flag_is_one_new_line_in_order() {
    let mut pod = pod(POD);
    pod.set_flag("kube-api-qps", "100").unwrap();
    let (gone, new) = changed(POD, pod.text());
    assert!(gone.is_empty());
    assert_eq!(new, ["    - --kube-api-qps=100"]);
    let at = |text: &str| pod.text().find(text).unwrap();
    assert!(at("burst=30\n    - --kube-api-qps") > 0);
}

#[test]
fn an_existing_flag_is_one_changed_line_and_keeps_its_quotes_and_comment() {
    for (name, value, line) in [
        ("kube-api-burst", "200", "    - --kube-api-burst=200"),
        (
            "bind-address",
            "0.0.0.0",
            "    - --bind-address=0.0.0.0   # local only",
        ),
        ("leader-elect", "false", "    - '--leader-elect=false'"),
        (
            "use-service-account-credentials",
            "false",
            "    - \"--use-service-account-credentials=false\"",
        ),
    ] {
        let mut pod = pod(POD);
        pod.set_flag(name, value).unwrap();
        let (gone, new) = changed(POD, pod.text());
        assert_eq!((gone.len(), new), (1, vec![line.to_owned()]), "{name}");
        assert!(
            pod.text().contains("value: --kube-api-burst=30"),
            "the env is another thing"
        );
    }
}

#[test]
fn twice_is_the_same_as_once() {
    let mut once = pod(POD);
    once.set_flag("kube-api-qps", "100").unwrap();
    let mut twice = pod(once.text());
    twice.set_flag("kube-api-qps", "100").unwrap();
    assert_eq!(once.text(), twice.text());
}

#[test]
fn undo_restores_the_text() {
    let mut edited = pod(POD);
    edited.set_flag("kube-api-qps", "100").unwrap();
    edited.remove_flag("kube-api-qps").unwrap();
    edited.set_flag("kube-api-burst", "200").unwrap();
    edited.set_flag("kube-api-burst", "30").unwrap();
    assert_eq!(edited.text(), POD);
}

#[test]
fn a_flag_given_twice_becomes_one() {
    let text = POD.replace(
        "    - --kube-api-burst=30\n",
        "    - --kube-api-burst=30\n    - --kube_api_burst=40\n",
    );
    let mut pod = pod(&text);
    pod.set_flag("kube-api-burst", "200").unwrap();
    assert_eq!(pod.count("kube-api-burst"), 1);
    assert_eq!(pod.flag("kube-api-burst").as_deref(), Some("200"));
}

#[test]
fn flags_in_two_elements_and_in_args() {
    let text = POD
        .replace(
            "    - --kube-api-burst=30\n",
            "    - --kube-api-burst\n    - \"30\"\n",
        )
        .replace("    env:", "    args:\n    - --v=2\n    env:");
    let mut pod = pod(&text);
    pod.set_flag("kube-api-burst", "200").unwrap();
    assert!(
        pod.text()
            .contains("    - --kube-api-burst\n    - \"200\"\n"),
        "{}",
        pod.text()
    );
    pod.set_flag("kube-api-qps", "100").unwrap();
    assert_eq!(pod.effective().len(), 6);
}

#[test]
fn flow_lists_crlf_and_more_documents() {
    let flow = "kind: A\n---\nkind: Pod\nspec:\n  containers:\n  - {name: kube-controller-manager, command: [kube-controller-manager, \"--a=1\"]} # x\n---\nkind: B\n";
    let mut pod = Pod::parse(flow, "kube-controller-manager").unwrap();
    pod.set_flag("kube-api-qps", "100").unwrap();
    assert!(
        pod.text().contains("\"--a=1\", \"--kube-api-qps=100\"]"),
        "{}",
        pod.text()
    );
    pod.set_flag("a", "2").unwrap();
    pod.remove_flag("a").unwrap();
    assert!(pod.text().ends_with("} # x\n---\nkind: B\n"));

    let crlf = POD.replace('\n', "\r\n");
    let mut pod = Pod::parse(&crlf, "kube-controller-manager").unwrap();
    pod.set_flag("kube-api-qps", "100").unwrap();
    pod.set_flag("kube-api-burst", "100").unwrap();
    assert!(!pod.text().replace("\r\n", "").contains('\n'));
}

#[test]
fn an_anchor_shared_with_another_place_is_refused() {
    let text = "\
spec:
  x: &flags
  - kube-controller-manager
  - --kube-api-qps=20
  containers:
  - name: kube-controller-manager
    command: *flags
";
    let refusal = Pod::parse(text, "kube-controller-manager")
        .unwrap()
        .set_flag("kube-api-qps", "100")
        .unwrap_err();
    assert!(refusal.place.is_some(), "{refusal}");
}

#[test]
fn shells_and_config_files_are_refused() {
    let shell =
        "spec:\n  containers:\n  - name: etcd\n    command: [/bin/sh, -c, 'exec etcd --name=a']\n";
    assert_eq!(Pod::parse(shell, "etcd").unwrap_err().place, Some((4, 15)));
    let file = "spec:\n  containers:\n  - name: etcd\n    command: [etcd, --config-file=/x]\n";
    assert!(
        Pod::parse(file, "etcd")
            .unwrap_err()
            .why
            .contains("config-file")
    );
    assert!(Pod::parse("a: 1\n", "etcd").is_err());
}

#[test]
fn a_set_variable_is_changed_in_place_of_a_second_flag() {
    let text = "\
spec:
  containers:
  - name: etcd
    command: [etcd, --name=a]
    env:
    - name: ETCD_QUOTA_BACKEND_BYTES
      value: \"2147483648\"
";
    let mut pod = Pod::parse(text, "etcd").unwrap();
    pod.set_flag("quota-backend-bytes", "8589934592").unwrap();
    assert_eq!(pod.flag("quota-backend-bytes"), None);
    assert!(pod.text().contains("value: \"8589934592\""));
}

#[test]
fn a_value_with_hash_and_semicolon_reads_back() {
    let value = "/events#https://10.0.0.1:2382;https://10.0.0.2:2382";
    let mut pod = pod(POD);
    pod.set_flag("etcd-servers-overrides", value).unwrap();
    assert_eq!(
        Pod::parse(pod.text(), "kube-controller-manager")
            .unwrap()
            .flag("etcd-servers-overrides")
            .as_deref(),
        Some(value)
    );
}

proptest! {
    /// Any value is either set exactly or refused, and a refusal leaves the text as it was.
    #[test]
    fn a_value_is_set_or_refused(value in "[ -~]{0,30}") {
        let mut edited = pod(POD);
        match edited.set_flag("kube-api-burst", &value) {
            Ok(()) => {
                let read = pod(edited.text()).flag("kube-api-burst");
                prop_assert_eq!(read.as_deref(), Some(value.as_str()));
            }
            Err(_) => prop_assert_eq!(edited.text(), POD),
        }
    }

    #[test]
    fn damaged_manifests_never_panic(cut in 0usize..600, junk in "[ -~\t]{0,8}") {
        let at = POD.char_indices().map(|(i, _)| i).nth(cut).unwrap_or(POD.len());
        let (before, after) = POD.split_at(at);
        let text = format!("{before}{junk}{after}");
        if let Ok(mut pod) = Pod::parse(&text, "kube-controller-manager") {
            let before = pod.text().to_owned();
            if pod.set_flag("kube-api-qps", "100").is_err() {
                prop_assert_eq!(pod.text(), before);
            }
        }
    }
}
