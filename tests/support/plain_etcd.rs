//! A real etcd for tests: on loopback, in a folder that the test names, gone with the value; and
//! puts through its JSON gateway at a rate.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "shared by several test binaries, each of which uses a part of it"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A running etcd.
pub struct Etcd {
    child: Child,
    /// `127.0.0.1:PORT`.
    pub address: String,
    /// Its data directory.
    pub data: PathBuf,
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

impl Etcd {
    /// Starts the program `etcd` (or another) with its data in `data`; the reason where it cannot.
    pub fn start(program: &str, data: &Path) -> Result<Self, String> {
        let (client, peer) = (port(), port());
        let address = format!("127.0.0.1:{client}");
        let (client, peer) = (
            format!("http://{address}"),
            format!("http://127.0.0.1:{peer}"),
        );
        let child = Command::new(program)
            .args(["--name", "t", "--data-dir", data.to_str().unwrap()])
            .args([
                "--listen-client-urls",
                &client,
                "--advertise-client-urls",
                &client,
            ])
            .args([
                "--listen-peer-urls",
                &peer,
                "--initial-advertise-peer-urls",
                &peer,
            ])
            .args(["--initial-cluster", &format!("t={peer}")])
            // The machine that tests run on is busy: nobody else may become leader.
            .args(["--heartbeat-interval", "500", "--election-timeout", "5000"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|err| format!("{program}: {err}"))?;
        let etcd = Etcd {
            child,
            address,
            data: data.to_owned(),
        };
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(60) {
            if etcd
                .metrics()
                .is_some_and(|text| text.contains("etcd_server_has_leader 1"))
            {
                return Ok(etcd);
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Err(format!("{program} had no leader within 60 s"))
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The text of its metrics.
    pub fn metrics(&self) -> Option<String> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        write!(stream, "GET /metrics HTTP/1.0\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        Some(text)
    }

    /// Puts values of 256 bytes until told to stop: so many clients, each waiting for its answer,
    /// together at most `rate` per second (0: as fast as it goes). Gives how many were put.
    pub fn load(&self, clients: u64, rate: f64, stop: &AtomicBool) -> u64 {
        let done = AtomicU64::new(0);
        let begin = Instant::now();
        std::thread::scope(|scope| {
            for client in 0..clients {
                let done = &done;
                scope.spawn(move || {
                    let stream = TcpStream::connect(&self.address).unwrap();
                    stream.set_nodelay(true).unwrap();
                    let mut answers = BufReader::new(stream.try_clone().unwrap());
                    let value = "eHh4".repeat(85);
                    let mut number = client;
                    while !stop.load(Ordering::Relaxed) {
                        if rate > 0.0 {
                            let due = Duration::from_secs_f64(number as f64 / rate);
                            std::thread::sleep(due.saturating_sub(begin.elapsed()));
                        }
                        put(&stream, &mut answers, number, &value);
                        number += clients;
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        done.load(Ordering::Relaxed)
    }
}

fn put(mut stream: &TcpStream, answers: &mut BufReader<TcpStream>, number: u64, value: &str) {
    // 25 bytes of key, as `/registry/pods/x/00000001`.
    let key = base64(format!("/registry/pods/x/{:08}", number % 100_000).as_bytes());
    let body = format!("{{\"key\":\"{key}\",\"value\":\"{value}\"}}");
    let head = format!(
        "POST /v3/kv/put HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).unwrap();
    let (mut length, mut line) = (0, String::new());
    loop {
        line.clear();
        answers.read_line(&mut line).unwrap();
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut answer = vec![0; length];
    answers.read_exact(&mut answer).unwrap();
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk
            .iter()
            .fold(0u32, |word, byte| (word << 8) | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let letter = LETTERS[((word >> (18 - 6 * place)) & 63) as usize];
            text.push(if place <= chunk.len() {
                char::from(letter)
            } else {
                '='
            });
        }
    }
    text
}
