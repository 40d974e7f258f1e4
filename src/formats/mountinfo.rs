//! Mount tables: `/proc/PID/mountinfo` and, where only that was recorded, `/proc/mounts`.
//!
//! Written by hand, because one odd line must not lose the others: lines that make no sense are
//! counted in [`MountTable::unparsed`]. Source: `proc_pid_mountinfo(5)`.

/// Most mounts that are kept. Nodes with many pods have thousands.
const MAX_MOUNTS: usize = 65_536;

/// One mount.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mount {
    /// Major and minor number of the device; `None` from `/proc/mounts`, which lacks them.
    pub device: Option<(u32, u32)>,
    /// The folder inside the file system that is mounted here: `/` unless it is a bind mount.
    pub root: String,
    /// Where it is mounted.
    pub point: String,
    /// Options of this mount: `rw`, `noatime`.
    pub options: Vec<String>,
    /// The kind of file system, with its subtype: `ext4`, `fuse.sshfs`.
    pub fs: String,
    /// What is mounted: `/dev/sda1`, `tmpfs`, `server:/export`.
    pub source: String,
    /// Options of the file system itself: `nobarrier`, `data=journal`.
    pub super_options: Vec<String>,
}

impl Mount {
    /// Whether an option is set, at the mount or at the file system.
    pub fn has(&self, option: &str) -> bool {
        self.all_options().any(|have| have == option)
    }

    /// The value of an option such as `data=journal`.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.all_options()
            .find_map(|have| have.strip_prefix(name)?.strip_prefix('='))
    }

    /// Options of the mount, then those of the file system, each once.
    pub fn all_options(&self) -> impl Iterator<Item = &str> {
        self.options
            .iter()
            .chain(
                self.super_options
                    .iter()
                    .filter(|option| !self.options.contains(option)),
            )
            .map(String::as_str)
    }
}

/// A mount table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MountTable {
    /// The mounts, in the kernel's order.
    pub mounts: Vec<Mount>,
    /// Lines that made no sense or were over the bound.
    pub unparsed: u64,
    /// Of the lines of mounts among them: where each is mounted, where so much of it is left.
    pub torn: Vec<Option<String>>,
}

/// Most torn lines that are kept.
const MAX_TORN: usize = 1_024;

impl MountTable {
    /// The mount that holds a path: the longest mount point above it, the last one of several.
    pub fn of_path(&self, path: &str) -> Option<&Mount> {
        self.mounts
            .iter()
            .filter(|mount| below(&mount.point, path).is_some())
            // `max_by_key` gives the last of equals, which is the one mounted on top.
            .max_by_key(|mount| mount.point.trim_end_matches('/').len())
    }

    /// Whether a torn line may be the mount that holds a path, in place of the one that was found.
    pub fn may_hide(&self, path: &str) -> bool {
        let depth = |point: &str| point.trim_end_matches('/').len();
        let found = self.of_path(path);
        self.torn.iter().any(|torn| match torn {
            Some(point) => {
                below(point, path).is_some()
                    && found.is_none_or(|mount| depth(point) >= depth(&mount.point))
            }
            // Somewhere. Where a mount of the very path is known it is hardly one on top of that.
            None => found.is_none_or(|mount| mount.point != path),
        })
    }
}

/// What is left of `path` below `folder`, without a leading slash; `None` when it is elsewhere.
pub fn below<'a>(folder: &str, path: &'a str) -> Option<&'a str> {
    let folder = folder.trim_end_matches('/');
    let rest = path.strip_prefix(folder)?;
    if rest.is_empty() {
        return Some(rest);
    }
    rest.strip_prefix('/')
}

/// Reads `/proc/PID/mountinfo`.
pub fn parse_mountinfo(bytes: &[u8]) -> MountTable {
    parse(bytes, mountinfo_line)
}

/// Reads `/proc/mounts` (also `/etc/mtab`), which does not tell the two kinds of options apart.
pub fn parse_mounts(bytes: &[u8]) -> MountTable {
    parse(bytes, mounts_line)
}

fn parse(bytes: &[u8], line: fn(&str) -> Option<Mount>) -> MountTable {
    let mut table = MountTable::default();
    for text in String::from_utf8_lossy(bytes).lines() {
        if text.trim().is_empty() {
            continue;
        }
        match line(text).filter(|_| table.mounts.len() < MAX_MOUNTS) {
            Some(mount) => table.mounts.push(mount),
            None => {
                table.unparsed += 1;
                if table.torn.len() < MAX_TORN
                    && let Some(torn) = torn_line(text)
                {
                    table.torn.push(torn);
                }
            }
        }
    }
    table
}

fn mountinfo_line(line: &str) -> Option<Mount> {
    // `36 35 98:0 /root /point rw,noatime master:1 - ext3 /dev/root rw,errors=continue`
    let mut words = line.split(' ').filter(|word| !word.is_empty());
    let _id: u64 = words.next()?.parse().ok()?;
    let _parent: u64 = words.next()?.parse().ok()?;
    let (major, minor) = words.next()?.split_once(':')?;
    let device = (major.parse().ok()?, minor.parse().ok()?);
    let root = unescape(words.next()?);
    let point = unescape(words.next()?);
    let options = split_options(words.next()?);
    // Optional fields end with a lone dash.
    words.find(|word| *word == "-")?;
    let fs = words.next()?.to_owned();
    let source = unescape(words.next()?);
    let super_options = words.next().map(split_options).unwrap_or_default();
    Some(Mount {
        device: Some(device),
        root,
        point,
        options,
        fs,
        source,
        super_options,
    })
}

