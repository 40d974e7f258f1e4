//! Scrapes over TLS, against a real etcd where one is installed: what is right works, and what is wrong
//! is named with what to do about it.
#![expect(
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test through the binary; certificates are files"
)]

mod support;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use support::doctor;

/// An authority and what it signs, as files in a folder.
struct Pki {
    dir: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Pki {
    fn new(dir: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(dir.join(format!("{name}.crt")), certificate.pem()).unwrap();
        Pki {
            dir: dir.to_owned(),
            issuer: Issuer::new(params, key),
        }
    }

    /// Signs a certificate for these names. A year before 2001 makes one that has expired.
    fn sign(&self, name: &str, names: &[&str], until: i32) {
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.dir.join(format!("{name}.crt")), certificate.pem()).unwrap();
        std::fs::write(self.dir.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}

/// An etcd that goes away with its test.
struct Etcd {
    child: Child,
    url: String,
    _data: tempfile::TempDir,
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// A member that shows its metrics over TLS with this certificate, and asks for one.
fn start(pki: &Path, server: &str) -> Option<Etcd> {
    let data = tempfile::tempdir().unwrap();
    let (client, peer) = (port(), port());
    let url = format!("https://127.0.0.1:{client}");
    let peer = format!("http://127.0.0.1:{peer}");
    let file = |name: &str| pki.join(name).display().to_string();
    let child = Command::new("etcd")
        .args(["--data-dir", data.path().to_str().unwrap(), "--name", "tls"])
        .args([
            "--listen-client-urls",
            &url,
            "--advertise-client-urls",
            &url,
        ])
        .args([
            "--listen-peer-urls",
            &peer,
            "--initial-advertise-peer-urls",
            &peer,
        ])
        .args(["--initial-cluster", &format!("tls={peer}")])
        .args(["--cert-file", &file(&format!("{server}.crt"))])
        .args(["--key-file", &file(&format!("{server}.key"))])
        .args(["--trusted-ca-file", &file("ca.crt"), "--client-cert-auth"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let child = match child {
        Ok(child) => child,
        Err(err) => {
            eprintln!("skipped: etcd cannot be started here: {err}");
            return None;
        }
    };
    let etcd = Etcd {
        child,
        url,
        _data: data,
    };
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(30) {
        if std::net::TcpStream::connect(("127.0.0.1", client)).is_ok() {
            return Some(etcd);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    eprintln!("skipped: etcd did not open its port within 30 s");
    None
}

/// Exit code and output of a scrape with these files.
fn scrape(pki: &Path, url: &str, ca: Option<&str>, client: Option<&str>) -> (i32, String, String) {
    let mut run = doctor(&["metrics", "--window", "200ms", "--timeout", "10s", "--url"]);
    run = run.arg(&format!("{url}/metrics"));
    if let Some(ca) = ca {
        run = run.arg("--cacert").path(pki.join(format!("{ca}.crt")));
    }
    if let Some(client) = client {
        run = run
            .arg("--cert")
            .path(pki.join(format!("{client}.crt")))
            .arg("--key")
            .path(pki.join(format!("{client}.key")));
    }
    let output = run.output();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code().unwrap_or(-1),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn a_tls_endpoint_is_read_and_each_mistake_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let pki = dir.path();
    let ca = Pki::new(pki, "ca");
    let other = Pki::new(pki, "other");
    ca.sign("server", &["127.0.0.1", "localhost"], 2040);
    ca.sign("elsewhere", &["etcd.example"], 2040);
    ca.sign("expired", &["127.0.0.1"], 2001);
    ca.sign("client", &["client"], 2040);
    ca.sign("old-client", &["client"], 2001);
    other.sign("stranger", &["client"], 2040);

    let Some(etcd) = start(pki, "server") else {
        return;
    };
    let said = |ca: Option<&str>, client: Option<&str>| {
        let (code, _, stderr) = scrape(pki, &etcd.url, ca, client);
        assert_eq!(code, 69, "{stderr}");
        stderr
    };
    let (code, stdout, stderr) = scrape(pki, &etcd.url, Some("ca"), Some("client"));
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("etcd"), "{stdout}");
    let wrong = said(Some("other"), Some("client"));
    assert!(
        wrong.contains("another authority than those of --cacert"),
        "{wrong}"
    );
    let none = said(None, Some("client"));
    assert!(none.contains("give the authority with --cacert"), "{none}");
    let bare = said(Some("ca"), None);
    assert!(bare.contains("asks for a client certificate"), "{bare}");
    let stranger = said(Some("ca"), Some("stranger"));
    assert!(
        stranger.contains("refuses the client certificate"),
        "{stranger}"
    );
    let old = said(Some("ca"), Some("old-client"));
    assert!(old.contains("refuses the client certificate"), "{old}");
    // No secret is shown, whatever fails.
    for text in [wrong, none, bare, stranger, old] {
        assert!(!text.contains("PRIVATE KEY"), "{text}");
    }
    let plain = etcd.url.replace("https", "http");
    let (code, _, stderr) = scrape(pki, &plain, Some("ca"), Some("client"));
    assert_ne!(code, 0, "{stderr}");

    for (server, words) in [
        ("elsewhere", "for other names than this address"),
        ("expired", "its certificate has expired"),
    ] {
        let Some(etcd) = start(pki, server) else {
            return;
        };
        let (code, _, stderr) = scrape(pki, &etcd.url, Some("ca"), Some("client"));
        assert_eq!(code, 69, "{stderr}");
        assert!(stderr.contains(words), "{stderr}");
    }
}

/// The live run finds certificates where the settings name them, and says in its report what failed.
#[test]
fn a_live_diagnosis_says_which_endpoint_it_could_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let pki = dir.path();
    let ca = Pki::new(pki, "ca");
    ca.sign("server", &["127.0.0.1"], 2040);
    let Some(etcd) = start(pki, "server") else {
        return;
    };
    let report = doctor(&[
        "diagnose",
        "--format",
        "json",
        "--window",
        "200ms",
        "--since",
        "@4000000000",
    ])
    .arg("--metrics-url")
    .arg(&format!("{}/metrics", etcd.url))
    .json();
    let text = report.to_string();
    assert!(text.contains("TLS: "), "{text}");
    assert_ne!(report["verdict"]["cause"], "none");
}
