//! Writes synthetic logs of a given size for `benches/logs.sh`: `gen_logs KIND MIB > FILE`.
//!
//! `zap` is etcd's JSON of ten message kinds, 40 % of them slow-apply lines over 30 resources;
//! `cri` the same wrapped by a container runtime; `other` the same with 99 % lines of other
//! programs; `klog` an apiserver's text log; `audit` its audit log; `audit-bodies` the same with
//! larger requests and answers in three of ten lines; `wide` has a new resource, namespace and
//! client on nearly every line. The same arguments give the same bytes. `gen_logs inflate FILE…`
//! inflates files and prints how many bytes came out.
#![allow(
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::allow_attributes,
    reason = "a tool of the benches, not of the program"
)]

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

use flate2::read::MultiGzDecoder;

const RESOURCES: [&str; 30] = [
    "pods",
    "events",
    "configmaps",
    "secrets",
    "leases",
    "minions",
    "deployments",
    "replicasets",
    "statefulsets",
    "daemonsets",
    "jobs",
    "cronjobs",
    "services/specs",
    "services/endpoints",
    "endpointslices",
    "serviceaccounts",
    "roles",
    "rolebindings",
    "clusterroles",
    "clusterrolebindings",
    "namespaces",
    "persistentvolumes",
    "persistentvolumeclaims",
    "storageclasses",
    "volumeattachments",
    "cert-manager.io/certificates",
    "longhorn.io/engines",
    "helm.toolkit.fluxcd.io/helmreleases",
    "controllerrevisions",
    "ingress",
];

/// A small generator of numbers, the same everywhere (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

struct Clock(u64);

impl Clock {
    fn stamp(&self) -> String {
        let us = self.0;
        let secs = us / 1_000_000;
        // A month of 30 days is as good as any.
        format!(
            "2026-11-{:02}T{:02}:{:02}:{:02}.{:06}",
            1 + secs / 86_400 % 30,
            secs / 3600 % 24,
            secs / 60 % 60,
            secs % 60,
            us % 1_000_000
        )
    }

    fn klog(&self) -> String {
        let us = self.0;
        let secs = us / 1_000_000;
        format!(
            "11{:02} {:02}:{:02}:{:02}.{:06}",
            1 + secs / 86_400 % 30,
            secs / 3600 % 24,
            secs / 60 % 60,
            secs % 60,
            us % 1_000_000
        )
    }
}

