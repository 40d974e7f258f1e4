//! What ends a program without a message of its own in the catalogue: lines of the level fatal or
//! panic and dumps of Go's runtime, told apart by what they say of etcd's storage.

use memchr::memmem;

use crate::logs::record::{Encoding, Level, Record};

use super::dispatch::{FIND_LIMIT, raw_fields};
use super::origin;

/// What an etcd server says when its storage fails it: the kind, how its message begins, and what
/// stands in the message or in its fields. The first that fits counts.
const STORAGE: &[(&str, &[u8], &[u8])] = &[
    (DAMAGE, b"", b"wal: crc mismatch"),
    (DAMAGE, b"", b"walpb: crc mismatch"),
    (DAMAGE, b"", b"snap: crc mismatch"),
    (DIFFERS, b"", b"data inconsistency with peers"),
    (DIFFERS, b"", b"failed data inconsistency check"),
    (DAMAGE, b"failed to read WAL, cannot be repaired", b""),
    (DAMAGE, b"read wal error (", b") and cannot be repaired"),
    (DAMAGE, b"failed to open database", b"checksum error"),
    (DAMAGE, b"failed to open database", b"invalid database"),
    (DAMAGE, b"cannot open database at ", b"checksum error"),
    (DAMAGE, b"cannot open database at ", b"invalid database"),
    (DAMAGE, b"", b"snap: snapshot file doesn't exist"),
    (
        DAMAGE,
        b"recovering backend from snapshot error",
        b"snapshot file doesn't exist",
    ),
    // bbolt gives a page back twice, or one of its two heads (bbolt: freelist.go, Free).
    (DAMAGE, b"page ", b" already freed"),
    (DAMAGE, b"cannot free page 0 or 1", b""),
    // The database was not written as far as the snapshot beside it (etcd up to 3.2: etcdserver/server.go).
    (
        DAMAGE,
        b"database file (",
        b") does not match with snapshot (index ",
    ),
    // A record that is longer than what is left of its file: that was cut short, mostly by a full disk
    // (etcd: wal/decoder.go).
    (DAMAGE, b"", b"wal: max entry size limit exceeded"),
    (DAMAGE, b"open wal error: ", b"wal: file not found"),
    (DAMAGE, b"failed to open WAL", b"wal: file not found"),
    (DAMAGE, b"open wal error: ", b"wal: snapshot "),
    (DAMAGE, b"failed to open WAL", b"wal: snapshot "),
    // raft's log is shorter than what it has promised: writes that were synced are gone (etcd:
    // raft/log.go, raft/raft.go).
    (DAMAGE, b"tocommit(", b") is out of range [lastIndex("),
    (DAMAGE, b"applied(", b") is out of range [prevApplied("),
    (DAMAGE, b"slice[", b") out of bound ["),
    (DAMAGE, b"", b" state.commit "),
    (EMPTIED, b"", b" has already been bootstrapped"),
];

/// What the file system answers when it fails, at the end of an error: mostly after a colon, in some
/// messages of etcd in brackets. `EUCLEAN` is a damaged XFS or ext4 (Linux: errno.h, 117).
const REFUSED: &[(&str, &[u8])] = &[
    (IO_ERROR, b": input/output error"),
    (IO_ERROR, b"(input/output error)"),
    (IO_ERROR, b"read-only file system"),
    (IO_ERROR, b"structure needs cleaning"),
    (DISK_FULL, b"no space left on device"),
];

/// How the messages begin with which etcd up to 3.4 ends, and what stands in them: with its own
/// journald writer a plain journal shows neither time nor level (etcd: etcdserver/storage.go,
/// etcdserver/server.go, etcdserver/raft.go, etcdmain/etcd.go: `Fatalf`, `Panicf`).
const ENDS: &[(&[u8], &[u8])] = &[
    (b"member ", b" has already been bootstrapped"),
    (b"listen tcp ", b": bind: "),
    (b"error validating peerURLs ", b""),
    (b"cannot fetch cluster info from peer urls: ", b""),
    (b"cluster cannot be downgraded (current version: ", b""),
    (b"open ", b": no such file or directory"),
    (b"open ", b": permission denied"),
    (b"create wal error: ", b""),
    (b"open wal error: ", b""),
    (b"read wal error (", b""),
    (b"create snapshot directory error: ", b""),
    (b"cannot access data directory: ", b""),
    (b"raft save state and entries error: ", b""),
    (b"save raft state and entries error: ", b""),
    (b"save snapshot error: ", b""),
    (b"recovering backend from snapshot error: ", b""),
];

/// How the messages begin with which etcd ends in order, for a reason of its own, and what stands in
/// them: it checked something at its start and gave up (etcd: etcdmain/etcd.go, membership/cluster.go,
/// embed/etcd.go). No state of it is in doubt.
const ORDERLY: &[(&[u8], &[u8])] = &[
    (b"invalid downgrade; server version is ", b""),
    (b"cluster cannot be downgraded (current version: ", b""),
    (b"discovery failed", b""),
    (b"file descriptor limit", b" of etcd process is too low"),
    (b"listen tcp ", b": bind: "),
    (b"error validating peerURLs ", b""),
    (b"cannot fetch cluster info from peer urls: ", b""),
    (b"cannot access data directory: ", b""),
];

