//! Units, drop-ins and their environment, as systemd reads them.

use super::*;
use proptest::prelude::*;

fn file(name: &str, text: &str) -> UnitFile {
    UnitFile {
        name: name.to_owned(),
        text: text.to_owned(),
    }
}

fn component(files: &[UnitFile], find: &dyn Fn(&str) -> Option<(String, String)>) -> Instance {
    let find = |path: &str| find(path).map_or(Found::Absent, |file| Found::Files(vec![file]));
    match read(files, Some("cp1"), &find) {
        Runs::Component(instance) => *instance,
        Runs::Rancher(..) | Runs::Other => panic!("runs no component"),
    }
}

#[test]
fn drop_ins_reset_and_files_override() {
    let files = [
        file(
            "etc/systemd/system/etcd.service",
            "[Unit]\nExecStart=no\n[Service]\n# etcd\nEnvironment=ETCD_NAME=a \"ETCD_DATA_DIR=/d d\"\nEnvironmentFile=-/etc/default/etcd\nExecStart=/usr/bin/etcd \\\n  --heartbeat-interval=100 \\\n  # a remark\n  --election-timeout ${ELECTION} $EXTRA --listen=%H\n",
        ),
        file(
            "usr/lib/systemd/system/etcd.service",
            "[Service]\nExecStart=/usr/bin/etcd --weak\n",
        ),
        file(
            "etc/systemd/system/etcd.service.d/90-x.conf",
            "[Service]\nEnvironment=ELECTION=1000\n",
        ),
    ];
    let find = |path: &str| {
        (path == "/etc/default/etcd").then(|| {
            (
                "etc/default/etcd".to_owned(),
                "ETCD_NAME='b'\nEXTRA=\"--wal-dir /w --logger=zap\"\n".to_owned(),
            )
        })
    };
    let etcd = component(&files, &find);
    let shown: Vec<_> = etcd
        .given
        .iter()
        .map(|g| {
            (
                g.name.as_str(),
                g.value.as_deref().unwrap_or(""),
                g.place.line,
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("heartbeat-interval", "100", 8),
            ("election-timeout", "1000", 9),
            ("wal-dir", "/w", 9),
            ("logger", "zap", 9),
            ("listen", "%H", 9),
            ("ETCD_DATA_DIR", "/d d", 5),
            ("ETCD_NAME", "b", 1),
        ]
    );
    let reset = file(
        "etc/systemd/system/etcd.service.d/95-y.conf",
        "[Service]\nExecStart=\nExecStart=-/opt/etcd --name=z\n",
    );
    let mut more = files.to_vec();
    more.push(reset);
    let etcd = component(&more, &find);
    assert_eq!(etcd.last("name"), Some("z"));
    assert_eq!(
        etcd.place.to_string(),
        "etc/systemd/system/etcd.service.d/95-y.conf:3"
    );
}

/// The variables and flags of one unit, and what was not read.
fn shown(unit: &str, text: &str) -> (Vec<String>, Vec<String>) {
    let find = |path: &str| match path {
        "/etc/default/etcd" | "/etc/default/etcd-main" => {
            Some((path.to_owned(), "ETCD_UNSAFE_NO_FSYNC=true\n".to_owned()))
        }
        _ => None,
    };
    let etcd = component(&[file(unit, &format!("[Service]\n{text}"))], &find);
    let given = etcd.given.iter().map(|given| {
        let value = given.value.as_deref().unwrap_or("");
        format!("{}={value}", given.name)
    });
    (given.collect(), etcd.unread)
}

#[test]
fn environment_files_are_named_by_specifiers() {
    for (unit, path) in [
        ("etcd.service", "-/etc/default/%p"),
        ("etcd.service", "/etc/default/%N"),
        ("etcd@main.service", "/etc/default/%p-%i"),
    ] {
        let (given, unread) = shown(unit, &format!("EnvironmentFile={path}\nExecStart=etcd\n"));
        assert_eq!(given, ["ETCD_UNSAFE_NO_FSYNC=true"], "{path}");
        assert!(unread.is_empty(), "{unread:?}");
    }
    // Of a template the instance is not known; a file that must be there is not.
    for (unit, path, part) in [
        ("etcd@.service", "-/etc/default/etcd-%i", "%i is not known"),
        ("etcd.service", "/etc/no", "/etc/no is not there"),
    ] {
        let (given, unread) = shown(unit, &format!("EnvironmentFile={path}\nExecStart=etcd\n"));
        assert!(given.is_empty());
        assert!(unread[0].contains(part), "{unread:?}");
    }
    let (_, unread) = shown("etcd.service", "EnvironmentFile=-/etc/no\nExecStart=etcd\n");
    assert!(unread.is_empty());
}

#[test]
fn a_file_that_is_named_again_is_read_once_and_counts_where_it_stands_last() {
    let reads = std::cell::Cell::new(0);
    let find = |path: &str| {
        reads.set(reads.get() + 1);
        let text = match path {
            "/a" => "ETCD_NAME=a\nETCD_DATA_DIR=/a\n",
            "/b" => "ETCD_NAME=b\nETCD_WAL_DIR=/b\n",
            _ => return None,
        };
        Some((path.to_owned(), text.to_owned()))
    };
    let again = "EnvironmentFile=/a\nEnvironmentFile=-/b\n".repeat(500);
    let text = format!("[Service]\n{again}EnvironmentFile=-/a\nExecStart=etcd\n");
    let etcd = component(&[file("etcd.service", &text)], &find);
    assert_eq!(reads.get(), 2);
    assert_eq!(etcd.unread, [""; 0]);
    let last = |name| etcd.given.iter().find(|given| given.name == name);
    let value = |name| last(name).and_then(|given| given.value.as_deref());
    assert_eq!(value("ETCD_NAME"), Some("a"));
    assert_eq!(value("ETCD_DATA_DIR"), Some("/a"));
    assert_eq!(value("ETCD_WAL_DIR"), Some("/b"));
    // One of both lines says that it must be there.
    for lines in [["", "-"], ["-", ""]] {
        let [one, two] = lines.map(|sign| format!("EnvironmentFile={sign}/no\n"));
        let (_, unread) = shown("etcd.service", &format!("{one}{two}ExecStart=etcd\n"));
        assert_eq!(unread.len(), 1, "{unread:?}");
    }
}

#[test]
fn what_a_unit_holds_is_bounded_and_said() {
    // Names without end, in files without end.
    let many: String = (0..300)
        .map(|n| format!("EnvironmentFile=/f{n}\n"))
        .collect();
    let find = |path: &str| {
        let lines = (0..20).map(|n| format!("ETCD_{}_{n}=1\n", path.replace('/', "")));
        Some((path.to_owned(), lines.collect()))
    };
    let text = format!("[Service]\n{many}ExecStart=etcd --name=${{X}}\n");
    let etcd = component(&[file("etcd.service", &text)], &find);
    assert_eq!(etcd.given.len(), 1001, "and the flag");
    assert!(etcd.unread[0].contains("200 were not read"), "{etcd:?}");
    assert!(
        etcd.unread[1].contains("more than 1000 variables"),
        "{etcd:?}"
    );
    // A variable that stands there again and again.
    let text = format!(
        "[Service]\nEnvironment=X={}\nExecStart=etcd {}\n",
        "x".repeat(10_000),
        "--name=${X} ".repeat(1_000)
    );
    let etcd = component(&[file("etcd.service", &text)], &|_| None);
    let bytes: usize = etcd
        .given
        .iter()
        .filter_map(|given| Some(given.value.as_ref()?.len()))
        .sum();
    assert!((1..3 << 20).contains(&bytes), "{bytes}");
    assert!(
        etcd.unread[0].contains("longer with its variables"),
        "{:?}",
        etcd.unread
    );
    // Names that nothing sets, and files that may.
    let text = format!(
        "[Service]\n{}ExecStart=etcd {}\n",
        (0..90)
            .map(|n| format!("EnvironmentFile=-/f{n}\n"))
            .collect::<String>(),
        (0..500).map(|n| format!("${{X{n}}} ")).collect::<String>(),
    );
    let etcd = component(&[file("etcd.service", &text)], &|_| None);
    assert_eq!(etcd.unread.len(), 21, "{:?}", etcd.unread);
    assert!(
        etcd.unread[20].starts_with("480 more variables"),
        "{:?}",
        etcd.unread
    );
    assert!(
        etcd.unread[0].contains("/f4 and others may set it"),
        "{:?}",
        etcd.unread
    );
}

#[test]
fn a_variable_that_a_file_may_set_is_not_taken_for_empty() {
    let unit = |lines: &str| {
        file(
            "etc/systemd/system/etcd.service",
            &format!(
                "[Service]\n{lines}ExecStart=/usr/bin/etcd --name=a ${{X}} $Y --quota-backend-bytes=5\n"
            ),
        )
    };
    for found in [None, Some(("etc/default/etcd".to_owned(), "\n".to_owned()))] {
        let files = [unit("EnvironmentFile=-/etc/default/etcd\n")];
        let read = component(&files, &|_| found.clone());
        assert!(read.bare.is_empty(), "{read:?}");
        assert_eq!(read.last("quota-backend-bytes"), Some("5"));
        assert_eq!(read.unread.len(), 2, "{read:?}");
        assert!(
            read.unread[0].starts_with("${X} of `ExecStart=`"),
            "{read:?}"
        );
        assert!(read.unread[0].contains("/etc/default/etcd"), "{read:?}");
    }
    // Where nothing else can set it, or the file was read, it is empty, and etcd stops.
    let told = ("etc/default/etcd".to_owned(), "Z=1\n".to_owned());
    for lines in ["", "EnvironmentFile=/etc/default/etcd\n"] {
        let read = component(&[unit(lines)], &|_| Some(told.clone()));
        assert!(read.unread.is_empty() && !read.bare.is_empty(), "{read:?}");
    }
    let set = "Environment=X=--log-level=info \"Y=--v2=1\"\nEnvironmentFile=-/etc/default/etcd\n";
    let read = component(&[unit(set)], &|_| None);
    assert!(read.unread.is_empty() && read.bare.is_empty(), "{read:?}");
}

/// systemd leaves `$NAME` inside a word to the shell, which finds it in its environment.
#[test]
fn a_shell_fills_in_what_systemd_leaves() {
    let unit = |exec: &str| {
        file(
            "etc/systemd/system/etcd.service",
            &format!("[Service]\nEnvironment=Q=7\nEnvironmentFile=/etc/default/etcd\n{exec}\n"),
        )
    };
    let told = (
        "etc/default/etcd".to_owned(),
        "OPTS=\"--quota-backend-bytes=5 --heartbeat-interval=500\"\n".to_owned(),
    );
    let read = |exec: &str| component(&[unit(exec)], &|_| Some(told.clone()));
    for exec in [
        r#"ExecStart=/bin/bash -c "/usr/bin/etcd $OPTS""#,
        r#"ExecStart=/bin/bash -c "/usr/bin/etcd ${OPTS}""#,
        r#"ExecStart=/bin/sh -c 'exec /usr/bin/etcd $$OPTS'"#,
    ] {
        let etcd = read(exec);
        assert!(etcd.bare.is_empty() && etcd.unread.is_empty(), "{etcd:?}");
        assert_eq!(etcd.last("quota-backend-bytes"), Some("5"), "{exec}");
        assert_eq!(etcd.last("heartbeat-interval"), Some("500"), "{exec}");
    }
    let etcd = read(r#"ExecStart=/bin/sh -c "etcd --quota-backend-bytes=$Q $NO --log-level=info""#);
    assert_eq!(etcd.last("quota-backend-bytes"), Some("7"));
    assert_eq!(etcd.last("log-level"), Some("info"));
    assert!(etcd.bare.is_empty(), "{etcd:?}");
    assert!(
        etcd.unread[0].starts_with("${NO} of the shell's"),
        "{etcd:?}"
    );
    // Without a shell it is a word of its own, which etcd does not take.
    assert_eq!(read("ExecStart=/usr/bin/etcd a$OPTS").bare, ["a$OPTS"]);
}

/// systemd joins lines before it looks at quotes.
#[test]
fn a_line_that_goes_on_inside_quotes_is_one() {
    for shell in [
        "/bin/bash -c \"/usr/bin/etcd --name=x \\\n",
        "/usr/bin/etcd \"--name=x\" \\\n",
    ] {
        let end = if shell.contains("bash") { "\"" } else { "" };
        let text = format!(
            "[Service]\nExecStart={shell}  --quota-backend-bytes=17179869184 \\\n  --unsafe-no-fsync{end}\n"
        );
        let etcd = component(&[file("etc/systemd/system/etcd.service", &text)], &|_| None);
        let given: Vec<_> = etcd
            .given
            .iter()
            .map(|g| (g.name.as_str(), g.place.line))
            .collect();
        assert_eq!(
            given,
            [
                ("name", 2),
                ("quota-backend-bytes", 3),
                ("unsafe-no-fsync", 4)
            ],
            "{shell}"
        );
        assert!(
            etcd.bare.is_empty() && etcd.open_quote.is_none(),
            "{etcd:?}"
        );
    }
    let text =
        "[Service]\nEnvironment=\"ETCD_NAME=a \\\nb\"\nExecStart=etcd \"--log-level=a \\\nb\"\n";
    let etcd = component(&[file("etc/systemd/system/etcd.service", text)], &|_| None);
    let name = etcd.given.iter().find(|given| given.name == "ETCD_NAME");
    assert_eq!(name.unwrap().value.as_deref(), Some("a  b"));
    assert_eq!(etcd.last("log-level"), Some("a  b"));
}

#[test]
fn what_is_unset_is_not_set() {
    let text = "EnvironmentFile=/etc/default/etcd\nEnvironment=ETCD_NAME=a\nExecStart=etcd --data-dir=${ETCD_NAME}\n";
    for (unset, want) in [
        (
            "UnsetEnvironment=ETCD_UNSAFE_NO_FSYNC",
            &["data-dir=a", "ETCD_NAME=a"][..],
        ),
        (
            "UnsetEnvironment=ETCD_NAME=b ETCD_UNSAFE_NO_FSYNC=true",
            &["data-dir=a", "ETCD_NAME=a"],
        ),
        (
            "UnsetEnvironment=ETCD_UNSAFE_NO_FSYNC\nUnsetEnvironment=\nUnsetEnvironment=ETCD_NAME",
            &["data-dir=", "ETCD_UNSAFE_NO_FSYNC=true"],
        ),
    ] {
        let (given, _) = shown("etcd.service", &format!("{unset}\n{text}"));
        assert_eq!(given, want, "{unset}");
    }
}

#[test]
fn a_program_under_another_name_keeps_its_flags() {
    for exec in [
        "@/usr/bin/etcd etcd-main --unsafe-no-fsync --name=a",
        "-@/usr/bin/etcd \"etcd main\" --unsafe-no-fsync --name=a",
        "/usr/bin/etcd --unsafe-no-fsync --name=a",
    ] {
        let (given, _) = shown("etcd.service", &format!("ExecStart={exec}\n"));
        assert_eq!(given, ["unsafe-no-fsync=", "name=a"], "{exec}");
    }
}

#[test]
fn a_quote_that_is_never_closed_is_found() {
    for (exec, open) in [
        ("bash -c \"etcd --name=a", true),
        ("bash -c \"etcd --name='a\"", false),
        ("etcd --name='a", true),
        ("etcd --name=\\'a", false),
    ] {
        let text = format!("[Service]\nExecStart={exec}\n");
        let etcd = component(&[file("etcd.service", &text)], &|_| None);
        assert_eq!(etcd.open_quote.is_some(), open, "{exec}");
        let settled = crate::manifest::settle(&etcd);
        let found = settled
            .faults
            .iter()
            .any(|fault| fault.kind == "open-quote");
        assert_eq!(found, open, "{exec}");
    }
}

#[test]
fn other_units_are_none_of_ours() {
    let other = read(
        &[file("a.service", "[Service]\nExecStart=/bin/true\n")],
        None,
        &|_| Found::Absent,
    );
    assert!(matches!(other, Runs::Other));
    let k3s = read(
        &[file(
            "k3s.service",
            "[Service]\nExecStart=/usr/local/bin/k3s server \\\n '--etcd-arg=a=b'\n",
        )],
        None,
        &|_| Found::Absent,
    );
    assert!(matches!(k3s, Runs::Rancher(words, _) if words.len() == 3));
    assert_eq!(
        unit_of("etc/systemd/system/kubelet.service.d/10-kubeadm.conf"),
        Some(("kubelet.service", true))
    );
    assert_eq!(unit_of("x/kubelet.conf.d/10.conf"), None);
}

proptest! {
    #[test]
    fn never_panics(text in "(\\[Service\\]\n)?(ExecStart=|Environment=|[a-z$\\{\\}\"'\\\\ =\n-]){0,60}") {
        let _ = read(&[file("e.service", &text)], None, &|_| {
            Found::Files(vec![(String::new(), text.clone())])
        });
    }
}
