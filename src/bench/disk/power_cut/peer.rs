//! The peer on the other machine: it hears of every durable record and keeps the highest number.
//!
//! One line for each: `RUN NUMBER` in hexadecimal and decimal. The peer answers `ok` to the first
//! line of a run, so that nothing is written before somebody listens. Its own file is appended to
//! and holds lines with a checksum; a line that was cut off by a crash of the peer is left out.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::bench::Cancel;
use crate::formats::crc32c;

/// At most so often the file grows; what is newer is lost when the peer itself dies, which only
/// makes the check milder.
const WRITE_EVERY: Duration = Duration::from_millis(100);
/// A line is short; whoever sends longer ones is no recorder.
const MAX_LINE: u64 = 128;

/// A line of the log.
fn line(run: u64, number: u64) -> String {
    let body = format!("run {run:016x} acknowledged {number}");
    let sum = crc32c::update(0, body.as_bytes());
    format!("{body} {sum:08x}\n")
}

/// The highest acknowledged number of each run in a log, and how many lines were no good.
pub fn read_log(source: impl Read) -> io::Result<(BTreeMap<u64, u64>, u64)> {
    let mut runs: BTreeMap<u64, u64> = BTreeMap::new();
    let mut bad = 0;
    let mut source = BufReader::new(source);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let count = (&mut source).take(MAX_LINE).read_until(b'\n', &mut bytes)?;
        if count == 0 {
            return Ok((runs, bad));
        }
        match parse_line(&bytes) {
            Some((run, number)) => {
                let highest = runs.entry(run).or_default();
                *highest = number.max(*highest);
            }
            None => bad += 1,
        }
    }
}

fn parse_line(bytes: &[u8]) -> Option<(u64, u64)> {
    let text = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?;
    let (body, sum) = text.rsplit_once(' ')?;
    let whole = u32::from_str_radix(sum, 16).ok()? == crc32c::update(0, body.as_bytes());
    let mut words = body.split(' ');
    let run = match (words.next()?, words.next()?) {
        ("run", run) => u64::from_str_radix(run, 16).ok()?,
        _ => return None,
    };
    let number = match (words.next()?, words.next()?) {
        ("acknowledged", number) => number.parse().ok()?,
        _ => return None,
    };
    whole.then_some((run, number))
}

/// Tells a peer of durable records.
#[derive(Debug)]
pub struct Link {
    stream: TcpStream,
    run: u64,
}

impl Link {
    /// Connects, and waits until the peer has understood.
    pub fn open(address: &str, run: u64, limit: Duration) -> io::Result<Self> {
        use std::net::ToSocketAddrs as _;
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in address.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, limit) {
                Ok(stream) => {
                    // Each number goes out at once: what waits in a buffer here dies with us.
                    stream.set_nodelay(true)?;
                    stream.set_read_timeout(Some(limit))?;
                    stream.set_write_timeout(Some(limit))?;
                    let mut link = Link { stream, run };
                    link.tell(0)?;
                    let mut answer = [0; 3];
                    link.stream.read_exact(&mut answer)?;
                    if &answer != b"ok\n" {
                        return Err(io::Error::other("what answers there is no barrier-peer"));
                    }
                    return Ok(link);
                }
                Err(err) => last = err,
            }
        }
        Err(last)
    }

    /// Tells that a record is durable.
    pub fn tell(&mut self, number: u64) -> io::Result<()> {
        self.stream
            .write_all(format!("{:016x} {number}\n", self.run).as_bytes())
    }
}

/// What the peer heard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Connections.
    pub links: u64,
    /// The highest number of each run.
    pub runs: BTreeMap<u64, u64>,
}

/// Listens until `cancel`, or until the first link ended with `once`. `told` is called when a
/// run begins and when its link ends.
pub fn serve(
    listener: &TcpListener,
    log: &mut File,
    once: bool,
    cancel: &Cancel,
    told: &mut dyn FnMut(&str),
) -> io::Result<Heard> {
    listener.set_nonblocking(true)?;
    let mut heard = Heard::default();
    while !cancel.stopped() {
        match listener.accept() {
            Ok((stream, from)) => {
                heard.links += 1;
                let ended = follow(&stream, log, cancel, &mut heard, told);
                if let Err(err) = ended {
                    told(&format!("{from}: {err}"));
                }
                if once {
                    break;
                }
            }
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(err) => return Err(err),
        }
    }
    Ok(heard)
}