/// A line of `mountinfo` that is cut: where it is mounted, if the next word had begun. `None` of
/// what does not begin as such a line does.
fn torn_line(line: &str) -> Option<Option<String>> {
    let mut words = line.split(' ').filter(|word| !word.is_empty());
    let _id: u64 = words.next()?.parse().ok()?;
    let point = words.nth(3).map(unescape);
    Some(point.filter(|_| words.next().is_some()))
}

fn mounts_line(line: &str) -> Option<Mount> {
    let mut words = line.split_ascii_whitespace();
    let source = unescape(words.next()?);
    let point = unescape(words.next()?);
    let fs = words.next()?.to_owned();
    let super_options = split_options(words.next()?);
    point.starts_with('/').then_some(())?;
    Some(Mount {
        device: None,
        root: String::new(),
        point,
        options: Vec::new(),
        fs,
        source,
        super_options,
    })
}

/// Splits at commas outside of quotes: SELinux contexts (`context="u:r:t:s0:c1,c2"`) hold some.
fn split_options(text: &str) -> Vec<String> {
    let mut options = Vec::new();
    let mut quoted = false;
    let mut current = String::new();
    for c in text.chars() {
        match c {
            ',' if !quoted => options.push(std::mem::take(&mut current)),
            _ => {
                quoted ^= c == '"';
                current.push(c);
            }
        }
    }
    options.push(current);
    options.retain(|option| !option.is_empty());
    options.iter().map(|option| unescape(option)).collect()
}

/// Undoes the kernel's octal escapes of blank, tab, line feed, backslash and hash.
fn unescape(text: &str) -> String {
    if !text.contains('\\') {
        return text.to_owned();
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let octal = match (first, tail) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..]) => {
                Some((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'))
            }
            _ => None,
        };
        out.push(octal.unwrap_or(*first));
        rest = if octal.is_some() {
            tail.get(3..).unwrap_or_default()
        } else {
            tail
        };
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_line_may_hide_the_mount_that_is_looked_for() {
        let hides = |torn: &str, path: &str| {
            let text = format!("21 1 8:1 / / rw - xfs /dev/sda1 rw\n{torn}");
            let table = parse_mountinfo(text.as_bytes());
            assert_eq!(table.mounts.len(), 1, "{torn}");
            table.may_hide(path)
        };
        let data = "/var/lib/etcd";
        assert!(hides("60 21 259:1 / /var/lib/etcd rw,rel", data));
        assert!(hides("60 21 259:1 / /var/li", data), "cut in the path");
        assert!(hides("60 21", data));
        assert!(!hides("60 21 259:1 / /var/log rw,rel", data));
        assert!(!hides("# a remark", data) && !hides("", data));
        let known = parse_mountinfo(b"60 21 8:2 / /var/lib/etcd rw - ext4 /dev/sdb rw\n61 21");
        assert!(!known.may_hide(data));
        assert!(known.may_hide("/var/lib/etcd/member/wal"));
    }

    const TABLE: &[u8] = b"\
45 44 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
67 45 7:0 / /var/lib/etcd rw,relatime shared:3 master:1 - ext4 /dev/loop0 rw,nobarrier
70 45 0:40 / /mnt/a\\040b rw - tmpfs tmpfs rw,context=\"a:b:c0,c1\",size=4k
broken
71 45 7:1 / /var/lib/etcd rw - xfs /dev/loop1 rw
";

    #[test]
    fn mounts_with_options_and_escapes() {
        let table = parse_mountinfo(TABLE);
        assert_eq!(table.mounts.len(), 4);
        assert_eq!(table.unparsed, 1);
        let etcd = &table.mounts[1];
        assert_eq!(etcd.device, Some((7, 0)));
        assert!(etcd.has("nobarrier") && etcd.has("relatime") && !etcd.has("barrier"));
        assert_eq!(table.mounts[2].point, "/mnt/a b");
        assert_eq!(table.mounts[2].value("context"), Some("\"a:b:c0,c1\""));
        assert_eq!(table.mounts[2].value("size"), Some("4k"));
    }

    #[test]
    fn the_mount_on_top_of_the_longest_point_holds_a_path() {
        let table = parse_mountinfo(TABLE);
        assert_eq!(table.of_path("/var/lib/etcd/member/wal").unwrap().fs, "xfs");
        assert_eq!(
            table.of_path("/var/lib/etcd-events").unwrap().source,
            "/dev/vda"
        );
        assert_eq!(table.of_path("relative"), None);
        assert_eq!(below("/a", "/a"), Some(""));
        assert_eq!(below("/a/", "/a/b"), Some("b"));
        assert_eq!(below("/a", "/ab"), None);
        assert_eq!(below("/", "/ab"), Some("ab"));
    }

    #[test]
    fn mounts_of_the_short_form() {
        let table = parse_mounts(b"/dev/sda1 / ext4 rw,nobarrier 0 0\nnonsense\n");
        assert!(table.mounts[0].has("nobarrier"));
        assert_eq!(table.mounts[0].device, None);
        assert_eq!(table.unparsed, 1);
    }

    proptest::proptest! {
        #[test]
        fn every_line_is_kept_or_counted(bytes: Vec<u8>, cut in 0..TABLE.len()) {
            for bytes in [&bytes[..], &TABLE[..cut]] {
                let lines = String::from_utf8_lossy(bytes)
                    .lines()
                    .filter(|line| !line.trim().is_empty())
                    .count() as u64;
                for table in [parse_mountinfo(bytes), parse_mounts(bytes)] {
                    proptest::prop_assert_eq!(table.mounts.len() as u64 + table.unparsed, lines);
                    let _ = table.of_path("/var/lib/etcd");
                }
            }
        }
    }
}
