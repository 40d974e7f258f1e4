//! JSON patches of Deployments.

use super::*;
use crate::advise::Advice;
use crate::patch::NodeManifests;

fn advice(setting: &str, proposed: &str, means: &str) -> Advice {
    serde_json::from_value(json!({
        "id": setting, "remedy": "client-limits", "strength": "recommended",
        "target": "capi-controller-manager", "setting": setting, "now": null,
        "proposed": proposed, "why": "w", "effect": "e", "confidence": "high", "risk": "r",
        "undo": "u", "verify": "v", "disposition": "disruptive", "finding_ids": [],
        "source": "s",
        "details": {
            "kind": "Deployment", "namespace": "capi-system",
            "workload": "capi-controller-manager", "container": "manager", "means": means,
        },
    }))
    .unwrap()
}

fn deployment(args: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: capi-controller-manager, namespace: capi-system}}\n\
             spec:\n  template:\n    spec:\n      containers:\n      - name: manager\n        command: [/manager]\n{args}"
    )
}

fn emit(text: &str, advices: &[Advice]) -> PatchSet {
    JsonPatch.emit(&PatchInput {
        advices,
        nodes: vec![NodeManifests {
            node: String::new(),
            files: vec![("d.yaml".to_owned(), text.to_owned())],
        }],
        ..PatchInput::default()
    })
}

fn patched(text: &str, set: &PatchSet) -> Value {
    let file = set
        .file("capi-system-capi-controller-manager.json")
        .unwrap();
    let operations: Vec<Value> = serde_json::from_str(&file.content).unwrap();
    let mut value = serde_json::to_value(&documents(text).unwrap()[0]).unwrap();
    apply(&mut value, &operations).unwrap();
    value
}

fn args(value: &Value) -> Vec<&str> {
    let list = value
        .pointer("/spec/template/spec/containers/0/args")
        .unwrap();
    list.as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect()
}

#[test]
fn behind_a_shell_no_flag_is_added_and_none_is_in_force() {
    let shell = "command: [/bin/sh, -c, \"exec /manager --kube-api-qps=20\"]";
    for more in [
        "",
        "        args: [--kube-api-qps=100, --kube-api-burst=200]\n",
    ] {
        let text = deployment(more).replace("command: [/manager]", shell);
        let mut gone = advice("kube-api-timeout", "", "flag");
        gone.details
            .insert("remove".to_owned(), "kube-api-qps".to_owned());
        let all = [
            advice("kube-api-qps", "100", "flag"),
            advice("kube-api-burst", "200", "flag"),
            gone,
        ];
        let set = emit(&text, &all);
        assert!(set.files.is_empty() && set.already.is_empty(), "{set:?}");
        assert_eq!(set.shown.len(), 3);
        for shown in &set.shown {
            assert!(shown.why.contains("started through `/bin/sh`"), "{shown:?}");
        }
        // A variable reaches the program all the same.
        let set = emit(&text, &[advice("GOMEMLIMIT", "1GiB", "env")]);
        assert_eq!((set.files.len(), set.shown), (4, vec![]));
    }
}

#[test]
fn flags_are_replaced_at_their_index_or_added_behind_a_test() {
    let text =
        deployment("        args: [\"--leader-elect\", \"--kube-api-qps=20\", \"--v\", \"2\"]\n");
    let set = emit(
        &text,
        &[
            advice("kube-api-qps", "100", "flag"),
            advice("kube-api-burst", "200", "flag"),
            advice("v", "3", "flag"),
        ],
    );
    assert_eq!(set.shown, []);
    assert_eq!(
        args(&patched(&text, &set)),
        [
            "--leader-elect",
            "--kube-api-qps=100",
            "--v",
            "3",
            "--kube-api-burst=200"
        ]
    );
    // What is so already is said, and no file is written.
    let after = serde_json::to_string(&patched(&text, &set)).unwrap();
    let again = emit(
        &after,
        &[
            advice("kube-api-qps", "100", "flag"),
            advice("v", "3", "flag"),
        ],
    );
    assert!(again.files.is_empty());
    assert_eq!(again.already.len(), 2);
}

#[test]
fn a_second_run_of_the_same_patch_is_refused() {
    let text = deployment("        args: []\n");
    let set = emit(&text, &[advice("kube-api-qps", "100", "flag")]);
    let file = set
        .file("capi-system-capi-controller-manager.json")
        .unwrap();
    let operations: Vec<Value> = serde_json::from_str(&file.content).unwrap();
    let mut value = patched(&text, &set);
    assert!(apply(&mut value, &operations).is_err());
    let undo = set
        .file("capi-system-capi-controller-manager.undo.json")
        .unwrap();
    let undo: Vec<Value> = serde_json::from_str(&undo.content).unwrap();
    apply(&mut value, &undo).unwrap();
    assert_eq!(
        value,
        serde_json::to_value(&documents(&text).unwrap()[0]).unwrap()
    );
}

#[test]
fn without_args_a_list_is_added() {
    let text = deployment("");
    let set = emit(&text, &[advice("kube-api-qps", "100", "flag")]);
    assert_eq!(args(&patched(&text, &set)), ["--kube-api-qps=100"]);
}

#[test]
fn variables_are_set_and_references_are_left_alone() {
    let text = deployment(
        "        env: [{name: CAPM3_QPS, value: \"20\"}, {name: X, valueFrom: {fieldRef: {fieldPath: a}}}]\n",
    );
    let set = emit(
        &text,
        &[advice("CAPM3_QPS", "100", "env"), advice("X", "1", "env")],
    );
    let value = patched(&text, &set);
    assert_eq!(
        value.pointer("/spec/template/spec/containers/0/env/0/value"),
        Some(&json!("100"))
    );
    assert_eq!(set.shown.len(), 1);
}

#[test]
fn what_cannot_be_proved_is_shown() {
    let twice = deployment("        args: [\"--kube-api-qps=20\", \"--kube-api-qps=30\"]\n");
    let set = emit(&twice, &[advice("kube-api-qps", "100", "flag")]);
    assert!(set.files.is_empty());
    assert!(set.shown[0].why.contains("2 times"), "{:?}", set.shown);
    let torn = emit("a: [", &[advice("kube-api-qps", "100", "flag")]);
    assert!(torn.files.is_empty());
    assert_eq!(torn.shown.len(), 2);
}