const DISK_FULL: &str = "disk-full";
const IO_ERROR: &str = "storage-io-error";
const DAMAGE: &str = "storage-damaged";
const DIFFERS: &str = "corruption-detected";
/// The others know the member as one that has data, and it has none (etcd: etcdserver/bootstrap.go).
const EMPTIED: &str = "member-bootstrapped";

/// How a dump of Go's runtime begins that no message precedes.
const HEADS: &[&[u8]] = &[
    FAULT,
    b"[signal SIG",
    b"SIGABRT: ",
    b"SIGBUS: ",
    b"SIGQUIT: ",
    b"SIGSEGV: ",
];

/// Memory that a file is mapped to, or that never was any.
const FAULT: &[u8] = b"unexpected fault address ";

/// Whether a record that nothing else in the catalogue knows may tell of its program's end or of its
/// storage.
pub(super) fn may_tell(record: &Record<'_>) -> bool {
    record.level >= Level::Warn || is_native(record)
}

/// Whether it is a message of etcd's own journald writer without the fields that name its level.
pub(super) fn is_native(record: &Record<'_>) -> bool {
    record.encoding == Encoding::Capnslog && record.level == Level::Unknown
}

/// The kind of a record that nothing else in the catalogue knows, if it ends its program or tells of
/// etcd's storage.
pub(super) fn unknown(record: &Record<'_>) -> Option<&'static str> {
    let of_etcd = matches!(
        record.encoding,
        Encoding::ZapJson | Encoding::ZapConsole | Encoding::Capnslog
    );
    if record.level == Level::Warn {
        // Of a warning only what the file system said counts, and only an etcd server's: another
        // program warns of other files.
        let server = of_etcd && origin::is_etcd(record);
        return server.then(|| refused(record)).flatten();
    }
    let fields = raw_fields(record);
    if of_etcd && let Some(kind) = refused(record).or_else(|| storage(&record.msg, fields)) {
        return Some(kind);
    }
    let fatal = is_native(record) || record.level == Level::Fatal;
    if fatal && of_etcd && begins(ORDERLY, &record.msg) && origin::is_etcd(record) {
        return Some("fatal-exit");
    }
    if is_native(record) {
        return begins(ENDS, &record.msg).then_some("panic");
    }
    // Of a line without a header, the level is its wrapper's: the kernel's are such.
    let tells_level = of_etcd || matches!(record.encoding, Encoding::Klog | Encoding::Logrus);
    if tells_level {
        return (record.level == Level::Fatal).then_some("panic");
    }
    let head = HEADS.iter().any(|head| record.msg.starts_with(head));
    let is_dump = record.encoding == Encoding::Bare && head;
    is_dump.then(|| dump(record).unwrap_or("panic"))
}

/// Whether a message is one of those with which etcd ends.
fn begins(these: &[(&[u8], &[u8])], msg: &[u8]) -> bool {
    these
        .iter()
        .any(|(begin, part)| msg.starts_with(begin) && memmem::find(msg, part).is_some())
}

/// What the file system said to whoever wrote a record.
fn refused(record: &Record<'_>) -> Option<&'static str> {
    let texts = [&record.msg, raw_fields(record)];
    let has = |part: &[u8]| {
        let mut texts = texts.iter();
        texts.any(|text| memmem::find(text.get(..FIND_LIMIT).unwrap_or(text), part).is_some())
    };
    let (kind, _) = REFUSED.iter().find(|(_, part)| has(part))?;
    Some(kind)
}

/// What a dump says of etcd's storage.
pub(super) fn dump(record: &Record<'_>) -> Option<&'static str> {
    if record.encoding != Encoding::Bare {
        return None;
    }
    if let Some(text) = record.msg.strip_prefix(b"panic: ") {
        let line = text.split(|b| *b == b'\n').next().unwrap_or_default();
        // Any program can fail to write; what is damaged is named by etcd alone.
        return storage(line, b"").filter(|kind| *kind == DAMAGE);
    }
    is_mapped_read(&record.msg).then_some(IO_ERROR)
}

/// Whether a page of a bbolt file could not be read. The file is mapped, so the kernel tells an
/// error of the disk, or that the file ends before the page, by a signal only.
fn is_mapped_read(text: &[u8]) -> bool {
    let text = text.get(..FIND_LIMIT).unwrap_or(text);
    let has = |part: &[u8]| memmem::find(text, part).is_some();
    // containerd has a bbolt file, too.
    has(b"SIGBUS: ") && (has(b"/bbolt") || has(b"boltdb/bolt")) && !has(b"containerd")
}

/// The signal that a fault's dump names: `SIGBUS: bus error code=0x2 addr=0x7f3a457f3008`.
pub(super) fn signal(msg: &[u8]) -> Option<&[u8]> {
    if !msg.starts_with(FAULT) && !msg.starts_with(b"fatal error: fault") {
        return None;
    }
    const OPEN: &[u8] = b"\n[signal ";
    let rest = msg.get(memmem::find(msg, OPEN)? + OPEN.len()..)?;
    rest.get(..memchr::memchr(b']', rest)?)
}

/// What a text and fields say of etcd's storage.
fn storage(msg: &[u8], fields: &[u8]) -> Option<&'static str> {
    let has = |text: &[u8], part: &[u8]| {
        memmem::find(text.get(..FIND_LIMIT).unwrap_or(text), part).is_some()
    };
    let (kind, ..) = STORAGE
        .iter()
        .find(|(_, begin, part)| msg.starts_with(begin) && (has(msg, part) || has(fields, part)))?;
    Some(kind)
}
