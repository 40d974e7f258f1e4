//! Credentials and limits of a connection. Whatever is secret stays out of `Debug`.

use std::fmt;
use std::time::Duration;

/// A PEM file with the name it was read under.
#[derive(Clone, PartialEq, Eq)]
pub struct Pem {
    /// The file, as shown to people.
    pub path: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pem({})", self.path)
    }
}

/// A client certificate with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The certificate and its chain.
    pub cert: Pem,
    /// Its key; may be the same file.
    pub key: Pem,
}

/// An etcd user.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "User({}, password hidden)", self.name)
    }
}

/// With what one talks to etcd, and how long one waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Authorities to trust; without them the system's.
    pub ca: Option<Pem>,
    /// Client certificate.
    pub identity: Option<Identity>,
    /// User of etcd's own authentication.
    pub user: Option<User>,
    /// Take any server certificate.
    pub skip_verify: bool,
    /// Longest time until a connection stands.
    pub dial_timeout: Duration,
    /// Longest time for one request.
    pub command_timeout: Duration,
}

impl Default for Access {
    fn default() -> Self {
        Access {
            ca: None,
            identity: None,
            user: None,
            skip_verify: false,
            // etcdctl's own defaults.
            dial_timeout: Duration::from_secs(2),
            command_timeout: Duration::from_secs(5),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let pem = |path: &str| Pem {
            path: path.to_owned(),
            bytes: b"hunter2".to_vec(),
        };
        let access = Access {
            ca: Some(pem("ca.crt")),
            identity: Some(Identity {
                cert: pem("a.crt"),
                key: pem("a.key"),
            }),
            user: Some(User {
                name: "root".to_owned(),
                password: "hunter2".to_owned(),
            }),
            ..Access::default()
        };
        let shown = format!("{access:?}");
        assert!(
            !shown.contains("hunter2") && !shown.contains("104, 117"),
            "{shown}"
        );
        assert!(shown.contains("a.key") && shown.contains("root"));
    }
}
