//! Bundles that somebody made to harm: refused or harmless, with memory bounded, and what is sound
//! in them is still judged.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test through the binary"
)]

mod support;

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};
use support::{capture, doctor};

const MIB: u64 = 1 << 20;

/// One sound slow request, so that there is something to judge.
const LINE: &str = concat!(
    r#"{"level":"warn","ts":"2026-11-21T20:38:01.000Z","caller":"etcdserver/util.go:170","msg":"apply request took too long","#,
    r#""took":"900ms","expected-duration":"100ms","prefix":"read-only range ","request":"key:\"/registry/pods/\" range_end:\"/registry/pods0\" ","#,
    r#""response":"range_response_count:900 size:900000"}"#,
    "\n"
);

fn header(name: &str, kind: tar::EntryType, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    // By hand: the builder refuses names that point out.
    let field = &mut header.as_old_mut().name;
    field[..name.len().min(100)].copy_from_slice(&name.as_bytes()[..name.len().min(100)]);
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o777);
    header.set_cksum();
    header
}

fn file(builder: &mut tar::Builder<Vec<u8>>, name: &str, bytes: &[u8]) {
    let header = header(name, tar::EntryType::Regular, bytes.len() as u64);
    builder.append(&header, bytes).unwrap();
}

fn link(builder: &mut tar::Builder<Vec<u8>>, name: &str, kind: tar::EntryType, to: &str) {
    let mut header = header(name, kind, 0);
    header.set_link_name_literal(to).unwrap();
    header.set_cksum();
    builder.append(&header, &[][..]).unwrap();
}

fn run(bundle: &Path) -> (Output, u64, String) {
    let mut run = doctor(&["diagnose", "--format", "json", "--bundle"]).path(bundle);
    let (output, peak) = run.output_and_peak();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!errors.contains("panicked"), "{errors}");
    assert!(
        matches!(output.status.code(), Some(0 | 1 | 3 | 70)),
        "{:?} {errors}",
        output.status
    );
    (output, peak, errors)
}

fn report(bundle: &Path) -> Value {
    let (output, ..) = run(bundle);
    serde_json::from_slice(&output.stdout).unwrap()
}

fn problems(report: &Value) -> String {
    report["seen"]["problems"].to_string()
}

fn saved(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, bytes).unwrap();
    path
}

/// Nothing outside the folder is written or read, and the sound file is judged.
#[test]
fn paths_links_and_devices_that_lead_out_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let secret = saved(dir.path(), "secret.log", b"top secret words\n");
    let target = dir.path().join("written");
    let mut builder = tar::Builder::new(Vec::new());
    file(&mut builder, "node/logs/etcd.log", LINE.as_bytes());
    file(&mut builder, "../../../../../../tmp/etcd-doctor-out", b"x");
    file(&mut builder, target.to_str().unwrap(), b"x");
    file(&mut builder, "node/logs/../../../up.log", b"x");
    let secret = secret.to_str().unwrap();
    link(
        &mut builder,
        "node/logs/sym.log",
        tar::EntryType::Symlink,
        secret,
    );
    link(
        &mut builder,
        "node/logs/hard.log",
        tar::EntryType::Link,
        secret,
    );
    link(
        &mut builder,
        "node/logs/dir",
        tar::EntryType::Symlink,
        "/etc",
    );
    // Through the link, had it been made.
    file(&mut builder, "node/logs/dir/etcd-doctor-through", b"x");
    for kind in [
        tar::EntryType::Fifo,
        tar::EntryType::Char,
        tar::EntryType::Block,
    ] {
        link(&mut builder, "node/logs/special.log", kind, "");
    }
    let bundle = saved(dir.path(), "b.tar", &builder.into_inner().unwrap());
    let report = report(&bundle);
    assert!(!target.exists() && !Path::new("/etc/etcd-doctor-through").exists());
    assert!(!Path::new("/tmp/etcd-doctor-out").exists());
    let told = problems(&report);
    assert_eq!(
        told.matches("points out of the bundle").count(),
        3,
        "{told}"
    );
    assert!(told.contains("is no plain file"), "{told}");
    assert!(!report.to_string().contains("top secret"));
    assert!(report["seen"]["sources"].to_string().contains("logs"));
}

