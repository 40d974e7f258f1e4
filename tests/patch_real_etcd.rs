//! What `patch` writes for etcd, given to real servers: they start with every flag, variable and
//! file of it, and say themselves that they run with the advised values.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::string_slice,
    reason = "a test over servers and files it made itself"
)]

#[path = "support/etcd.rs"]
mod etcd;
#[path = "support/patching.rs"]
mod patching;
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use patching::{tree, write_tree};
use serde_json::{Value, json};
use support::doctor;

fn advice(setting: &str, proposed: &str) -> Value {
    json!({
        "id": setting, "remedy": "etcd", "strength": "recommended", "target": "etcd",
        "setting": setting, "now": null, "proposed": proposed, "why": "w", "effect": "e",
        "confidence": "high", "risk": "r", "undo": "u", "verify": "v",
        "disposition": "disruptive", "finding_ids": [], "source": "s",
    })
}

/// Every setting of etcd that the models propose values for, and flags that changed their names.
fn settings() -> Vec<Value> {
    vec![
        advice("quota-backend-bytes", "1073741824"),
        advice("heartbeat-interval", "250"),
        advice("election-timeout", "2500"),
        advice("snapshot-count", "5000"),
        advice("max-request-bytes", "1048576"),
        advice("compaction-batch-limit", "500"),
        advice("watch-progress-notify-interval", "5s"),
        advice("feature-gates.InitialCorruptCheck", "true"),
    ]
}

fn shard() -> Value {
    let mut shard = advice("etcd-servers-overrides", "/events#http://<etcd>:2382");
    shard["target"] = json!("kube-apiserver");
    shard["disposition"] = json!("show-only");
    shard["details"] = json!({ "resource": "events" });
    shard
}

fn port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