fn zap(line: &mut Vec<u8>, numbers: &mut Numbers, clock: &Clock, wide: bool) -> io::Result<()> {
    let ts = clock.stamp();
    let resource = RESOURCES[usize::try_from(numbers.below(30)).unwrap_or(0)];
    let namespace = if wide {
        numbers.next() % 10_000_000
    } else {
        numbers.below(40)
    };
    let took = 100_000 + numbers.below(900_000);
    let (ms, us) = (took / 1000, took % 1000);
    match numbers.below(100) {
        0..40 => {
            let custom = if wide {
                format!("g{namespace}.example.com/things")
            } else {
                resource.to_owned()
            };
            let (request, response) = match numbers.below(4) {
                0 => (
                    format!(
                        r#"key:\"/registry/{custom}/\" range_end:\"/registry/{custom}0\" limit:500 "#
                    ),
                    format!(
                        "range_response_count:{} size:{}",
                        numbers.below(500),
                        numbers.below(900_000)
                    ),
                ),
                1 => (
                    format!(
                        r#"key:\"/registry/{custom}/\" range_end:\"/registry/{custom}0\" count_only:true "#
                    ),
                    "range_response_count:0 size:8".to_owned(),
                ),
                _ => (
                    format!(
                        r#"key:\"/registry/{custom}/ns-{namespace}/object-{}\" "#,
                        numbers.below(1000)
                    ),
                    format!("range_response_count:1 size:{}", numbers.below(9000)),
                ),
            };
            write!(
                line,
                r#"{{"level":"warn","ts":"{ts}Z","caller":"txn/util.go:93","msg":"apply request took too long","took":"{ms}.{us:03}ms","expected-duration":"100ms","prefix":"read-only range ","request":"{request}","response":"{response}"}}"#
            )
        }
        40..55 => write!(
            line,
            r#"{{"level":"info","ts":"{ts}Z","caller":"traceutil/trace.go:172","msg":"trace[{}] range","detail":"{{range_begin:/registry/{resource}/ns-{namespace}/object-{}; range_end:; response_count:1; response_revision:{}; }}","duration":"{ms}.{us:03}ms","start":"{ts}Z","end":"{ts}Z","steps":["trace[1] 'agreement among raft nodes before linearized reading'  (duration: {ms}.000ms)"],"step_count":1}}"#,
            numbers.below(1 << 31),
            numbers.below(1000),
            numbers.below(1 << 30)
        ),
        55..63 => {
            let client = if wide {
                numbers.next() % 4_000_000_000
            } else {
                0x7F00_0001 + numbers.below(12)
            };
            write!(
                line,
                r#"{{"level":"warn","ts":"{ts}Z","caller":"v3rpc/interceptor.go:202","msg":"request stats","start time":"{ts}Z","time spent":"{ms}.{us:03}ms","remote":"{}.{}.{}.{}:41230","response type":"/etcdserverpb.KV/Range","request count":0,"request size":43,"response count":{},"response size":913,"request content":"key:\"/registry/{resource}/ns-{namespace}/object-{}\" "}}"#,
                client >> 24,
                client >> 16 & 255,
                client >> 8 & 255,
                client & 255,
                numbers.below(900),
                numbers.below(1000)
            )
        }
        63..70 => write!(
            line,
            r#"{{"level":"warn","ts":"{ts}Z","caller":"etcdserver/v3_server.go:897","msg":"waiting for ReadIndex response took too long, retrying","sent-request-id":{},"retry-timeout":"500ms"}}"#,
            numbers.next() >> 1
        ),
        70..76 => write!(
            line,
            r#"{{"level":"warn","ts":"{ts}Z","caller":"wal/wal.go:804","msg":"slow fdatasync","took":"1.{us:03}s","expected-duration":"1s"}}"#
        ),
        76..82 => write!(
            line,
            r#"{{"level":"info","ts":"{ts}Z","caller":"mvcc/kvstore_compaction.go:66","msg":"finished scheduled compaction","compact-revision":{},"took":"{ms}.{us:03}ms","hash":{},"current-db-size-bytes":{},"current-db-size":"61 MB","current-db-size-in-use-bytes":41000000,"current-db-size-in-use":"41 MB"}}"#,
            numbers.below(1 << 30),
            numbers.below(1 << 31),
            numbers.below(1 << 32)
        ),
        82..88 => write!(
            line,
            r#"{{"level":"warn","ts":"{ts}Z","caller":"etcdserver/raft.go:416","msg":"leader failed to send out heartbeat on time; took too long, leader is overloaded likely from slow disk","to":"{:x}","heartbeat-interval":"100ms","expected-duration":"200ms","exceeded-duration":"{ms}.{us:03}ms"}}"#,
            numbers.next()
        ),
        88..94 => write!(
            line,
            r#"{{"level":"warn","ts":"{ts}Z","caller":"rafthttp/peer.go:267","msg":"dropped internal Raft message since sending buffer is full","message-type":"MsgHeartbeat","local-member-id":"{:x}","from":"{:x}","remote-peer-id":"{:x}","remote-peer-name":"m2","remote-peer-active":true}}"#,
            numbers.next(),
            numbers.next(),
            numbers.next()
        ),
        94..97 => write!(
            line,
            r#"{{"level":"warn","ts":"{ts}Z","caller":"embed/config_logging.go:170","msg":"rejected connection on client endpoint","remote-addr":"10.0.0.{}:40000","server-name":"","error":"tls: first record does not look like a TLS handshake"}}"#,
            numbers.below(250)
        ),
        _ => write!(
            line,
            r#"{{"level":"info","ts":"{ts}Z","caller":"etcdserver/server.go:2240","msg":"compacted Raft logs","compact-index":{}}}"#,
            numbers.below(1 << 40)
        ),
    }
}