/// The same in a plain folder: links out are not followed, fifos not waited for.
#[test]
fn a_folder_shows_nothing_from_outside_and_does_not_wait() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret.log");
    fs::write(
        &secret,
        "W1121 20:38:01.000000       1 x.go:1] top secret words\n".repeat(50),
    )
    .unwrap();
    let node = dir.path().join("node");
    for folder in ["logs/var/log", "metrics", "manifests", "host/proc/self"] {
        fs::create_dir_all(node.join(folder)).unwrap();
    }
    fs::write(node.join("logs/etcd.log"), LINE).unwrap();
    for name in [
        "logs/kube-apiserver.log",
        "metrics/etcd.prom",
        "manifests/etcd.yaml",
        "host/proc/diskstats",
    ] {
        symlink(&secret, node.join(name)).unwrap();
    }
    symlink("/", node.join("logs/root")).unwrap();
    symlink("..", node.join("logs/loop")).unwrap();
    for name in [
        "logs/fifo.log",
        "metrics/fifo.prom",
        "manifests/fifo.yaml",
        "host/proc/meminfo",
        "host/proc/self/mountinfo",
    ] {
        rustix::fs::mknodat(
            rustix::fs::CWD,
            node.join(name),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RWXU,
            0,
        )
        .unwrap();
    }
    let report = report(&node);
    assert!(!report.to_string().contains("top secret"), "{report}");
    assert!(
        problems(&report).contains("out of it and were not followed"),
        "{}",
        problems(&report)
    );
}

/// Zeros that unpack to gigabytes, of both kinds of compression, as one member and as many.
#[test]
fn bombs_are_cut_short() {
    let dir = tempfile::tempdir().unwrap();
    let zeros = vec![0_u8; 1 << 20];
    // A tarball of 2 GiB in one member, written without holding it.
    let member = header("node/logs/etcd.log", tar::EntryType::Regular, 2048 * MIB);
    let write = |out: &mut dyn std::io::Write| {
        out.write_all(member.as_bytes()).unwrap();
        for _ in 0..2048 {
            out.write_all(&zeros).unwrap();
        }
        out.write_all(&[0; 1024]).unwrap();
    };
    let zst = dir.path().join("bomb.tar.zst");
    let mut encoder = zstd::Encoder::new(fs::File::create(&zst).unwrap(), 1).unwrap();
    write(&mut encoder);
    encoder.finish().unwrap();
    assert!(fs::metadata(&zst).unwrap().len() < MIB);
    let gz = dir.path().join("bomb.tar.gz");
    let mut encoder =
        flate2::write::GzEncoder::new(fs::File::create(&gz).unwrap(), flate2::Compression::fast());
    write(&mut encoder);
    encoder.finish().unwrap();
    for bomb in [zst, gz] {
        let (output, peak, errors) = run(&bomb);
        assert!(peak < 300 * MIB, "{} MiB", peak / MIB);
        let told = format!("{}{errors}", String::from_utf8_lossy(&output.stdout));
        assert!(
            told.contains("unpacks to more than it may") || told.contains("found no"),
            "{told}"
        );
    }
    // Names of any length, which a reader might take into memory whole.
    let mut bytes = Vec::new();
    bytes.extend_from_slice(header("x", tar::EntryType::GNULongName, 600 * MIB).as_bytes());
    let long = dir.path().join("name.tar.zst");
    let mut encoder = zstd::Encoder::new(fs::File::create(&long).unwrap(), 1).unwrap();
    encoder.write_all(&bytes).unwrap();
    for _ in 0..600 {
        encoder.write_all(&zeros).unwrap();
    }
    encoder.finish().unwrap();
    let (_, peak, _) = run(&long);
    assert!(peak < 300 * MIB, "{} MiB", peak / MIB);
}

