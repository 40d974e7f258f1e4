//! Units, drop-ins and files of variables, before and after.

use super::*;
use crate::advise::Advice;
use crate::catalog::releases::Version;
use crate::patch::model::NodeManifests;

fn advice(setting: &str, proposed: &str) -> Advice {
    serde_json::from_value(serde_json::json!({
        "id": setting, "remedy": "etcd", "strength": "recommended", "target": "etcd",
        "setting": setting, "now": null, "proposed": proposed, "why": "w", "effect": "e",
        "confidence": "high", "risk": "r", "undo": "u", "verify": "v",
        "disposition": "disruptive", "finding_ids": [], "source": "s",
    }))
    .unwrap()
}

const UNIT: &str = "[Unit]\nDescription=etcd\n[Service]\nType=notify\nEnvironmentFile=-/etc/default/etcd\nEnvironment=ETCD_SNAPSHOT_COUNT=50000\n\
                    ExecStart=/usr/bin/etcd --name a \\\n  --heartbeat-interval=100 \\\n  --data-dir /var/lib/etcd\n";
const FILE: &str = "# ours\nETCD_ELECTION_TIMEOUT=\"1000\"\n";

fn emit(files: &[(&str, &str)], advices: &[Advice]) -> PatchSet {
    Systemd.emit(&PatchInput {
        advices,
        etcd: Some(Version::parse("3.5.16").unwrap()),
        nodes: vec![NodeManifests {
            node: String::new(),
            files: files
                .iter()
                .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
                .collect(),
        }],
        ..PatchInput::default()
    })
}

fn all() -> [Advice; 4] {
    [
        advice("quota-backend-bytes", "8589934592"),
        advice("heartbeat-interval", "300"),
        advice("election-timeout", "3000"),
        advice("snapshot-count", "10000"),
    ]
}

#[test]
fn each_setting_is_changed_where_it_stands() {
    let set = emit(&[("etcd.service", UNIT), ("etcd", FILE)], &all());
    assert_eq!(set.shown, []);
    assert_eq!(
        set.file("etcd.service.d/90-etcd-doctor.conf")
            .unwrap()
            .content,
        "# Written by etcd-doctor; see STEPS.md.\n[Service]\n\
         Environment=\"ETCD_QUOTA_BACKEND_BYTES=8589934592\"\n\
         Environment=\"ETCD_SNAPSHOT_COUNT=10000\"\nExecStart=\n\
         ExecStart=/usr/bin/etcd --name a --heartbeat-interval=300 --data-dir /var/lib/etcd\n"
    );
    assert_eq!(
        set.file("etc/default/etcd").unwrap().content,
        "# ours\nETCD_ELECTION_TIMEOUT=\"3000\"\n"
    );
}

#[test]
fn a_line_with_arguments_that_are_not_known_is_left_alone() {
    let quota = [advice("quota-backend-bytes", "8589934592")];
    let unit = "[Service]\nEnvironmentFile=-/etc/default/etcd\n\
                ExecStart=/usr/bin/etcd --name=a ${X} --quota-backend-bytes=67108864\n";
    // As it is given where the file is not there, and where it was not looked for.
    for files in [
        vec![("etcd.service", unit), ("etc/default/etcd", "")],
        vec![("etcd.service", unit)],
    ] {
        let set = emit(&files, &quota);
        assert!(set.files.is_empty(), "{set:?}");
        assert!(set.shown[0].why.contains("${X}"), "{set:?}");
    }
    let set = emit(
        &[("etcd.service", unit), ("etcd", "X=--log-level=info\n")],
        &quota,
    );
    assert!(set.shown.is_empty() && !set.files.is_empty(), "{set:?}");
}

#[test]
fn a_second_run_changes_nothing() {
    let set = emit(&[("etcd.service", UNIT), ("etcd", FILE)], &all());
    let drop_in = &set
        .file("etcd.service.d/90-etcd-doctor.conf")
        .unwrap()
        .content;
    let file = &set.file("etc/default/etcd").unwrap().content;
    let again = emit(
        &[
            ("etcd.service", UNIT),
            ("etcd", file),
            ("etcd.service.d/90-etcd-doctor.conf", drop_in),
        ],
        &all(),
    );
    assert!(again.files.is_empty(), "{again:?}");
    assert_eq!(again.already.len(), 4);
}

#[test]
fn a_flag_in_the_words_of_a_shell_keeps_their_quotes() {
    let quota = [advice("quota-backend-bytes", "8589934592")];
    for (exec, after) in [
        (
            r#"/bin/bash -c "/usr/bin/etcd --name=a --quota-backend-bytes 1""#,
            r#"/bin/bash -c "/usr/bin/etcd --name=a --quota-backend-bytes 8589934592""#,
        ),
        (
            r"/bin/sh -c 'exec etcd --quota-backend-bytes 1 --name=a'",
            r"/bin/sh -c 'exec etcd --quota-backend-bytes 8589934592 --name=a'",
        ),
        (
            r#"/bin/bash -c "GOMAXPROCS=$(nproc) /usr/bin/etcd --name=\"${ETCD_NAME}\" --quota-backend-bytes=\"1\"""#,
            r#"/bin/bash -c "GOMAXPROCS=$(nproc) /usr/bin/etcd --name=\"${ETCD_NAME}\" --quota-backend-bytes=\"8589934592\"""#,
        ),
    ] {
        let unit = format!("[Service]\nExecStart={exec}\n");
        let set = emit(&[("etcd.service", &unit)], &quota);
        assert_eq!(set.shown, [], "{exec}");
        let file = set.file("etcd.service.d/90-etcd-doctor.conf").unwrap();
        assert!(
            file.content.ends_with(&format!("\nExecStart={after}\n")),
            "{}",
            file.content
        );
    }
}

