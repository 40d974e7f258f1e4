//! Certificates as far as a diagnosis needs them: who, issued by whom, for which names, until when.
//!
//! Reads the few fields of RFC 5280 that tell a person why a handshake failed. It verifies
//! nothing: trust is decided by the TLS library.

use crate::clock::Timestamp;

/// What is read of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Common name of the subject, empty when it has none.
    pub subject: String,
    /// Common name of the issuer, empty when it has none.
    pub issuer: String,
    /// First moment of validity.
    pub not_before: Timestamp,
    /// Last moment of validity.
    pub not_after: Timestamp,
    /// DNS names and addresses of the subject alternative name extension.
    pub names: Vec<String>,
    /// Extended key usages: `server`, `client`; `None` without the extension, which allows all.
    pub usages: Option<Vec<&'static str>>,
}

impl Certificate {
    /// Reads one certificate in DER form.
    pub fn parse(der: &[u8]) -> Option<Self> {
        let mut outer = Der(der);
        let mut certificate = Der(outer.expect(SEQUENCE)?);
        let mut tbs = Der(certificate.expect(SEQUENCE)?);
        let (mut tag, mut body) = tbs.next()?;
        if tag == 0xa0 {
            // The version; the serial number follows.
            (tag, body) = tbs.next()?;
        }
        if tag != INTEGER || body.is_empty() {
            return None;
        }
        tbs.expect(SEQUENCE)?;
        let issuer = common_name(tbs.expect(SEQUENCE)?);
        let mut validity = Der(tbs.expect(SEQUENCE)?);
        let not_before = time(validity.next()?)?;
        let not_after = time(validity.next()?)?;
        let subject = common_name(tbs.expect(SEQUENCE)?);
        tbs.expect(SEQUENCE)?;
        let mut found = Certificate {
            subject,
            issuer,
            not_before,
            not_after,
            names: Vec::new(),
            usages: None,
        };
        while let Some((tag, body)) = tbs.next() {
            if tag == 0xa3 {
                found.extensions(body);
            }
        }
        Some(found)
    }

    /// Reads all certificates of a PEM text, in their order.
    pub fn of_pem(pem: &[u8]) -> Vec<Self> {
        blocks(pem, "CERTIFICATE")
            .iter()
            .filter_map(|der| Certificate::parse(der))
            .collect()
    }

    /// What is wrong with its validity at a moment, in words.
    pub fn trouble_at(&self, now: Timestamp) -> Option<String> {
        if now > self.not_after {
            Some(format!("expired on {}", minute(self.not_after)))
        } else if now < self.not_before {
            Some(format!("is not valid before {}", minute(self.not_before)))
        } else {
            None
        }
    }

    fn extensions(&mut self, body: &[u8]) {
        let Some(list) = Der(body).expect(SEQUENCE) else {
            return;
        };
        let mut list = Der(list);
        while let Some((SEQUENCE, extension)) = list.next() {
            let mut fields = Der(extension);
            let Some((OID, id)) = fields.next() else {
                continue;
            };
            // An optional BOOLEAN `critical` stands before the value.
            let value = loop {
                match fields.next() {
                    Some((OCTETS, value)) => break value,
                    Some(_) => {}
                    None => break &[],
                }
            };
            match id {
                // 2.5.29.17 subjectAltName
                [0x55, 0x1d, 0x11] => self.alternative_names(value),
                // 2.5.29.37 extKeyUsage
                [0x55, 0x1d, 0x25] => {
                    let mut usages = Vec::new();
                    let mut ids = Der(Der(value).expect(SEQUENCE).unwrap_or_default());
                    while let Some((OID, usage)) = ids.next() {
                        match usage {
                            // 1.3.6.1.5.5.7.3.1 and .2
                            [0x2b, 6, 1, 5, 5, 7, 3, 1] => usages.push("server"),
                            [0x2b, 6, 1, 5, 5, 7, 3, 2] => usages.push("client"),
                            _ => {}
                        }
                    }
                    self.usages = Some(usages);
                }
                _ => {}
            }
        }
    }

    fn alternative_names(&mut self, value: &[u8]) {
        let mut names = Der(Der(value).expect(SEQUENCE).unwrap_or_default());
        while let Some((tag, body)) = names.next() {
            match (tag, body.len()) {
                (0x82, _) => self.names.push(String::from_utf8_lossy(body).into_owned()),
                (0x87, 4) => {
                    if let Ok(octets) = <[u8; 4]>::try_from(body) {
                        self.names
                            .push(std::net::Ipv4Addr::from(octets).to_string());
                    }
                }
                (0x87, 16) => {
                    if let Ok(octets) = <[u8; 16]>::try_from(body) {
                        self.names
                            .push(std::net::Ipv6Addr::from(octets).to_string());
                    }
                }
                _ => {}
            }
        }
    }
}

/// A time for people, to the minute.
pub fn minute(at: Timestamp) -> String {
    let text = at.to_string();
    match (text.get(..10), text.get(11..16)) {
        (Some(day), Some(time)) => format!("{day} {time} UTC"),
        _ => text,
    }
}

const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const OID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// A cursor over DER values.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next tag and its content.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (tag, rest) = self.0.split_first()?;
        let (first, mut rest) = rest.split_first()?;
        let mut length = usize::from(*first);
        if length >= 0x80 {
            let bytes = length & 0x7f;
            // The indefinite form is no DER; more than four bytes are no certificate.
            if bytes == 0 || bytes > 4 {
                return None;
            }
            let (digits, after) = rest.split_at_checked(bytes)?;
            length = digits
                .iter()
                .fold(0, |sum, digit| sum << 8 | usize::from(*digit));
            rest = after;
        }
        let (body, after) = rest.split_at_checked(length)?;
        self.0 = after;
        Some((*tag, body))
    }

    fn expect(&mut self, wanted: u8) -> Option<&'a [u8]> {
        self.next()
            .filter(|(tag, _)| *tag == wanted)
            .map(|(_, body)| body)
    }
}