struct Server {
    child: Child,
    log: PathBuf,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Server {
    /// Starts it and waits until it answers as a leader.
    fn start(argv: &[String], env: &BTreeMap<String, String>, dir: &Path, port: u16) -> Self {
        let log = dir.join(format!("log-{port}"));
        let file = fs::File::create(&log).unwrap();
        let child = Command::new(&argv[0])
            .args(&argv[1..])
            .env_clear()
            .envs(env)
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .unwrap();
        let mut server = Server { child, log, port };
        let begin = Instant::now();
        loop {
            let leads =
                get(port, "/metrics").is_some_and(|text| text.contains("etcd_server_has_leader 1"));
            if leads {
                return server;
            }
            if let Some(status) = server.child.try_wait().unwrap() {
                panic!("{argv:?} {env:?} ended with {status}:\n{}", server.said());
            }
            assert!(
                begin.elapsed() < Duration::from_secs(60),
                "{}",
                server.said()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The advised values, as the server reports them.
    fn runs_with_all_of_it(&self) {
        let metrics = get(self.port, "/metrics").unwrap();
        assert!(
            metrics.contains("etcd_server_quota_backend_bytes 1.073741824e+09"),
            "the quota is not in force"
        );
        let log = self.said();
        for part in [
            "\"heartbeat-interval\":\"250ms\"",
            "\"election-timeout\":\"2.5s\"",
            "\"snapshot-count\":5000",
            "\"initial-corrupt-check\":true",
        ] {
            assert!(log.contains(part), "no {part} in\n{log}");
        }
        assert!(!log.contains("unrecognized environment variable"), "{log}");
    }
}

/// A node's files in a folder, patched.
struct Case {
    dir: tempfile::TempDir,
    client: u16,
    peer: u16,
}

impl Case {
    fn new(advice: &[Value]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        write_tree(
            dir.path(),
            [("report.json", json!(advice).to_string().as_str())],
        );
        fs::create_dir_all(dir.path().join("in")).unwrap();
        Case {
            dir,
            client: port(),
            peer: port(),
        }
    }

    fn put(&self, name: &str, text: &str) {
        write_tree(&self.dir.path().join("in"), [(name, text)]);
    }

    /// The flags that say who and where.
    fn own(&self) -> String {
        let (client, peer) = (self.client, self.peer);
        format!(
            "--name=a --data-dir={} --listen-client-urls=http://127.0.0.1:{client} --advertise-client-urls=http://127.0.0.1:{client} --listen-peer-urls=http://127.0.0.1:{peer} --initial-advertise-peer-urls=http://127.0.0.1:{peer} --initial-cluster=a=http://127.0.0.1:{peer} --logger=zap",
            self.dir.path().join("data").display()
        )
    }

    fn patch(&self, target: &str, version: &str) -> BTreeMap<String, String> {
        let told = doctor(&["patch", "--format", "json", "--target", target, "--report"])
            .path(self.dir.path().join("report.json"))
            .arg("--manifests")
            .path(self.dir.path().join("in"))
            .arg("--out")
            .path(self.dir.path().join("out"))
            .args(&["--etcd-version", version])
            .json();
        assert_ne!(told["files"], json!([]), "{told}");
        tree(&self.dir.path().join("out"))
    }
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace()
        .filter(|word| *word != "\\")
        .map(str::to_owned)
        .collect()
}

/// The command line and the variables of a unit with its drop-in.
fn of_unit(unit: &str, drop_in: &str) -> (Vec<String>, BTreeMap<String, String>) {
    let exec = |text: &str| {
        let text = text.replace("\\\n", " ");
        text.lines()
            .filter_map(|line| line.strip_prefix("ExecStart="))
            .rfind(|line| !line.is_empty())
            .map(words)
    };
    let env = drop_in
        .lines()
        .filter_map(|line| line.strip_prefix("Environment=\"")?.strip_suffix('"'))
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    (exec(drop_in).or(exec(unit)).unwrap(), env)
}

fn each(test: impl Fn(&Path, &str)) {
    let mut any = false;
    for (program, version) in [(etcd::etcd(), "3.4.23"), (etcd::etcd35(), "3.5.1")] {
        let Some(program) = program else { continue };
        let text = Command::new(&program)
            .arg("--version")
            .output()
            .unwrap()
            .stdout;
        // Whatever is installed: the version is its own.
        let text = String::from_utf8_lossy(&text).into_owned();
        let own = text.split_whitespace().nth(2).unwrap_or(version).to_owned();
        any = true;
        test(&which(&program), &own);
    }
    if !any {
        etcd::skip("there is no etcd");
    }
}

/// The full path: units name programs so.
fn which(program: &Path) -> PathBuf {
    if program.components().count() > 1 {
        return program.to_owned();
    }
    std::env::var_os("PATH")
        .and_then(|all| {
            std::env::split_paths(&all)
                .map(|dir| dir.join(program))
                .find(|p| p.is_file())
        })
        .unwrap_or_else(|| program.to_owned())
}

#[test]
fn a_unit_with_flags_and_variables() {
    each(|program, version| {
        let case = Case::new(&settings());
        // One setting stands as a flag, one as a variable, the others nowhere.
        let unit = format!(
            "[Service]\nType=notify\nEnvironment=ETCD_SNAPSHOT_COUNT=9999\nExecStart={} {} --heartbeat-interval 100\n",
            program.display(),
            case.own()
        );
        case.put("etcd.service", &unit);
        let out = case.patch("systemd", version);
        let (argv, env) = of_unit(&unit, &out["etcd.service.d/90-etcd-doctor.conf"]);
        Server::start(&argv, &env, case.dir.path(), case.client).runs_with_all_of_it();
    });
}

#[test]
fn a_configuration_file() {
    each(|program, version| {
        let case = Case::new(&settings());
        let config = case.dir.path().join("etcd.conf.yml");
        let mut text = String::from("# as it was\n");
        for flag in case.own().split(' ') {
            let (name, value) = flag.trim_start_matches("--").split_once('=').unwrap();
            text = format!("{text}{name}: {value}\n");
        }
        text.push_str("heartbeat-interval: 100\n");
        case.put("etcd.conf.yml", &text);
        let unit = format!(
            "[Service]\nExecStart={} --config-file {}\n",
            program.display(),
            config.display()
        );
        case.put("etcd.service", &unit);
        let out = case.patch("systemd", version);
        let (_, edited) = out
            .iter()
            .find(|(name, _)| name.ends_with("etcd.conf.yml"))
            .unwrap();
        fs::write(&config, edited).unwrap();
        let (argv, env) = of_unit(&unit, "");
        Server::start(&argv, &env, case.dir.path(), case.client).runs_with_all_of_it();
    });
}

/// The command of a static pod.
fn of_pod(text: &str, program: &Path) -> Vec<String> {
    let pod: Value = yaml_serde::from_str(text).unwrap();
    let command = pod["spec"]["containers"][0]["command"].as_array().unwrap();
    let mut argv: Vec<String> = command
        .iter()
        .map(|arg| arg.as_str().unwrap().to_owned())
        .collect();
    argv[0] = program.display().to_string();
    argv
}

fn pod(case: &Case, version: &str) -> String {
    let flags: String = case
        .own()
        .split(' ')
        .map(|flag| format!("    - {flag}\n"))
        .collect();
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: etcd, namespace: kube-system}}\nspec:\n  containers:\n  - command:\n    - etcd\n{flags}    image: registry.k8s.io/etcd:{version}-0\n    name: etcd\n"
    )
}

#[test]
fn a_static_pod() {
    each(|program, version| {
        let case = Case::new(&settings());
        case.put("etcd.yaml", &pod(&case, version));
        let out = case.patch("kubeadm", version);
        let argv = of_pod(&out["manifests/etcd.yaml"], program);
        Server::start(&argv, &BTreeMap::new(), case.dir.path(), case.client).runs_with_all_of_it();
    });
}

/// The command with folders and ports that a test may use.
fn moved(argv: Vec<String>, dir: &Path, client: u16) -> Vec<String> {
    let (peer, metrics) = (port(), port());
    let data = dir.join("events").display().to_string();
    argv.into_iter()
        .map(|arg| {
            arg.replace("/var/lib/etcd-events", &data)
                .replace(":2382", &format!(":{client}"))
                .replace(":2383", &format!(":{peer}"))
                .replace(":2384", &format!(":{metrics}"))
        })
        .collect()
}

#[test]
fn the_second_etcd_starts_beside_the_first() {
    each(|program, version| {
        let case = Case::new(&[shard()]);
        let unit = format!(
            "[Service]\nExecStart={} {}\n",
            program.display(),
            case.own()
        );
        case.put("etcd.service", &unit);
        let (argv, env) = of_unit(&unit, "");
        let main = Server::start(&argv, &env, case.dir.path(), case.client);
        let text = case.patch("systemd", version)["etcd-events.service"].clone();
        let events = port();
        let (argv, env) = of_unit(&text, "");
        let second = Server::start(
            &moved(argv, case.dir.path(), events),
            &env,
            case.dir.path(),
            events,
        );
        let metrics = get(second.port, "/metrics").unwrap();
        assert!(metrics.contains("etcd_server_quota_backend_bytes 4.294967296e+09"));
        // Each is a cluster of its own.
        let id = |server: &Server| {
            let log = server.said();
            let (_, rest) = log.split_once("cluster-id\":\"").unwrap();
            rest.split('"').next().unwrap().to_owned()
        };
        assert_ne!(id(&main), id(&second));
    });
}

#[test]
fn the_second_etcd_as_a_static_pod() {
    each(|program, version| {
        let case = Case::new(&[shard()]);
        case.put("etcd.yaml", &pod(&case, version));
        let api = "apiVersion: v1\nkind: Pod\nmetadata: {name: kube-apiserver, namespace: kube-system}\nspec:\n  containers:\n  - command:\n    - kube-apiserver\n    - --etcd-servers=http://127.0.0.1:2379\n    image: registry.k8s.io/kube-apiserver:v1.30.2\n    name: kube-apiserver\n";
        case.put("kube-apiserver.yaml", api);
        let out = case.patch("kubeadm", version);
        let events = port();
        let argv = of_pod(&out["events-etcd/a/etcd-events.yaml"], program);
        let second = Server::start(
            &moved(argv, case.dir.path(), events),
            &BTreeMap::new(),
            case.dir.path(),
            events,
        );
        assert!(get(second.port, "/health").unwrap().contains("true"));
    });
}