/// Many members, deep folders, twice the same name, a file in the way of a folder, a torn end.
#[test]
fn odd_members_cost_only_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let mut builder = tar::Builder::new(Vec::new());
    file(
        &mut builder,
        "node/logs/etcd.log",
        b"first, and replaced by its namesake\n",
    );
    file(&mut builder, "node/logs/etcd.log", LINE.as_bytes());
    file(&mut builder, "node/logs/way", b"a file");
    file(&mut builder, "node/logs/way/inside.log", b"x");
    let deep = format!("node/{}x.log", "d/".repeat(2000));
    let mut long = tar::Header::new_gnu();
    long.set_size(10);
    long.set_mode(0o644);
    builder
        .append_data(&mut long, &deep, &b"0123456789"[..])
        .unwrap();
    let endless = format!("node/logs/{}.log", "n".repeat(4000));
    let mut long = tar::Header::new_gnu();
    long.set_size(10);
    builder
        .append_data(&mut long, &endless, &b"0123456789"[..])
        .unwrap();
    let bytes = builder.into_inner().unwrap();
    let whole = report(&saved(dir.path(), "odd.tar", &bytes));
    let told = problems(&whole);
    assert!(told.contains("cannot be made"), "{told}");
    // Lines: the namesake that came last.
    let lines = |report: &Value| {
        report["findings"].to_string().contains("expensive-lists")
            && report["seen"]["sources"].to_string().contains("logs")
    };
    assert!(lines(&whole), "{whole}");
    // Torn at any place: what came before is kept, and the tear is told where it is in a member.
    for end in [100, 700, 1100, 2000, 2700, bytes.len() - 600] {
        let torn = saved(dir.path(), "torn.tar", &bytes[..end]);
        run(&torn);
    }
    // More members than are taken.
    let mut many = Vec::new();
    for n in 0..200_010 {
        let name = format!("node/e/{}", n % 100);
        many.extend_from_slice(header(&name, tar::EntryType::Directory, 0).as_bytes());
    }
    let many = zstd::encode_all(many.as_slice(), 1).unwrap();
    let (output, peak, errors) = run(&saved(dir.path(), "many.tar.zst", &many));
    assert!(peak < 300 * MIB);
    let told = format!("{}{errors}", String::from_utf8_lossy(&output.stdout));
    assert!(told.contains("more than 200000 entries"), "{told}");
}

fn forged(record: &Value) -> Vec<u8> {
    json!({
        "format": "etcd-doctor/bundle", "version": 1, "program": "9", "at": "2026-01-01T00:00:00Z",
        "notes": ["\u{1b}[31mred"], "records": [record],
    })
    .to_string()
    .into_bytes()
}

fn scalar(key: &str, value: &Value) -> Value {
    json!({
        "key": key, "subject": {"kind": "member", "name": "m"},
        "origin": {"collector": "metrics", "source": "s"}, "value": {"known": value},
    })
}