fn klog(line: &mut Vec<u8>, numbers: &mut Numbers, clock: &Clock) -> io::Result<()> {
    let at = clock.klog();
    let resource = RESOURCES[usize::try_from(numbers.below(12)).unwrap_or(0)];
    let ms = numbers.below(3000);
    match numbers.below(100) {
        0..60 => write!(
            line,
            r#"I{at}       1 httplog.go:132] "HTTP" verb="LIST" URI="/api/v1/{resource}?limit=500&resourceVersion=0" latency="{ms}.123456ms" userAgent="kube-controller-manager/v1.36.2 (linux/amd64) kubernetes/8e16b12/shared-informers" audit-ID="b590e7c3-4bff-4518-b04f-{:012x}" srcIP="127.0.0.1:41230" apf_pl="workload-high" apf_fs="kube-system" apf_iseats=1 apf_fseats=0 apf_additionalLatency="0s" apf_execution_time="{ms}.000001ms" resp=200"#,
            numbers.next() >> 16
        ),
        60..70 => write!(
            line,
            r#"I{at}       1 request.go:752] "Waited before sending request" delay="1.{ms:04}75613s" reason="client-side throttling, not priority and fairness" verb="POST" URL="https://127.0.0.1:6443/api/v1/namespaces/ns-{}/pods""#,
            numbers.below(40)
        ),
        70..80 => write!(
            line,
            r#"I{at}       1 trace.go:236] Trace[{}]: "List" accept:application/json,audit-id:b590e7c3-4bff-4518-b04f-c6ea4d69fd37,client:10.0.0.{},protocol:HTTP/2.0,resource:{resource},scope:cluster,url:/api/v1/{resource},user-agent:inventory-scraper/1.0,verb:LIST (01-Nov-2026 20:46:54.472) (total time: {ms}ms):"#,
            numbers.below(1 << 31),
            numbers.below(250)
        ),
        80..85 => write!(
            line,
            r#"E{at}       1 status.go:71] "Unhandled Error" err="apiserver received an error that is not an metav1.Status: context.deadlineExceededError{{}}: context deadline exceeded" logger="UnhandledError""#
        ),
        _ => write!(
            line,
            r#"I{at}       1 garbagecollector.go:{}] "Processing item" item="[v1/Pod, namespace: ns-{}, name: web-{}, uid: b590e7c3]" virtual=false"#,
            numbers.below(900),
            numbers.below(40),
            numbers.below(900)
        ),
    }
}

fn other(line: &mut Vec<u8>, numbers: &mut Numbers, clock: &Clock) -> io::Result<()> {
    let ts = clock.stamp();
    let n = numbers.below(100_000);
    match numbers.below(3) {
        0 => write!(
            line,
            r#"{{"level":"info","ts":"{ts}Z","caller":"controller/worker.go:{}","msg":"Reconciling object number {n}","controller":"machine","namespace":"ns-{}","name":"node-{n}","reconcileID":"b590e7c3-4bff-4518-b04f-c6ea4d69fd37","duration":"12.{n}ms"}}"#,
            n % 900,
            n % 40
        ),
        1 => write!(
            line,
            r#"I{}       1 controller.go:{}] "Reconciled" object="ns-{}/node-{n}" duration="12.{n}ms" requeue=false generation={n} observed={n}"#,
            clock.klog(),
            n % 900,
            n % 40
        ),
        _ => write!(
            line,
            "{ts} worker-{n} finished item {n} of shard {} in 12.{n} ms; queue length is now {n}, nothing else to say about it",
            n % 64
        ),
    }
}