fn follow(
    stream: &TcpStream,
    log: &mut File,
    cancel: &Cancel,
    heard: &mut Heard,
    told: &mut dyn FnMut(&str),
) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(WRITE_EVERY))?;
    let mut source = BufReader::new(stream);
    let mut text = Vec::new();
    let (mut run, mut highest, mut kept) = (None, 0, 0);
    let mut wrote = Instant::now();
    let result = loop {
        if cancel.stopped() {
            break Ok(());
        }
        let read = (&mut source)
            .take(MAX_LINE - text.len() as u64)
            .read_until(b'\n', &mut text);
        match read {
            Ok(0) => break Ok(()),
            Ok(_) if text.ends_with(b"\n") => {
                let Some((of, number)) = parse_tell(&text) else {
                    break Err(io::Error::other("is no recorder; the link is closed"));
                };
                text.clear();
                if run != Some(of) {
                    run = Some(of);
                    (&*stream).write_all(b"ok\n")?;
                    told(&format!("run {of:016x} begins"));
                }
                highest = number.max(highest);
            }
            Ok(_) if text.len() as u64 >= MAX_LINE => {
                break Err(io::Error::other("is no recorder; the link is closed"));
            }
            // The link was cut inside a line.
            Ok(_) => break Ok(()),
            Err(err)
                if matches!(
                    err.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                ) => {}
            // The other machine lost its power: that is what is waited for.
            Err(err) if err.kind() == io::ErrorKind::ConnectionReset => break Ok(()),
            Err(err) => break Err(err),
        }
        if highest > kept && wrote.elapsed() >= WRITE_EVERY {
            keep(log, run, highest)?;
            kept = highest;
            wrote = Instant::now();
        }
    };
    if highest > kept {
        keep(log, run, highest)?;
    }
    if let Some(run) = run {
        log.sync_data()?;
        let all = heard.runs.entry(run).or_default();
        *all = highest.max(*all);
        told(&format!(
            "run {run:016x} ended with {highest} acknowledged records"
        ));
    }
    result
}

fn keep(log: &mut File, run: Option<u64>, number: u64) -> io::Result<()> {
    match run {
        Some(run) => log.write_all(line(run, number).as_bytes()),
        None => Ok(()),
    }
}

fn parse_tell(bytes: &[u8]) -> Option<(u64, u64)> {
    let text = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?;
    let (run, number) = text.split_once(' ')?;
    let run = (run.len() == 16).then(|| u64::from_str_radix(run, 16).ok())??;
    Some((run, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peer_keeps_the_highest_number_through_a_cut_link() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut log = tempfile::tempfile().unwrap();
        let mut copy = log.try_clone().unwrap();
        let peer = std::thread::spawn(move || {
            serve(&listener, &mut copy, true, &Cancel::default(), &mut |_| {}).unwrap()
        });
        let mut link = Link::open(&address, 0xabc, Duration::from_secs(5)).unwrap();
        for number in 1..=500 {
            link.tell(number).unwrap();
        }
        link.stream.write_all(b"0000000000000abc 9999").unwrap();
        drop(link);
        let heard = peer.join().unwrap();
        assert_eq!(heard.runs, BTreeMap::from([(0xabc, 500)]));
        io::Seek::rewind(&mut log).unwrap();
        assert_eq!(read_log(&log).unwrap(), (BTreeMap::from([(0xabc, 500)]), 0));
    }

    #[test]
    fn strangers_are_shown_the_door() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let peer = std::thread::spawn(move || {
            let mut log = tempfile::tempfile().unwrap();
            let mut said = Vec::new();
            let heard = serve(&listener, &mut log, true, &Cancel::default(), &mut |text| {
                said.push(text.to_owned())
            })
            .unwrap();
            (heard.runs, said)
        });
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        let (runs, said) = peer.join().unwrap();
        assert!(
            runs.is_empty() && said[0].contains("is no recorder"),
            "{said:?}"
        );
    }

    #[test]
    fn a_log_survives_torn_and_foreign_lines() {
        let mut text = line(1, 10) + &line(1, 30) + &line(2, 5) + "nonsense\n";
        text.push_str(&line(1, 99).replace("99", "98"));
        text.push_str(line(1, 40).trim_end());
        let (runs, bad) = read_log(text.as_bytes()).unwrap();
        assert_eq!((runs, bad), (BTreeMap::from([(1, 30), (2, 5)]), 3));
    }
}
