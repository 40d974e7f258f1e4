//! Why etcd turned connections away. The error's text is read and not kept: it may name addresses.

use serde::{Deserialize, Serialize};

/// Connections that were turned away, by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rejections {
    /// A certificate has expired or is not valid yet.
    pub expired: u64,
    /// A certificate is of an authority that is not known.
    pub unknown_authority: u64,
    /// A certificate is not accepted for another reason: its names, its use, its key.
    pub bad_certificate: u64,
    /// Of these three, those between members.
    pub peer_certificates: u64,
    /// etcd may open no more files.
    pub open_files: u64,
}

impl Rejections {
    /// Counts one kind of line by its message and error.
    pub fn add(&mut self, message: &[u8], error: &str, repeats: u64) {
        let error = error.to_ascii_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| error.contains(word));
        // Go: crypto/tls/alert.go, crypto/x509/verify.go.
        let count = if says(&["too many open files"]) {
            self.open_files += repeats;
            return;
        } else if says(&["expired", "not yet valid"]) {
            &mut self.expired
        } else if says(&["unknown authority", "unknown certificate authority"]) {
            &mut self.unknown_authority
        } else if says(&[
            "bad certificate",
            "unknown certificate",
            "unsupported certificate",
            "revoked certificate",
            "failed to verify certificate",
            "x509:",
            // etcd's own check of a peer's name (etcd: pkg/transport/listener_tls.go).
            "does not match any of dnsnames",
        ]) {
            &mut self.bad_certificate
        } else {
            // Closed at once, plain text, no certificate: balancers, probes, scans.
            return;
        };
        *count += repeats;
        if message.ends_with(b"on peer endpoint") {
            self.peer_certificates += repeats;
        }
    }

    /// Adds another piece.
    pub fn merge(&mut self, other: &Rejections) {
        for ((_, mine), (_, theirs)) in self.columns_mut().into_iter().zip(other.columns()) {
            *mine += theirs;
        }
    }

    /// Whether none of these reasons was seen.
    pub fn is_empty(&self) -> bool {
        self.columns().iter().all(|(_, count)| *count == 0)
    }

    /// The counts with the names of their columns.
    pub fn columns(&self) -> [(&'static str, u64); 5] {
        [
            ("expired", self.expired),
            ("unknown_authority", self.unknown_authority),
            ("bad_certificate", self.bad_certificate),
            ("peer_certificates", self.peer_certificates),
            ("open_files", self.open_files),
        ]
    }

    fn columns_mut(&mut self) -> [(&'static str, &mut u64); 5] {
        [
            ("expired", &mut self.expired),
            ("unknown_authority", &mut self.unknown_authority),
            ("bad_certificate", &mut self.bad_certificate),
            ("peer_certificates", &mut self.peer_certificates),
            ("open_files", &mut self.open_files),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_as_go_words_them() {
        let of = |error: &str| {
            let mut found = Rejections::default();
            found.add(b"rejected connection on client endpoint", error, 1);
            found
                .columns()
                .iter()
                .find(|(_, count)| *count > 0)
                .map(|(name, _)| *name)
        };
        for (error, column) in [
            (
                "tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time 2026-11-20T10:00:00Z is after 2026-11-19T10:00:00Z",
                Some("expired"),
            ),
            ("remote error: tls: expired certificate", Some("expired")),
            (
                "tls: failed to verify certificate: x509: certificate signed by unknown authority",
                Some("unknown_authority"),
            ),
            (
                "remote error: tls: unknown certificate authority",
                Some("unknown_authority"),
            ),
            (
                r#"tls: "192.0.2.7" does not match any of DNSNames ["*.etcd.example"]"#,
                Some("bad_certificate"),
            ),
            (
                "remote error: tls: bad certificate",
                Some("bad_certificate"),
            ),
            (
                "x509: certificate is valid for 127.0.0.1, not 10.0.0.1",
                Some("bad_certificate"),
            ),
            (
                "accept tcp [::]:2379: accept4: too many open files",
                Some("open_files"),
            ),
            ("EOF", None),
            ("tls: first record does not look like a TLS handshake", None),
            ("tls: client didn't provide a certificate", None),
            ("read tcp 127.0.0.1:2379: connection reset by peer", None),
        ] {
            assert_eq!(of(error), column, "{error}");
        }
    }

    #[test]
    fn peers_are_told_apart() {
        let mut found = Rejections::default();
        found.add(
            b"rejected connection on peer endpoint",
            "remote error: tls: bad certificate",
            2,
        );
        found.add(
            b"rejected connection",
            "remote error: tls: bad certificate",
            1,
        );
        let mut twice = found.clone();
        twice.merge(&found);
        assert_eq!((twice.bad_certificate, twice.peer_certificates), (6, 4));
    }
}