/// The apiserver's audit log: metadata alone, and for three of ten changes whole requests and
/// answers; with `bodies`, larger ones for three of ten lines.
fn audit(line: &mut Vec<u8>, numbers: &mut Numbers, clock: &Clock, bodies: bool) -> io::Result<()> {
    let ts = clock.stamp();
    let resource = RESOURCES[usize::try_from(numbers.below(12)).unwrap_or(0)];
    let namespace = numbers.below(40);
    let name = numbers.below(1000);
    let (verb, query) = match numbers.below(10) {
        0..4 => ("get", String::new()),
        4..6 => ("list", r"?limit=500\u0026resourceVersion=0".to_owned()),
        6 => ("watch", r"?watch=true\u0026resourceVersion=12".to_owned()),
        7 => ("update", String::new()),
        8 => ("patch", String::new()),
        _ => ("create", String::new()),
    };
    let agents = [
        "kube-controller-manager/v1.36.2 (linux/amd64) kubernetes/8e16b12/shared-informers",
        "kubelet/v1.36.2 (linux/amd64) kubernetes/8e16b12",
        "kube-scheduler/v1.36.2 (linux/amd64) kubernetes/8e16b12/scheduler",
        "inventory-scraper/1.0",
    ];
    let program = numbers.below(4);
    let agent = agents[usize::try_from(program).unwrap_or(0)];
    let user = program * 3 + numbers.below(3);
    let code = if numbers.below(50) == 0 { 404 } else { 200 };
    let change = matches!(verb, "update" | "patch" | "create");
    let body = numbers.below(10) < 3 && (change || bodies);
    write!(
        line,
        r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"{}","auditID":"b590e7c3-4bff-4518-b04f-{:012x}","stage":"ResponseComplete","requestURI":"/api/v1/namespaces/ns-{namespace}/{resource}/object-{name}{query}","verb":"{verb}","user":{{"username":"system:serviceaccount:kube-system:account-{user}","uid":"33c81a0f-59ce-4ab6-9d28-8a7bb22a4c1a","groups":["system:serviceaccounts","system:serviceaccounts:kube-system","system:authenticated"],"extra":{{"authentication.kubernetes.io/credential-id":["X509SHA256=1f2e3d4c5b6a79880"]}}}},"sourceIPs":["10.0.0.{}"],"userAgent":"{agent}","objectRef":{{"resource":"{resource}","namespace":"ns-{namespace}","name":"object-{name}","apiVersion":"v1"}},"responseStatus":{{"metadata":{{}},"code":{code}}},"#,
        if body { "RequestResponse" } else { "Metadata" },
        numbers.next() >> 16,
        numbers.below(250),
    )?;
    if body {
        for part in ["requestObject", "responseObject"] {
            write!(
                line,
                r#""{part}":{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"object-{name}","namespace":"ns-{namespace}","labels":{{"app":"web","pod-template-hash":"5d4f8c7b9"}},"managedFields":[{{"manager":"kube-controller-manager","operation":"Update","apiVersion":"v1","time":"{ts}Z","fieldsType":"FieldsV1","fieldsV1":{{"f:metadata":{{"f:labels":{{".":{{}},"f:app":{{}},"f:pod-template-hash":{{}}}}}},"f:spec":{{"f:containers":{{"k:{{\"name\":\"web\"}}":{{".":{{}},"f:image":{{}},"f:name":{{}}}}}}}}}}}}]}},"spec":{{"containers":["#
            )?;
            for at in 0..if bodies { 16 } else { 1 } {
                let comma = if at > 0 { "," } else { "" };
                write!(
                    line,
                    r#"{comma}{{"name":"web","image":"registry.example.com/web:1.{}","args":["--log=\"json\"","--workers=4"]}}"#,
                    numbers.below(100)
                )?;
            }
            line.extend_from_slice(br#"]},"status":{}},"#);
        }
    }
    write!(
        line,
        r#""requestReceivedTimestamp":"{ts}Z","stageTimestamp":"{ts}Z","annotations":{{"authorization.k8s.io/decision":"allow","authorization.k8s.io/reason":"RBAC: allowed by ClusterRoleBinding \"system:account\" of ClusterRole \"system:account\" to ServiceAccount \"account/kube-system\""}}}}"#
    )
}

/// Inflates files with the library that `etcd-doctor` uses, one a thread, and drops what comes out:
/// the least that reading them can take.
fn inflate(files: &[String]) -> io::Result<()> {
    let next = AtomicUsize::new(0);
    let work = || -> io::Result<u64> {
        let mut buffer = vec![0; 1 << 20];
        let mut bytes = 0;
        while let Some(name) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut from = MultiGzDecoder::new(File::open(name)?);
            loop {
                match from.read(&mut buffer)? {
                    0 => break,
                    len => bytes += len as u64,
                }
            }
        }
        Ok(bytes)
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let bytes = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or(Ok(0)))
            .sum::<io::Result<u64>>()
    })?;
    println!("{bytes}");
    Ok(())
}

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| arg != "--bench")
        .collect();
    if let Some((first, files)) = args.split_first()
        && first == "inflate"
    {
        return inflate(files);
    }
    let [kind, mib] = args.as_slice() else {
        eprintln!("usage: gen_logs zap|cri|other|klog|wide|audit|audit-bodies MIB > FILE");
        return Ok(());
    };
    let goal = mib.parse::<u64>().map_err(io::Error::other)? << 20;
    let mut out = BufWriter::with_capacity(1 << 20, io::stdout().lock());
    let mut numbers = Numbers(42);
    let mut clock = Clock(1_000_000);
    let mut line = Vec::with_capacity(4096);
    let mut written = 0;
    while written < goal {
        line.clear();
        // About 60 lines a second, as on a sick cluster.
        clock.0 += numbers.below(33_000);
        if kind == "cri" {
            write!(line, "{}000Z stderr F ", clock.stamp())?;
        }
        match kind.as_str() {
            "klog" => klog(&mut line, &mut numbers, &clock)?,
            "audit" | "audit-bodies" => {
                audit(&mut line, &mut numbers, &clock, kind == "audit-bodies")?;
            }
            "other" if numbers.below(100) > 0 => other(&mut line, &mut numbers, &clock)?,
            _ => zap(&mut line, &mut numbers, &clock, kind == "wide")?,
        }
        line.push(b'\n');
        out.write_all(&line)?;
        written += line.len() as u64;
    }
    out.flush()
}