#[test]
fn a_line_that_does_not_load_is_left_alone() {
    let quota = [advice("quota-backend-bytes", "8589934592")];
    for (exec, why) in [
        (
            r#"/bin/bash -c "etcd --quota-backend-bytes=1"#,
            "never closed",
        ),
        (
            r"/bin/sh -c 'etcd --quota-backend-bytes=$(cat /etc/quota)'",
            "by hand",
        ),
    ] {
        let unit = format!("[Service]\nExecStart={exec}\n");
        let set = emit(&[("etcd.service", &unit)], &quota);
        assert!(set.files.is_empty(), "{exec}");
        assert!(set.shown[0].why.contains(why), "{:?}", set.shown);
    }
}

#[test]
fn the_steps_name_each_file_that_is_written_and_no_other() {
    let unit = "[Service]\nEnvironmentFile=/etc/default/etcd\nExecStart=/usr/bin/etcd\n";
    let config = "[Service]\nExecStart=/usr/bin/etcd --config-file /etc/etcd/etcd.conf.yml\n";
    for (files, path) in [
        ([("etcd.service", unit), ("etcd", FILE)], "etc/default/etcd"),
        (
            [
                ("etcd.service", config),
                ("etcd.conf.yml", "election-timeout: 1000\n"),
            ],
            "etc/etcd/etcd.conf.yml",
        ),
    ] {
        let set = emit(&files, &[advice("election-timeout", "3000")]);
        assert_eq!(set.shown, []);
        let steps = &set.file("STEPS.md").unwrap().content;
        assert!(set.file(path).is_some(), "{:?}", set.files);
        assert!(!steps.contains(DROP_IN), "{steps}");
        for line in [
            format!("    cp -a --parents /{path} {BEFORE}\n    cp {path} /{path}\n"),
            format!("    cp -a {BEFORE}/{path} /{path}\n    systemctl daemon-reload\n"),
        ] {
            assert!(steps.contains(&line), "{line}\n{steps}");
        }
    }
    let set = emit(
        &[("etcd.service", UNIT)],
        &[advice("heartbeat-interval", "300")],
    );
    let steps = &set.file("STEPS.md").unwrap().content;
    let to = format!("/etc/systemd/system/etcd.service.d/{DROP_IN}");
    assert!(
        steps.contains(&format!("0644 etcd.service.d/{DROP_IN} {to}\n")),
        "{steps}"
    );
    assert!(steps.contains(&format!("    rm {to}\n")), "{steps}");
}

#[test]
fn nodes_without_a_name_get_a_folder_each() {
    let node = |name: &str| NodeManifests {
        node: String::new(),
        files: vec![(
            "etcd.service".to_owned(),
            format!("[Service]\nExecStart=/usr/bin/etcd {name} --quota-backend-bytes=1\n"),
        )],
    };
    let advices = [advice("quota-backend-bytes", "8589934592")];
    for (nodes, folders) in [
        ([node("--name=a"), node("--name=b")], ["a", "b"]),
        ([node(""), node("")], ["node-1", "node-2"]),
        ([node("--name=a"), node("--name=a")], ["a", "node-2"]),
    ] {
        let set = Systemd.emit(&PatchInput {
            advices: &advices,
            nodes: nodes.to_vec(),
            ..PatchInput::default()
        });
        assert_eq!(set.shown, []);
        let steps = &set.file("STEPS.md").unwrap().content;
        for folder in folders {
            let path = format!("{folder}/etcd.service.d/{DROP_IN}");
            assert!(set.file(&path).is_some(), "{:?}", set.files);
            assert!(
                steps.contains(&format!(
                    "On {folder}:\n\n    install -D -m 0644 {path} /etc/"
                )),
                "{steps}"
            );
        }
    }
}

#[test]
fn a_flag_and_its_variable_stop_etcd_from_3_4_on() {
    let unit = "[Service]\nEnvironment=ETCD_QUOTA_BACKEND_BYTES=2\nExecStart=/usr/bin/etcd --quota-backend-bytes=1\n";
    let advices = [advice("quota-backend-bytes", "8589934592")];
    for (version, why) in [
        (Some("3.3.15"), None),
        (
            Some("3.4.0"),
            Some("does not start with both: take one out first"),
        ),
        (None, Some("or say --etcd-version")),
    ] {
        let set = Systemd.emit(&PatchInput {
            advices: &advices,
            etcd: version.and_then(Version::parse),
            nodes: vec![NodeManifests {
                node: String::new(),
                files: vec![("etcd.service".to_owned(), unit.to_owned())],
            }],
            ..PatchInput::default()
        });
        let told = set.shown.first().map(|shown| shown.why.as_str());
        assert_eq!(told.is_some(), why.is_some(), "{told:?}");
        assert!(
            told.unwrap_or_default().contains(why.unwrap_or_default()),
            "{told:?}"
        );
        assert_eq!(set.files.is_empty(), why.is_some());
    }
}

#[test]
fn a_configuration_file_is_not_shadowed() {
    let unit = "[Service]\nExecStart=/usr/bin/etcd --config-file /etc/etcd.yml\n";
    let set = emit(&[("etcd.service", unit)], &all());
    assert!(set.files.is_empty());
    assert!(
        set.shown[0].why.contains("/etc/etcd.yml"),
        "{:?}",
        set.shown
    );
}
