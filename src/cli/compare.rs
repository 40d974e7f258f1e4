//! `compare A B`: before and after, with the spread taken into account.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::bench::collect;
use crate::bundle;
use crate::error::Error;
use crate::evidence::EvidenceSet;
use crate::exit::Exit;
use crate::formats::bench::disk::{DiskBench, FORMAT, VERSION};
use crate::render;
use crate::report::compare::compare;

use super::common::{FailOn, Format, Session};

/// What a result says it is.
#[derive(serde::Deserialize)]
struct Named {
    format: String,
}

/// Most bytes of a result.
const MAX_BYTES: u64 = 256 << 20;

/// Arguments of `compare`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  etcd-doctor bench disk --dir /data --save before.json   (change something)
  etcd-doctor bench disk --dir /data --save after.json
  etcd-doctor compare before.json after.json --fail-on worse")]
pub struct Args {
    /// Before: a result of `bench disk --format json`, or a saved bundle
    #[arg(value_name = "A")]
    pub a: PathBuf,
    /// After
    #[arg(value_name = "B")]
    pub b: PathBuf,
}

/// Runs the command.
pub(super) fn run(args: &Args, session: &mut Session<'_>) -> Result<Exit, Error> {
    let (a, b) = (read(&args.a)?, read(&args.b)?);
    let names = [&args.a, &args.b].map(|path| path.display().to_string());
    let comparison = compare(names, &a, &b);
    if comparison.is_empty() {
        return Err(Error::Nothing {
            what: "neither side holds rounds of a bench".to_owned(),
            hint: "compare results of `bench disk`: --save FILE, or --format json".to_owned(),
        });
    }
    match session.format {
        Format::Json => session.json(&comparison)?,
        Format::Table => render::compared(session.out, session.terminal, &comparison)?,
    }
    Ok(if session.fail_on == FailOn::Worse && comparison.worse() {
        Exit::Findings
    } else {
        Exit::Clean
    })
}

/// The readings of one side.
fn read(path: &Path) -> Result<EvidenceSet, Error> {
    let unreadable = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let wrong = |why: String| Error::Format {
        path: path.to_owned(),
        why,
    };
    #[expect(clippy::disallowed_methods, reason = "the user named this file")]
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(wrong("too large for a result".to_owned()));
    }
    // Other programs may have put the fields in another order.
    let named = serde_json::from_slice::<Named>(&bytes);
    if !named.is_ok_and(|named| named.format == FORMAT) {
        return match bundle::load(bytes.as_slice()) {
            Ok(bundle) => Ok(bundle.evidence),
            Err(why) => Err(wrong(format!(
                "neither a result of `bench disk` nor a saved bundle ({why})"
            ))),
        };
    }
    let result: DiskBench = serde_json::from_slice(&bytes).map_err(|err| wrong(err.to_string()))?;
    if result.version > VERSION {
        return Err(wrong(format!(
            "saved by a newer release (format version {})",
            result.version
        )));
    }
    Ok(collect::disk(&result))
}
