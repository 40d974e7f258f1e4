//! Live scrapes and Prometheus answers go the same way as saved files: same answers. A server
//! that misbehaves is a finding.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of a test; their failure is the test's"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use etcd_doctor::clock::{Clock, Timestamp};
use etcd_doctor::evidence::{EvidenceSet, Reading, Record, Shape, keys};
use etcd_doctor::formats::inflate::{Inflate, Limits as InflateLimits};
use etcd_doctor::formats::prometheus::{Sample, Sink, scan};
use etcd_doctor::metrics::fetch::{Access, FetchError, FetchLimits, Fetcher, live};
use etcd_doctor::metrics::prometheus_api::{Range, query};
use etcd_doctor::metrics::{Hint, Limits, Loader, collect};
use etcd_doctor::target::HostRoot;

type Handler = dyn Fn(&str, usize) -> Vec<u8> + Send + Sync;

/// An HTTP server on the loopback that answers each request with what `handler` makes of its
/// head and its number.
struct Server {
    address: String,
    heads: Arc<Mutex<Vec<String>>>,
}

fn serve(handler: impl Fn(&str, usize) -> Vec<u8> + Send + Sync + 'static) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&heads);
    let handler: Arc<Handler> = Arc::new(handler);
    let count = Arc::new(AtomicUsize::new(0));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (handler, seen, count) =
                (Arc::clone(&handler), Arc::clone(&seen), Arc::clone(&count));
            std::thread::spawn(move || answer(stream, &*handler, &seen, &count));
        }
    });
    Server { address, heads }
}

fn answer(
    mut stream: TcpStream,
    handler: &Handler,
    seen: &Mutex<Vec<String>>,
    count: &AtomicUsize,
) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    if head.is_empty() {
        return;
    }
    seen.lock().unwrap().push(head.clone());
    let bytes = handler(&head, count.fetch_add(1, Ordering::SeqCst));
    stream.write_all(&bytes).ok();
}