/// The common name (2.5.4.3) of a name.
fn common_name(name: &[u8]) -> String {
    let mut sets = Der(name);
    while let Some((SET, set)) = sets.next() {
        let mut attributes = Der(set);
        while let Some((SEQUENCE, attribute)) = attributes.next() {
            let mut fields = Der(attribute);
            if fields.expect(OID) == Some(&[0x55, 0x04, 0x03])
                && let Some((_, value)) = fields.next()
            {
                return String::from_utf8_lossy(value).into_owned();
            }
        }
    }
    String::new()
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`.
fn time((tag, body): (u8, &[u8])) -> Option<Timestamp> {
    let text = std::str::from_utf8(body).ok()?.strip_suffix('Z')?;
    let text = match tag {
        // RFC 5280, 4.1.2.5.1: years from 50 on are of the last century.
        UTC_TIME if text.as_bytes().first()? >= &b'5' => format!("19{text}"),
        UTC_TIME => format!("20{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    if text.len() != 14 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let part = |from: usize, to: usize| text.get(from..to);
    Timestamp::parse(&format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0, 4)?,
        part(4, 6)?,
        part(6, 8)?,
        part(8, 10)?,
        part(10, 12)?,
        part(12, 14)?
    ))
}

/// The contents of all PEM blocks with a label.
pub fn blocks(pem: &[u8], label: &str) -> Vec<Vec<u8>> {
    let text = String::from_utf8_lossy(pem);
    let (begin, end) = (
        format!("-----BEGIN {label}-----"),
        format!("-----END {label}-----"),
    );
    let mut found = Vec::new();
    let mut inside: Option<String> = None;
    for line in text.lines().map(str::trim) {
        if line == begin {
            inside = Some(String::new());
        } else if line == end {
            if let Some(der) = inside.take().and_then(|text| base64(&text)) {
                found.push(der);
            }
        } else if let Some(text) = &mut inside {
            text.push_str(line);
        }
    }
    found
}

fn base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut sum, mut bits) = (0_u32, 0);
    for digit in text.bytes().take_while(|b| *b != b'=') {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        sum = sum << 6 | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the lowest eight bits are meant"
            )]
            bytes.push((sum >> bits) as u8);
            sum &= (1 << bits) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, date_time_ymd};

    fn pem(change: impl FnOnce(&mut CertificateParams)) -> String {
        let mut params = CertificateParams::new(vec![
            "localhost".to_owned(),
            "127.0.0.1".to_owned(),
            "::1".to_owned(),
        ])
        .unwrap();
        params.distinguished_name.push(DnType::CommonName, "cp-1");
        params.not_before = date_time_ymd(2025, 1, 2);
        params.not_after = date_time_ymd(2026, 3, 4);
        change(&mut params);
        params
            .self_signed(&KeyPair::generate().unwrap())
            .unwrap()
            .pem()
    }

    #[test]
    fn a_certificate_says_who_it_is_for_and_until_when() {
        let text = pem(|params| {
            params.extended_key_usages = vec![
                ExtendedKeyUsagePurpose::ServerAuth,
                ExtendedKeyUsagePurpose::ClientAuth,
            ];
        });
        let found = Certificate::of_pem(format!("{text}junk\n{text}").as_bytes());
        assert_eq!(found.len(), 2);
        let one = &found[0];
        assert_eq!(
            (one.subject.as_str(), one.issuer.as_str()),
            ("cp-1", "cp-1")
        );
        assert_eq!(one.names, ["localhost", "127.0.0.1", "::1"]);
        assert_eq!(one.usages, Some(vec!["server", "client"]));
        let at = |text: &str| Timestamp::parse(text).unwrap();
        assert_eq!(one.not_before, at("2025-01-02T00:00:00Z"));
        assert_eq!(one.trouble_at(at("2025-06-01T00:00:00Z")), None);
        assert!(
            one.trouble_at(at("2026-06-01T00:00:00Z"))
                .unwrap()
                .starts_with("expired on 2026-03-04 00:00 UTC")
        );
        assert!(
            one.trouble_at(at("2024-06-01T00:00:00Z"))
                .unwrap()
                .contains("not valid before")
        );
    }

    #[test]
    fn what_is_no_certificate_gives_none() {
        assert_eq!(
            Certificate::of_pem(b"-----BEGIN CERTIFICATE-----\nAAAA\n"),
            []
        );
        assert_eq!(
            Certificate::of_pem(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            []
        );
        assert_eq!(
            Certificate::of_pem(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
            []
        );
    }

    proptest::proptest! {
        #[test]
        fn never_panics(bytes: Vec<u8>) {
            Certificate::parse(&bytes);
            Certificate::of_pem(&bytes);
        }

        #[test]
        fn a_torn_certificate_never_panics(cut in 0_usize..600, at in 0_usize..600, to: u8) {
            let mut der = blocks(pem(|_| {}).as_bytes(), "CERTIFICATE").remove(0);
            der.truncate(cut);
            if let Some(byte) = der.get_mut(at) {
                *byte = to;
            }
            Certificate::parse(&der);
        }
    }
}
