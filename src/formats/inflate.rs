//! The only way to compressed bytes: gzip and zstd chosen by their magic, with a limit on what
//! comes out.
//!
//! A log of 200 MiB may hold 40 GiB, so sizes alone say nothing about an attack. A bomb shows in
//! its ratio: deflate cannot do better than 1032:1, real logs reach 10:1 to 60:1, and a log of one
//! repeated line about 1000:1 (zstd far more). So the ratio is looked at only once a lot came out.

use std::io::{self, BufRead, BufReader, Read};

/// What a file's first bytes say about its compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// RFC 1952, any number of members.
    Gzip,
    /// RFC 8878, any number of frames.
    Zstd,
}

impl Compression {
    /// From the first four bytes.
    pub fn detect(head: &[u8]) -> Option<Self> {
        match head {
            [0x1f, 0x8b, ..] => Some(Compression::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Compression::Zstd),
            // A skippable frame, as pzstd writes first: magic 0x184D2A5?, RFC 8878, 3.1.2.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Compression::Zstd),
            _ => None,
        }
    }
}

/// How much may come out of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes in all.
    pub bytes: u64,
    /// Highest ratio of output to input, looked at once [`Limits::ratio_from`] bytes came out.
    pub ratio: u64,
    /// How much may come out at any ratio.
    pub ratio_from: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            bytes: 64 << 30,
            // Above what deflate can reach (1032:1), so that only zstd and nested tricks meet it.
            ratio: 1100,
            ratio_from: 1 << 30,
        }
    }
}

/// Counts what was read from the compressed side.
#[derive(Debug)]
struct Counted<R> {
    inner: R,
    count: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.inner.read(buf)?;
        self.count += len as u64;
        Ok(len)
    }
}

type Source<R> = BufReader<Counted<R>>;

#[expect(
    clippy::disallowed_types,
    reason = "this is the one place, and it caps them"
)]
enum Engine<R: Read> {
    Gzip(Box<flate2::bufread::GzDecoder<Source<R>>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, Source<R>>>),
    Plain(Box<Source<R>>),
    Done,
}

/// Reads what is inside, whatever it is. After an error, all that came out before it was given.
pub struct Inflate<R: Read> {
    engine: Engine<R>,
    compression: Option<Compression>,
    limits: Limits,
    out: u64,
    /// Input when the engine was put away.
    consumed: u64,
}

impl<R: Read> std::fmt::Debug for Inflate<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inflate")
            .field("compression", &self.compression)
            .field("out", &self.out)
            .finish_non_exhaustive()
    }
}

impl<R: Read> Inflate<R> {
    /// Looks at the first bytes and sets up.
    pub fn new(source: R, limits: Limits) -> io::Result<Self> {
        let mut source = BufReader::with_capacity(
            64 << 10,
            Counted {
                inner: source,
                count: 0,
            },
        );
        let compression = Compression::detect(source.fill_buf()?);
        let engine = match compression {
            Some(Compression::Gzip) => gzip(source),
            Some(Compression::Zstd) => zstd(source)?,
            None => Engine::Plain(Box::new(source)),
        };
        Ok(Inflate {
            engine,
            compression,
            limits,
            out: 0,
            consumed: 0,
        })
    }

    /// How it is compressed.
    pub fn compression(&self) -> Option<Compression> {
        self.compression
    }

    /// Bytes read from the source so far.
    pub fn bytes_in(&self) -> u64 {
        match &self.engine {
            Engine::Gzip(decoder) => decoder.get_ref().get_ref().count,
            Engine::Zstd(decoder) => decoder.get_ref().get_ref().count,
            Engine::Plain(source) => source.get_ref().count,
            Engine::Done => self.consumed,
        }
    }

    /// Bytes given out so far.
    pub fn bytes_out(&self) -> u64 {
        self.out
    }

    /// Goes on to the next gzip member; padding after the last one is passed over.
    fn next_member(&mut self) -> io::Result<bool> {
        let Engine::Gzip(decoder) = std::mem::replace(&mut self.engine, Engine::Done) else {
            return Ok(false);
        };
        let mut source = decoder.into_inner();
        loop {
            let ahead = source.fill_buf()?;
            if ahead.is_empty() {
                self.consumed = source.get_ref().count;
                return Ok(false);
            }
            // Tapes and some tools pad with zeros, which gzip(1) accepts in silence.
            let zeros = ahead.iter().take_while(|b| **b == 0).count();
            let left = ahead.len() - zeros;
            source.consume(zeros);
            if left > 0 {
                break;
            }
        }
        let ahead = source.fill_buf()?;
        let known = matches!(ahead, [0x1f] | [0x1f, 0x8b, ..]);
        if !known {
            self.consumed = source.get_ref().count;
            return Err(bad("gzip: trailing bytes that are no gzip member"));
        }
        self.engine = gzip(source);
        Ok(true)
    }

    fn check(&self) -> io::Result<()> {
        if self.out >= self.limits.bytes {
            let cap = crate::units::format_bytes(self.limits.bytes);
            return Err(bad(&format!("more than {cap} inside")));
        }
        let most = self.bytes_in().saturating_mul(self.limits.ratio);
        if self.out > self.limits.ratio_from && self.compression.is_some() && self.out > most {
            return Err(bad("it grows more than any log does"));
        }
        Ok(())
    }
}