fn ok(body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

fn fetcher(access: &Access) -> Fetcher {
    let limits = FetchLimits {
        deadline: Duration::from_secs(2),
        bytes: 1 << 20,
    };
    Fetcher::new(access, limits).unwrap()
}

fn fixture(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/metrics");
    let file = HostRoot::new(folder).open(name).unwrap();
    let mut bytes = Vec::new();
    Inflate::new(file, InflateLimits::default())
        .unwrap()
        .read_to_end(&mut bytes)
        .unwrap();
    bytes
}

const FIRST: &str = "slow-disk/metrics/etcd-m0-20261121T205614.289Z.prom.gz";
const SECOND: &str = "slow-disk/metrics/etcd-m0-20261121T205704.413Z.prom.gz";

/// All readings but those that the length of the window is part of.
fn values(set: &EvidenceSet) -> Vec<(String, Reading<Shape>)> {
    let timeless = |record: &&Record| {
        let key = record.key.as_str();
        let timed = [
            "proposals.applied",
            "proposals.committed",
            "rate",
            "cpu",
            "duty",
            "growth",
            "phases",
            "coverage",
            "process.go",
        ];
        !timed.iter().any(|part| key.contains(part))
            && !["server.db.size", "server.has-leader", "server.is-leader"].contains(&key)
            && matches!(record.value, Reading::Known(_))
    };
    set.records()
        .filter(timeless)
        .map(|record| {
            let mut value = record.value.clone();
            // Rates per row depend on the window, too.
            if let Reading::Known(Shape::Table(table)) = &mut value {
                for row in &mut table.rows {
                    row.cells.retain(|column, _| !column.ends_with("per_sec"));
                }
            }
            (record.key.clone(), value)
        })
        .collect()
}

fn saved() -> EvidenceSet {
    let mut loader = Loader::new(Limits::default());
    for name in [FIRST, SECOND] {
        let path = name.trim_end_matches(".gz");
        loader.add(path, path, &fixture(name), &Hint::default());
    }
    collect(&loader.finish())
}

#[test]
fn live_scrapes_say_the_same_as_saved_ones() {
    let scrapes = [fixture(FIRST), fixture(SECOND)];
    let server = serve(move |_, number| ok(scrapes.get(number).unwrap()));
    let mut loader = Loader::new(Limits::default());
    let access = Access {
        token: Some("let-me-in".to_owned()),
        ..Access::default()
    };
    live(
        &fetcher(&access),
        &[format!("http://{}/metrics", server.address)],
        Duration::from_millis(200),
        Clock::System,
        &AtomicBool::new(false),
        &mut loader,
    );
    let model = loader.finish();
    assert_eq!(model.faults, []);
    let live = values(&collect(&model));
    assert!(live.len() > 15, "{}", live.len());
    assert_eq!(live, values(&saved()));
    let heads = server.heads.lock().unwrap();
    assert_eq!(heads.len(), 2);
    assert!(
        heads[0]
            .to_lowercase()
            .contains("authorization: bearer let-me-in")
    );
}

/// The samples of a scrape as rows of a Prometheus matrix.
#[derive(Default)]
struct Matrix {
    rows: std::collections::BTreeMap<String, Vec<(i64, f64)>>,
    at: i64,
}

impl Sink for Matrix {
    fn wants(&mut self, _: &[u8]) -> bool {
        true
    }
    fn family(&mut self, _: &[u8], _: &[u8]) {}
    fn sample(&mut self, sample: &Sample<'_, '_>) {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let mut metric = serde_json::json!({
            "__name__": text(sample.name),
            "instance": "10.0.0.1:2381",
            "job": "etcd",
        });
        for label in sample.labels {
            metric[text(label.name)] = text(&label.value()).into();
        }
        self.rows
            .entry(metric.to_string())
            .or_default()
            .push((self.at, sample.value));
    }
}

impl Matrix {
    fn answer(&self, wanted: impl Fn(&str) -> bool) -> String {
        let rows: Vec<serde_json::Value> = self
            .rows
            .iter()
            .filter(|(metric, _)| wanted(metric))
            .map(|(metric, points)| {
                let metric: serde_json::Value = serde_json::from_str(metric).unwrap();
                let values: Vec<_> = points
                    .iter()
                    .map(|(at, value)| serde_json::json!([at, value.to_string()]))
                    .collect();
                serde_json::json!({"metric": metric, "values": values})
            })
            .collect();
        serde_json::json!({
            "status": "success",
            "data": {"resultType": "matrix", "result": rows},
        })
        .to_string()
    }
}

fn matrix() -> Matrix {
    let mut matrix = Matrix::default();
    for (at, name) in [(1_795_294_574, FIRST), (1_795_294_624, SECOND)] {
        matrix.at = at;
        scan(&fixture(name), &mut matrix);
    }
    matrix
}

#[test]
fn a_saved_range_of_prometheus_says_the_same() {
    let text = matrix().answer(|_| true);
    let mut loader = Loader::new(Limits::default());
    loader.add(
        "range.json",
        "range.json",
        text.as_bytes(),
        &Hint::default(),
    );
    let model = loader.finish();
    assert_eq!(model.faults, []);
    assert_eq!(model.timelines[0].target.node.as_deref(), Some("10.0.0.1"));
    let set = collect(&model);
    assert_eq!(values(&set), values(&saved()));
    let rate = etcd_doctor::evidence::Reader::new(&set)
        .any(&keys::PROPOSALS_RATE)
        .unwrap();
    assert!(rate.1 > 20.0 && rate.1 < 40.0, "{rate:?}");
}

#[test]
fn a_range_asked_of_prometheus_says_the_same() {
    let matrix = matrix();
    let server = serve(move |head, _| {
        let line = head.lines().next().unwrap();
        assert!(line.starts_with("GET /api/v1/query_range?query="), "{line}");
        assert!(
            line.contains("&start=1795294500&end=1795294700&step=15"),
            "{line}"
        );
        assert!(line.contains("cluster%3d%22a%22"), "{line}");
        // The pattern of names of this query.
        let pattern = line
            .split("%22")
            .nth(1)
            .unwrap()
            .replace("%7c", "|")
            .replace("%28", "(")
            .replace("%29", ")");
        let names = regex::Regex::new(&format!("\"__name__\":\"({pattern})\"")).unwrap();
        ok(matrix.answer(|metric| names.is_match(metric)).as_bytes())
    });
    let mut loader = Loader::new(Limits::default());
    let range = Range {
        since: Timestamp::from_secs(1_795_294_500),
        until: Timestamp::from_secs(1_795_294_700),
    };
    query(
        &fetcher(&Access::default()),
        &format!("http://{}/", server.address),
        range,
        "cluster=\"a\"",
        &mut loader,
    );
    let model = loader.finish();
    assert_eq!(model.faults, []);
    let expected: Vec<_> = values(&saved())
        .into_iter()
        .filter(|(key, _)| !key.contains("go"))
        .collect();
    let got: Vec<_> = values(&collect(&model))
        .into_iter()
        .filter(|(key, _)| !key.contains("go"))
        .collect();
    assert_eq!(got, expected);
}

#[test]
fn prometheus_errors_and_torn_answers_are_findings() {
    for text in [
        "{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"parse error\",\"data\":{\"resultType\":\"\",\"result\":[]}}",
        "{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":[{\"metric\":{\"__na",
        "{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":[]}}",
    ] {
        let mut loader = Loader::new(Limits::default());
        loader.add(
            "range.json",
            "range.json",
            text.as_bytes(),
            &Hint::default(),
        );
        let model = loader.finish();
        assert_eq!(model.faults.len(), 1, "{text}");
        assert_eq!(model.faults[0].kind.id(), "not-metrics");
        assert!(model.timelines.is_empty());
    }
}

#[test]
fn a_redirect_leads_nowhere() {
    let other = serve(|_, _| ok(b"etcd_server_has_leader 1\n"));
    let target = other.address.clone();
    let server = serve(move |_, _| {
        format!("HTTP/1.1 302 Found\r\nLocation: http://{target}/metrics\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .into_bytes()
    });
    let access = Access {
        token: Some("secret".to_owned()),
        ..Access::default()
    };
    let err = fetcher(&access)
        .get(&format!("http://{}/metrics", server.address))
        .unwrap_err();
    assert!(
        matches!(err, FetchError::Status { status: 302, .. }),
        "{err}"
    );
    assert!(other.heads.lock().unwrap().is_empty());
}

#[test]
fn servers_that_hang_flood_or_refuse_end_in_time() {
    let hang = serve(|_, _| {
        std::thread::sleep(Duration::from_secs(30));
        Vec::new()
    });
    let begin = Instant::now();
    let err = fetcher(&Access::default())
        .get(&format!("http://{}/", hang.address))
        .unwrap_err();
    assert!(matches!(err, FetchError::Deadline(_)), "{err}");
    assert!(begin.elapsed() < Duration::from_secs(15));

    let flood = serve(|_, _| ok(&vec![b'a'; 3 << 20]));
    let err = fetcher(&Access::default())
        .get(&format!("http://{}/", flood.address))
        .unwrap_err();
    assert!(err.to_string().contains("more than 1 MiB"), "{err}");

    let refuse = serve(|_, _| {
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec()
    });
    let mut loader = Loader::new(Limits::default());
    live(
        &fetcher(&Access::default()),
        &[format!("http://user:pw@{}/metrics?x=y", refuse.address)],
        Duration::from_millis(100),
        Clock::System,
        &AtomicBool::new(false),
        &mut loader,
    );
    let model = loader.finish();
    assert_eq!(model.faults.len(), 1);
    let fault = &model.faults[0];
    assert_eq!(fault.kind.id(), "not-reached");
    assert!(fault.what.contains("403"), "{fault:?}");
    assert!(!format!("{fault:?}").contains("pw"), "{fault:?}");
}

#[test]
fn a_stop_ends_the_wait() {
    let scrape = fixture(FIRST);
    let server = serve(move |_, _| ok(&scrape));
    let mut loader = Loader::new(Limits::default());
    let begin = Instant::now();
    live(
        &fetcher(&Access::default()),
        &[format!("http://{}/metrics", server.address)],
        Duration::from_secs(600),
        Clock::System,
        &AtomicBool::new(true),
        &mut loader,
    );
    assert!(begin.elapsed() < Duration::from_secs(10));
    assert_eq!(loader.finish().scrapes, 2);
}
