//! How to reach etcd: etcdctl's flags and variables, and with none of them the node's own etcd.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::catalog::settings::{Component, parse_list};
use crate::error::Error;
use crate::manifest::{self, ManifestModel, Unit};
use crate::target::HostRoot;
use crate::target::etcd::{
    ApiServerEtcd, Discovered, Endpoint, Identity, Known, LocalEtcd, Pem, User, credentials,
    discover,
};

/// How to reach etcd. Flags and variables are those of etcdctl.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Reaching etcd")]
pub struct EtcdArgs {
    /// Addresses of members, separated by commas; by default the node's own etcd
    #[arg(
        long,
        value_name = "URL,…",
        env = "ETCDCTL_ENDPOINTS",
        value_delimiter = ','
    )]
    pub endpoints: Vec<String>,
    /// Authorities to trust, PEM
    #[arg(long, value_name = "FILE", env = "ETCDCTL_CACERT")]
    pub cacert: Option<PathBuf>,
    /// Client certificate, PEM
    #[arg(long, value_name = "FILE", env = "ETCDCTL_CERT")]
    pub cert: Option<PathBuf>,
    /// Key of the client certificate, PEM
    #[arg(long, value_name = "FILE", env = "ETCDCTL_KEY")]
    pub key: Option<PathBuf>,
    /// User of etcd's authentication; the password is safer in ETCDCTL_USER or ETCDCTL_PASSWORD
    #[arg(
        long,
        value_name = "NAME[:PASSWORD]",
        env = "ETCDCTL_USER",
        hide_env_values = true
    )]
    pub user: Option<String>,
    /// Password of the user; without one it stands for nothing, as with etcdctl
    #[arg(
        long,
        value_name = "PASSWORD",
        env = "ETCDCTL_PASSWORD",
        hide_env_values = true
    )]
    pub password: Option<String>,
    /// Take any server certificate
    #[arg(long, env = "ETCDCTL_INSECURE_SKIP_TLS_VERIFY", value_parser = switch(), num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", hide_default_value = true, action = clap::ArgAction::Set)]
    pub insecure_skip_tls_verify: bool,
    /// Whether an address without a scheme and without certificates means plain text
    #[arg(long, env = "ETCDCTL_INSECURE_TRANSPORT", value_parser = switch(), num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true", action = clap::ArgAction::Set)]
    pub insecure_transport: bool,
    /// Longest time until a connection stands
    #[arg(long, value_name = "TIME", env = "ETCDCTL_DIAL_TIMEOUT", default_value = "2s", value_parser = super::metrics::parse_window)]
    pub dial_timeout: Duration,
    /// Longest time for one request
    #[arg(long, value_name = "TIME", env = "ETCDCTL_COMMAND_TIMEOUT", default_value = "5s", value_parser = super::metrics::parse_window)]
    pub command_timeout: Duration,
}

/// `true`, `1`, `false` and the like, as etcdctl's variables are written.
fn switch() -> clap::builder::BoolishValueParser {
    clap::builder::BoolishValueParser::new()
}

impl EtcdArgs {
    /// Whether the user said where etcd is.
    pub fn names_endpoints(&self) -> bool {
        self.endpoints.iter().any(|text| !text.trim().is_empty())
    }

    /// Endpoints and credentials: those given, and for what was not given the node's own.
    pub fn resolve(&self, root: &HostRoot) -> Result<Discovered, Error> {
        self.resolve_with(root, || known(&manifest::read_host(root)))
    }

    /// Like [`Self::resolve`], with the node's settings where they are read already.
    pub fn resolve_with(
        &self,
        root: &HostRoot,
        known: impl FnOnce() -> Known,
    ) -> Result<Discovered, Error> {
        if self.key.is_some() && self.cert.is_none() {
            return Err(Error::Usage("--key is of no use without --cert".to_owned()));
        }
        let given = self.cacert.is_some() || self.cert.is_some();
        let mut found = if self.names_endpoints() {
            let tls = given || !self.insecure_transport || self.insecure_skip_tls_verify;
            let endpoints = self
                .endpoints
                .iter()
                .filter(|text| !text.trim().is_empty())
                .map(|text| Endpoint::parse(text, tls))
                .collect::<Result<Vec<_>, _>>()
                .map_err(Error::Usage)?;
            let mut found = Discovered {
                how: vec!["addresses as given".to_owned()],
                ..Discovered::default()
            };
            // TLS without certificates: those of the node are worth a try.
            if !given && !self.insecure_skip_tls_verify && endpoints.iter().any(Endpoint::is_tls) {
                credentials(root, &known(), &mut found);
            }
            found.endpoints = endpoints;
            found
        } else {
            discover(root, &known())
        };
        let access = &mut found.access;
        if let Some(path) = &self.cacert {
            access.ca = Some(pem(path)?);
        }
        if let Some(cert) = &self.cert {
            access.identity = Some(Identity {
                cert: pem(cert)?,
                // One file often holds both.
                key: match &self.key {
                    Some(key) => pem(key)?,
                    None => key_within(pem(cert)?)?,
                },
            });
        }
        access.user = self.user()?;
        access.skip_verify = self.insecure_skip_tls_verify;
        access.dial_timeout = self.dial_timeout;
        access.command_timeout = self.command_timeout;
        Ok(found)
    }