impl<R: Read> Read for Inflate<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.check()?;
        let room = self.limits.bytes - self.out;
        let room = usize::try_from(room).unwrap_or(usize::MAX).min(buf.len());
        let buf = buf.get_mut(..room).unwrap_or_default();
        loop {
            let len = match &mut self.engine {
                Engine::Gzip(decoder) => decoder.read(buf),
                Engine::Zstd(decoder) => decoder.read(buf),
                Engine::Plain(source) => source.read(buf),
                Engine::Done => Ok(0),
            };
            match len {
                Ok(0) if matches!(self.engine, Engine::Gzip(_)) => {
                    if !self.next_member()? {
                        return Ok(0);
                    }
                }
                Ok(len) => {
                    self.out += len as u64;
                    return Ok(len);
                }
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => {
                    self.consumed = self.bytes_in();
                    self.engine = Engine::Done;
                    return Err(describe(self.compression, &err));
                }
            }
        }
    }
}

#[expect(
    clippy::disallowed_types,
    reason = "this is the one place, and it caps them"
)]
fn gzip<R: Read>(source: Source<R>) -> Engine<R> {
    Engine::Gzip(Box::new(flate2::bufread::GzDecoder::new(source)))
}

#[expect(
    clippy::disallowed_types,
    reason = "this is the one place, and it caps them"
)]
fn zstd<R: Read>(source: Source<R>) -> io::Result<Engine<R>> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(source)?;
    // 128 MiB, what `zstd --long` writes; more needs a flag of its own there too.
    decoder.window_log_max(27)?;
    Ok(Engine::Zstd(Box::new(decoder)))
}

fn bad(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

fn describe(compression: Option<Compression>, err: &io::Error) -> io::Error {
    let name = match compression {
        Some(Compression::Gzip) => "gzip",
        Some(Compression::Zstd) => "zstd",
        None => return io::Error::new(err.kind(), err.to_string()),
    };
    let what = match err.kind() {
        io::ErrorKind::UnexpectedEof => "ends in the middle".to_owned(),
        _ => format!("damaged: {err}"),
    };
    io::Error::new(err.kind(), format!("{name}: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn gz(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).expect("writes");
        encoder.finish().expect("finishes")
    }

    fn read(bytes: &[u8], limits: Limits) -> (Vec<u8>, Option<String>) {
        let mut out = Vec::new();
        let mut buf = [0; 1000];
        let mut inflate = match Inflate::new(bytes, limits) {
            Ok(inflate) => inflate,
            Err(err) => return (out, Some(err.to_string())),
        };
        loop {
            match inflate.read(&mut buf) {
                Ok(0) => return (out, None),
                Ok(len) => out.extend_from_slice(&buf[..len]),
                Err(err) => return (out, Some(err.to_string())),
            }
        }
    }

    #[test]
    fn members_frames_padding_and_plain_text() {
        let limits = Limits::default();
        let two = [gz(b"one\n"), gz(b"two\n"), vec![0; 5000]].concat();
        assert_eq!(read(&two, limits), (b"one\ntwo\n".to_vec(), None));
        let frames = [
            zstd::encode_all(&b"one\n"[..], 1).expect("encodes"),
            zstd::encode_all(&b"two\n"[..], 1).expect("encodes"),
        ]
        .concat();
        assert_eq!(read(&frames, limits), (b"one\ntwo\n".to_vec(), None));
        assert_eq!(read(b"plain", limits), (b"plain".to_vec(), None));
        assert_eq!(read(b"", limits), (Vec::new(), None));
    }

    #[test]
    fn what_came_out_before_the_damage_is_kept() {
        let text: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
        let whole = gz(&text);
        let (out, why) = read(&whole[..whole.len() / 2], Limits::default());
        assert!(out.len() > 100_000 && text.starts_with(&out));
        assert_eq!(why.as_deref(), Some("gzip: ends in the middle"));
        let mut wrong = gz(&text);
        let middle = wrong.len() / 2;
        wrong[middle] ^= 0xff;
        wrong[middle + 1] ^= 0xff;
        let (out, why) = read(&wrong, Limits::default());
        assert!(!out.is_empty() && why.is_some());
        let (out, why) = read(
            &[gz(b"one\n"), b"garbage".to_vec()].concat(),
            Limits::default(),
        );
        assert_eq!(out, b"one\n");
        assert!(why.is_some());
    }

    #[test]
    fn a_bomb_is_stopped() {
        let limits = Limits {
            bytes: 1 << 20,
            ratio: 1100,
            ratio_from: 1 << 30,
        };
        let (out, why) = read(&gz(&vec![0; 4 << 20]), limits);
        assert_eq!(out.len(), 1 << 20);
        assert!(why.is_some_and(|why| why.contains("more than")));
        let limits = Limits {
            bytes: 1 << 30,
            ratio: 100,
            ratio_from: 1 << 20,
        };
        let bomb = zstd::encode_all(&vec![0; 8 << 20][..], 1).expect("encodes");
        let (out, why) = read(&bomb, limits);
        assert!(out.len() < 2 << 20);
        assert!(why.is_some_and(|why| why.contains("grows")));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(mut bytes: Vec<u8>, magic in 0..3_usize) {
            let magics: [&[u8]; 3] = [b"\x1f\x8b\x08\0", b"\x28\xb5\x2f\xfd", b""];
            bytes.splice(0..0, magics[magic].iter().copied());
            let _ = read(&bytes, Limits::default());
        }
    }
}