/// Wrong types, wrong shapes, wrong numbers: an error that says so, or a reading that is passed over.
#[test]
fn forged_bundles_are_refused_or_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let text = |json: &str| json.as_bytes().to_vec();
    let mut nested = "[".repeat(100_000);
    nested.push_str(&"]".repeat(100_000));
    let prefix = r#"{"format":"etcd-doctor/bundle","version":1,"program":"1","at":"2026-01-01T00:00:00Z","records":"#;
    let refused: Vec<Vec<u8>> = vec![
        text(r#"{"format":"etcd-doctor/bundle"}"#),
        text(
            r#"{"format":"etcd-doctor/bundle","version":99,"at":"2026-01-01T00:00:00Z","records":[]}"#,
        ),
        text(
            r#"{"format":"etcd-doctor/bundle","version":-1,"at":"2026-01-01T00:00:00Z","records":[]}"#,
        ),
        text(&format!("{prefix}{{}}}}")),
        text(&format!("{prefix}[1,2]}}")),
        text(&format!("{prefix}{nested}}}")),
        text(&format!("{prefix}[")),
        forged(&json!({"key": 7})),
        forged(&scalar("server.keys", &json!({"scalar": {"num": "NaN"}}))),
        text(
            &String::from_utf8(forged(&scalar(
                "server.keys",
                &json!({"scalar": {"num": 1}}),
            )))
            .unwrap()
            .replace(r#""num":1"#, r#""num":1e999"#),
        ),
        text(
            &String::from_utf8(forged(&scalar(
                "server.keys",
                &json!({"scalar": {"num": 1}}),
            )))
            .unwrap()
            .replace(r#""num":1"#, r#""num":NaN"#),
        ),
    ];
    for (at, bytes) in refused.iter().enumerate() {
        for packed in [false, true] {
            let bytes = match packed {
                true => zstd::encode_all(bytes.as_slice(), 1).unwrap(),
                false => bytes.clone(),
            };
            let (output, _, errors) = run(&saved(dir.path(), "forged.bundle", &bytes));
            assert_eq!(output.status.code(), Some(70), "{at} {packed}: {errors}");
            assert!(errors.contains("forged.bundle"), "{at}: {errors}");
        }
    }
    // A reading of another shape than its key has.
    let bytes = forged(&scalar(
        "server.wal.fsync",
        &json!({"scalar": {"num": 7.0}}),
    ));
    let (output, _, errors) = run(&saved(dir.path(), "misfit.bundle", &bytes));
    assert_eq!(output.status.code(), Some(3), "{errors}");
    assert!(errors.contains("server.wal.fsync"), "{errors}");
    assert!(!errors.contains('\u{1b}'), "{errors}");
}

/// What a number is replaced by.
type Change = Box<dyn Fn(f64) -> Value>;

/// Every number of a real bundle replaced by ones that nobody measured: no panic, valid JSON out.
#[test]
fn numbers_that_cannot_be_do_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.zst");
    doctor(&["diagnose", "--save"])
        .path(&path)
        .arg("--bundle")
        .path(capture("slow-disk", dir.path()))
        .output();
    let plain = zstd::decode_all(fs::File::open(&path).unwrap()).unwrap();
    let real: Value = serde_json::from_slice(&plain).unwrap();
    fn change(value: &mut Value, to: &dyn Fn(f64) -> Value, skip: bool) {
        match value {
            Value::Number(n) if !skip => *value = to(n.as_f64().unwrap_or(0.0)),
            Value::Array(list) => list.iter_mut().for_each(|one| change(one, to, false)),
            Value::Object(map) => {
                for (key, one) in map {
                    // Counts of whole numbers keep their type, else the file is refused.
                    let skip = matches!(
                        key.as_str(),
                        "version" | "count" | "dropped" | "int" | "after_ms" | "line"
                    );
                    change(one, to, skip);
                }
            }
            _ => {}
        }
    }
    let numbers: [(&str, Change); 5] = [
        ("negative", Box::new(|n| json!(-n - 1.0))),
        ("huge", Box::new(|_| json!(1e308))),
        ("tiny", Box::new(|_| json!(5e-324))),
        ("zero", Box::new(|_| json!(0.0))),
        (
            "alternating",
            Box::new(|n| json!(if n > 1.0 { -1e300 } else { 1e300 })),
        ),
    ];
    for (name, to) in &numbers {
        let mut forged = real.clone();
        change(&mut forged["records"], to, false);
        let bundle = saved(dir.path(), "numbers.bundle", forged.to_string().as_bytes());
        for format in ["table", "json", "markdown", "prom", "sarif", "junit"] {
            let mut run = doctor(&["diagnose", "--format", format, "--bundle"]).path(&bundle);
            let output = run.output();
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(
                matches!(output.status.code(), Some(0 | 1)),
                "{name} {format}: {errors}"
            );
        }
        let mut page = doctor(&["report", "--html", "-", "--bundle"]).path(&bundle);
        let output = page.output();
        assert!(
            matches!(output.status.code(), Some(0 | 1)),
            "{name}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let html = String::from_utf8(output.stdout).unwrap();
        assert!(
            !html.contains("=\"NaN") && !html.contains("=\"inf"),
            "{name}"
        );
    }
}

/// What unpacks to a bundle of gigabytes: refused, before the memory is full.
#[test]
fn a_saved_bomb_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bomb.zst");
    let mut encoder = zstd::Encoder::new(fs::File::create(&path).unwrap(), 1).unwrap();
    encoder
        .write_all(br#"{"format":"etcd-doctor/bundle","version":1,"program":"1","at":"2026-01-01T00:00:00Z","records":["#)
        .unwrap();
    let spaces = vec![b' '; 1 << 20];
    for _ in 0..2048 {
        encoder.write_all(&spaces).unwrap();
    }
    encoder.finish().unwrap();
    let (output, peak, errors) = run(&path);
    assert_eq!(output.status.code(), Some(70));
    assert!(errors.contains("larger than 128 MiB"), "{errors}");
    assert!(peak < 200 * MIB, "{} MiB", peak / MIB);
    // One table of a million rows.
    let mut rows = String::from(r#"{"known":{"table":{"rows":["#);
    for n in 0..1_000_000 {
        write!(
            rows,
            r#"{}{{"key":"{n}","cells":{{"a":{{"num":0}}}}}}"#,
            if n > 0 { "," } else { "" }
        )
        .unwrap();
    }
    rows.push_str("]}}}");
    let text = String::from_utf8(forged(&scalar("server.grpc", &json!({})))).unwrap();
    let text = text.replace(r#"{"known":{}}"#, &rows);
    let (output, peak, errors) = run(&saved(dir.path(), "rows.bundle", text.as_bytes()));
    assert_eq!(output.status.code(), Some(70), "{errors}");
    assert!(errors.contains("rows"), "{errors}");
    assert!(peak < 600 * MIB, "{} MiB", peak / MIB);
}

/// Ten million series in a scrape: the cap holds, the memory too, and the rest of the bundle is judged.
#[test]
fn ten_million_series_are_cut() {
    let dir = tempfile::tempdir().unwrap();
    let node = dir.path().join("node");
    fs::create_dir_all(node.join("metrics")).unwrap();
    fs::create_dir_all(node.join("logs")).unwrap();
    fs::write(node.join("logs/etcd.log"), LINE).unwrap();
    for (name, head) in [
        ("a", "etcd_server_has_leader 1\n"),
        ("b", "etcd_server_has_leader 0\n"),
    ] {
        let path = node.join(format!(
            "metrics/etcd-{name}-20261121T20380{}.000Z.prom.gz",
            if name == "a" { 0 } else { 9 }
        ));
        let mut encoder = flate2::write::GzEncoder::new(
            std::io::BufWriter::new(fs::File::create(path).unwrap()),
            flate2::Compression::fast(),
        );
        encoder.write_all(head.as_bytes()).unwrap();
        let mut block = String::new();
        for n in 0..5_000_000_u32 {
            writeln!(block, "apiserver_request_total{{a=\"{n:x}\"}} 1").unwrap();
            if block.len() > 1 << 20 {
                encoder.write_all(block.as_bytes()).unwrap();
                block.clear();
            }
        }
        encoder.write_all(block.as_bytes()).unwrap();
        encoder.finish().unwrap();
    }
    let (output, peak, errors) = run(&node);
    assert!(peak < 900 * MIB, "{} MiB", peak / MIB);
    let report: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|err| panic!("{err}: {errors}"));
    assert!(report["seen"]["sources"].to_string().contains("logs"));
}

/// Escape sequences, markup and text that runs backwards, in keys, names, agents and notes: shown, not sent.
#[test]
fn escapes_reach_neither_the_terminal_nor_the_page() {
    let evil = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{202E}<script>alert(1)</script>\"'><img src=x onerror=alert(2)>";
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.zst");
    doctor(&["diagnose", "--save"])
        .path(&path)
        .arg("--bundle")
        .path(capture("range-storm", dir.path()))
        .output();
    let plain = zstd::decode_all(fs::File::open(&path).unwrap()).unwrap();
    let mut real: Value = serde_json::from_slice(&plain).unwrap();
    let quoted = serde_json::to_string(evil).unwrap();
    let quoted = quoted.trim_matches('"');
    // Names of clients, users, nodes and resources.
    let mut text = real["records"].to_string();
    for name in [
        "inventory-scraper",
        "lab02-cp0",
        "configmaps",
        "manifests/kube-apiserver.yaml",
    ] {
        text = text.replace(name, &format!("{name}{quoted}"));
    }
    real["records"] = serde_json::from_str(&text).unwrap();
    real["notes"] = json!([evil]);
    let bundle = saved(dir.path(), "evil.bundle", real.to_string().as_bytes());
    for format in ["table", "markdown", "prom", "junit"] {
        for color in ["never", "always"] {
            let mut run = doctor(&["diagnose", "--format", format, "--color", color, "--bundle"])
                .path(&bundle);
            let output = run.output();
            let out = String::from_utf8(output.stdout).unwrap();
            let all = format!("{out}{}", String::from_utf8_lossy(&output.stderr));
            assert!(
                out.contains("inventory-scraper") || format != "table",
                "{out}"
            );
            // The program's own colours are `ESC [ … m`, nothing else.
            for (at, _) in all.match_indices('\u{1b}') {
                let rest: String = all.get(at + 1..).unwrap().chars().take(8).collect();
                let own = rest.starts_with('[')
                    && rest
                        .trim_start_matches('[')
                        .trim_start_matches(|c: char| c.is_ascii_digit() || c == ';')
                        .starts_with('m');
                assert!(own && color == "always", "{format}: {rest:?}");
            }
            assert!(
                !all.contains('\u{202E}') && !all.contains('\u{7}'),
                "{format}"
            );
        }
    }
    let mut page = doctor(&["report", "--html", "-", "--bundle"]).path(&bundle);
    let html = String::from_utf8(page.output().stdout).unwrap();
    assert!(
        html.contains("&lt;script&gt;"),
        "the name is not in the page"
    );
    assert!(
        !html.contains("<script")
            && !html.contains("<img")
            && !html.contains('\u{1b}')
            && !html.contains('\u{202E}')
    );
}

/// A copy of a node's root holds files without an ending that are no scrapes, but may be anything.
#[test]
fn files_that_only_may_be_scrapes_are_not_quoted() {
    let home = tempfile::tempdir().unwrap();
    for (path, text) in [
        (
            "etc/systemd/system/k3s.service",
            "[Service]\nEnvironmentFile=-/etc/default/k3s\nExecStart=/usr/local/bin/k3s server\n",
        ),
        ("etc/default/k3s", "K3S_AGENT_TOKEN=zzSECRETzz\n"),
        (
            "var/lib/rancher/k3s/server/token",
            "K10f0e1::server:zzSECRETzz\n",
        ),
        (
            "var/lib/rancher/k3s/server/cred/passwd",
            "zzSECRETzz,node,node,k3s:agent\n",
        ),
    ] {
        let path = home.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let all = |args: &[&str], path: &Path| {
        let output = doctor(args).path(path).output();
        format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    };
    for args in [
        &["diagnose", "--format", "json", "--bundle"][..],
        &["diagnose", "--bundle"][..],
    ] {
        let said = all(args, home.path());
        assert!(!said.contains("zzSECRETzz"), "{said}");
        assert!(!said.contains("server/token"), "{said}");
    }
    // One that somebody names is no scrape, and that is all that is said.
    let token = home.path().join("var/lib/rancher/k3s/server/token");
    let said = all(&["metrics"], &token);
    assert!(said.contains("is not metrics"), "{said}");
    assert!(!said.contains("zzSECRETzz"), "{said}");
}