    fn user(&self) -> Result<Option<User>, Error> {
        let Some(text) = self.user.as_ref().filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let (name, password) = match (text.split_once(':'), &self.password) {
            (_, Some(password)) => (text.clone(), password.clone()),
            (Some((name, password)), None) => (name.to_owned(), password.to_owned()),
            (None, None) => {
                return Err(Error::Usage(format!(
                    "the password of user `{text}` is missing: give ETCDCTL_PASSWORD, or --user NAME:PASSWORD"
                )));
            }
        };
        Ok(Some(User { name, password }))
    }
}

/// A certificate's file that holds its key too.
fn key_within(cert: Pem) -> Result<Pem, Error> {
    let mark = b"PRIVATE KEY-----";
    if memchr::memmem::find(&cert.bytes, mark).is_some() {
        return Ok(cert);
    }
    Err(Error::Usage(format!(
        "`{}` holds no private key: give --key (or ETCDCTL_KEY) beside --cert",
        cert.path
    )))
}

fn pem(path: &Path) -> Result<Pem, Error> {
    let read = || {
        #[expect(clippy::disallowed_methods, reason = "the user named this file")]
        let file = std::fs::File::open(path)?;
        let mut bytes = Vec::new();
        file.take(1 << 20).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    Ok(Pem {
        path: path.display().to_string(),
        bytes: read().map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })?,
    })
}

/// What the node's settings tell about its etcd.
pub(super) fn known(model: &ManifestModel) -> Known {
    let mut known = Known::default();
    for unit in manifest::settle_all(model) {
        let setting = |name: &str| {
            let value = unit.settled.settings.get(name)?.value.clone()?;
            (!value.is_empty()).then_some(value)
        };
        let list = |name: &str| -> Vec<String> {
            setting(name)
                .map(|value| parse_list(&value).into_iter().map(str::to_owned).collect())
                .unwrap_or_default()
        };
        match component(&unit) {
            Some(Component::Etcd) => known.etcds.push(LocalEtcd {
                name: unit.name.clone(),
                place: unit.main().place.to_string(),
                listen: list("listen-client-urls"),
                advertise: list("advertise-client-urls"),
                ca: setting("trusted-ca-file"),
                cert: setting("cert-file"),
                key: setting("key-file"),
            }),
            Some(Component::ApiServer) => known.apiservers.push(ApiServerEtcd {
                place: unit.main().place.to_string(),
                servers: list("etcd-servers"),
                ca: setting("etcd-cafile"),
                cert: setting("etcd-certfile"),
                key: setting("etcd-keyfile"),
            }),
            _ => {}
        }
    }
    known
}

fn component(unit: &Unit<'_>) -> Option<Component> {
    unit.main().component
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(Debug, clap::Parser)]
    struct Only {
        #[command(flatten)]
        etcd: EtcdArgs,
    }

    fn of(args: &[&str]) -> Result<Discovered, Error> {
        let only = Only::try_parse_from(std::iter::once(&"x").chain(args)).unwrap();
        let dir = tempfile::tempdir().unwrap();
        only.etcd
            .resolve_with(&HostRoot::new(dir.path()), Known::default)
    }

    #[test]
    fn addresses_as_etcdctl_takes_them() {
        let shown = |args: &[&str]| -> Vec<String> {
            of(args)
                .unwrap()
                .endpoints
                .iter()
                .map(Endpoint::to_string)
                .collect()
        };
        assert_eq!(
            shown(&["--endpoints", "10.0.0.1:2379,https://10.0.0.2:2379"]),
            ["http://10.0.0.1:2379", "https://10.0.0.2:2379"]
        );
        assert_eq!(
            shown(&["--endpoints=a:1", "--insecure-skip-tls-verify"]),
            ["https://a:1"]
        );
        assert_eq!(
            shown(&["--endpoints=a:1", "--insecure-transport=false"]),
            ["https://a:1"]
        );
        assert_eq!(shown(&[]), ["http://127.0.0.1:2379"]);
    }

    #[test]
    fn users_and_their_passwords() {
        let user =
            |args: &[&str]| of(args).map(|found| found.access.user.map(|u| (u.name, u.password)));
        let some = |name: &str, password: &str| Some((name.to_owned(), password.to_owned()));
        assert_eq!(user(&["--user=root:a:b"]).unwrap(), some("root", "a:b"));
        assert_eq!(
            user(&["--user=root", "--password=x"]).unwrap(),
            some("root", "x")
        );
        assert!(
            user(&["--user=root"])
                .unwrap_err()
                .to_string()
                .contains("ETCDCTL_PASSWORD")
        );
        // It may stand in the environment for other programs.
        assert_eq!(user(&["--password=x"]).unwrap(), None);
        assert!(of(&["--key=/x"]).is_err());
        let cert = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(cert.path(), "-----BEGIN CERTIFICATE-----\n").unwrap();
        let text = format!("--cert={}", cert.path().display());
        let err = of(&[text.as_str()]).unwrap_err().to_string();
        assert!(err.contains("give --key"), "{err}");
        assert!(matches!(
            of(&["--cacert=/no/such"]),
            Err(Error::Read { .. })
        ));
    }
}
