//! What a JSON object is that is not in etcd's own form: a record of zap, klog, logrus or the
//! audit log, or a wrapper that holds the line as a text.

mod audit;
mod journal;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::logs::needle;
use crate::logs::record::{Encoding, Fields, Level, TimeSource, Value, ValueKind};
use crate::logs::timestamp::TimeCache;

use super::json::{Completeness, JsonFields, completeness};
use super::pods::Place;
use super::{Parsed, level_word};
use journal::{is_row, journal, time_of};

pub use audit::{audit, begins_batch, usual_audit};
pub use journal::line_of;

/// What an object turned out to be.
#[derive(Debug)]
pub enum Object<'a> {
    /// A record.
    Record(Parsed<'a>),
    /// A wrapper around a line.
    Wrapper(Wrapped<'a>),
    /// Neither.
    Unknown,
}

/// A line inside a JSON object.
#[derive(Debug)]
pub struct Wrapped<'a> {
    /// The line, still escaped; an object or array where the shipper parsed it already.
    pub text: Value<'a>,
    /// When the wrapper got it.
    pub time: Option<Timestamp>,
    /// Who wrote it.
    pub ident: Option<&'a [u8]>,
    /// Where.
    pub host: Option<&'a [u8]>,
    /// The pod and its container, where a shipper adds them.
    pub place: Place<'a>,
    /// Severity as the wrapper knows it.
    pub level: Level,
    /// capnslog's package, in the journal's field.
    pub package: &'a [u8],
    /// The output stream of Docker's json-file, which alone splits lines.
    pub docker: Option<Stream>,
    /// Whether it is a journal entry, whose text needs no header to be a record.
    pub journal: bool,
    /// Whether etcd's own journald writer made it.
    pub unsampled: bool,
    /// The source file of a klog record whose header the exporter took away; else empty.
    pub headless: &'a [u8],
}

/// How an entry came into the journal. etcd's own writer talks to the journal itself and names its
/// package; what a unit prints comes through its standard output, and what a container prints
/// through a log driver, which names the container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Origin {
    /// A program talked to the journal itself.
    native: bool,
    /// A container's log driver did.
    container: bool,
}

impl Origin {
    /// Takes a field of the entry.
    pub fn note(&mut self, name: &[u8], value: &[u8]) {
        self.native |= name == b"_TRANSPORT" && value == b"journal";
        self.container |= name.starts_with(b"CONTAINER_");
    }

    /// Whether etcd's own writer made the entry, going by its `PACKAGE` too.
    pub fn is_unsampled(self, package: &[u8]) -> bool {
        (self.native || !package.is_empty()) && !self.container
    }
}

/// Which output of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How an audit record starts.
const AUDIT: &[u8] = b"{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/";

/// How deep an export has its lines: OpenTelemetry's are in the third list.
const INSIDE_MAX: u8 = 4;

/// How a line of Docker's json-file starts.
pub const DOCKER: &[u8] = b"{\"log\":\"";

/// A whole line in Docker's own form, without attributes: the text without its newline, still
/// escaped, and its time.
pub fn docker(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = text.strip_prefix(DOCKER)?.strip_suffix(b"\"}")?;
    let from = rest.len().saturating_sub(80);
    let at = needle::DOCKER_STREAM.rfind(rest.get(from..)?)? + from;
    // `","stream":"stderr","time":"2022-03-07T09:08:30.051273291Z`
    let tail = rest.get(at + needle::DOCKER_STREAM.needle().len()..)?;
    let time = tail
        .strip_prefix(b"err\",\"time\":\"")
        .or_else(|| tail.strip_prefix(b"out\",\"time\":\""))?;
    let log = rest.get(..at)?.strip_suffix(b"\\n")?;
    // `\\n` is a backslash and an n.
    (!log.ends_with(b"\\")).then_some((log, time))
}

/// Whether an object starts here that is not a part of another one: `{"name":`, or `{` alone.
pub fn starts(text: &[u8]) -> bool {
    let Some(rest) = text.strip_prefix(b"{") else {
        return false;
    };
    let rest = rest.trim_ascii_start();
    let Some(name) = rest.strip_prefix(b"\"") else {
        return rest.is_empty();
    };
    let head = name.get(..name.len().min(64)).unwrap_or_default();
    let Some(end) = head.iter().position(|b| *b == b'"') else {
        return false;
    };
    let (name, after) = name.split_at(end);
    let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'@' | b'.');
    !name.is_empty()
        && name.iter().all(plain)
        && after
            .get(1..)
            .is_some_and(|after| after.trim_ascii_start().starts_with(b":"))
}

/// Whether a whole audit record in the apiserver's own order starts here.
pub fn is_audit(text: &[u8]) -> bool {
    text.starts_with(AUDIT)
}

/// Whether the object is whole and what stands at a place of it is inside a value of its own, not
/// another record that tore it.
pub fn holds(text: &[u8], at: usize) -> bool {
    let mut fields = JsonFields::new(text);
    let mut held = false;
    while let Some((_, value)) = fields.next() {
        held |= value.kind == ValueKind::Nested
            && (fields.at() - value.raw.len()..fields.at()).contains(&at);
    }
    held && fields.end().is_some()
}

/// Whether a value is an object, or a list of them.
pub fn has_objects(value: &Value<'_>) -> bool {
    value.kind == ValueKind::Nested && (value.raw.first() == Some(&b'{') || starts_list(value.raw))
}

/// Whether a list of objects starts here.
pub fn starts_list(text: &[u8]) -> bool {
    text.strip_prefix(b"[")
        .is_some_and(|rest| starts(rest.trim_ascii_start()))
}

/// Whether the object is closed. Of an audit record only the end is looked at: its body may have
/// megabytes.
pub fn closed(text: &[u8]) -> bool {
    if text.starts_with(AUDIT) {
        return text.trim_ascii_end().ends_with(b"}");
    }
    matches!(completeness(text), Completeness::Closed(_))
}

#[derive(Default)]
struct Seen<'a> {
    level: Option<Value<'a>>,
    severity: Option<Value<'a>>,
    ts: Option<Value<'a>>,
    time: Option<Value<'a>>,
    logger: Option<Value<'a>>,
    caller: Option<Value<'a>>,
    msg: Option<Value<'a>>,
    /// The line of a shipper: `log`, `message`, ….
    line: Option<Value<'a>>,
    /// What has such a name without being a line.
    no_line: Option<Value<'a>>,
    /// What an export has its objects in.
    inside: Option<Value<'a>>,
    /// What a list of Kubernetes holds: of audit records, where it says so.
    items: Option<Value<'a>>,
    /// Whether it is of the audit log's API.
    audited: bool,
    /// What Kibana shows of a hit, each field a list; beside `_source` or in its place.
    hit: Option<Value<'a>>,
    /// A column of CloudWatch Insights, printed as an object of its own: whether it is the line's.
    column: bool,
    value: Option<Value<'a>>,
    stream: Option<Value<'a>>,
    audit: u8,
    err: bool,
    v: bool,
    package: Option<Value<'a>>,
    component: Option<Value<'a>>,
    message: Option<Value<'a>>,
    realtime: Option<Value<'a>>,
    source_time: Option<Value<'a>>,
    ident: Option<Value<'a>>,
    comm: Option<Value<'a>>,
    unit: Option<Value<'a>>,
    host: Option<Value<'a>>,
    /// What a shipper knows of the pod: in one object, in others, or beside the line.
    kubernetes: Option<Value<'a>>,
    labels: Option<Value<'a>>,
    attributes: Option<Value<'a>>,
    place: Place<'a>,
    /// The file, the stream of it, or Docker's container that the line is from.
    file: Option<Value<'a>>,
    log_stream: Option<Value<'a>>,
    container_name: Option<Value<'a>>,
    /// Google's labels of what wrote a line.
    resource: Option<Value<'a>>,
    /// Where klog's header said that it was written.
    site: Option<Value<'a>>,
    /// Azure's name of what wrote a line, beside its `properties`.
    category: Option<Value<'a>>,
    service: Option<Value<'a>>,
    azure: bool,
    priority: Option<Value<'a>>,
    origin: Origin,
    journal: bool,
    /// Names beyond Docker's four.
    others: usize,
}

impl<'a> Seen<'a> {
    fn note(&mut self, name: &'a [u8], value: Value<'a>) {
        let docker = matches!(name, b"log" | b"stream" | b"time" | b"attrs");
        self.others += usize::from(!docker);
        let slot = match name {
            b"level" | b"lvl" => &mut self.level,
            b"severity" | b"SeverityText" | b"Level" => &mut self.severity,
            b"ts" => &mut self.ts,
            b"time" | b"@timestamp" | b"timestamp" | b"_time" | b"date" | b"timeUnixNano"
            | b"TimeGenerated" | b"Timestamp" | b"timereported" => &mut self.time,
            b"logger" => &mut self.logger,
            b"caller" | b"source" => &mut self.caller,
            b"msg" => &mut self.msg,
            b"log" | b"message" | b"line" | b"textPayload" | b"@message" | b"body" | b"_raw"
            | b"stringValue" | b"Message" | b"log_s" | b"LogMessage" | b"LogEntry"
            | b"short_message" | b"Body" | b"@rawstring" => {
                // filebeat has the file and the offset in an object `log`, the line in `message`.
                if is_line(&value) {
                    &mut self.line
                } else {
                    &mut self.no_line
                }
            }
            b"properties" => {
                self.azure = true;
                match value.kind {
                    ValueKind::Nested => &mut self.inside,
                    _ => &mut self.line,
                }
            }
            // Splunk's collector; other programs call their own message so, which is no line.
            b"event" if value.raw.starts_with(b"{") || holds_line(value.raw) => match value.kind {
                ValueKind::Nested => &mut self.inside,
                _ => &mut self.line,
            },
            b"attributes" if value.kind == ValueKind::Nested => {
                self.attributes.get_or_insert(value);
                &mut self.inside
            }
            b"labels" if value.kind == ValueKind::Nested => &mut self.labels,
            b"file" | b"filename" if is_text(&value) => &mut self.file,
            b"@logStream" | b"logStreamName" | b"logStream" if is_text(&value) => {
                &mut self.log_stream
            }
            b"CONTAINER_NAME" => {
                self.origin.note(name, value.raw);
                &mut self.container_name
            }
            b"category" => &mut self.category,
            b"Category" => {
                self.azure = true;
                &mut self.category
            }
            b"resource" => &mut self.resource,
            b"service" if is_text(&value) => &mut self.service,
            b"sourceLocation" => &mut self.site,
            // Google, Elasticsearch, Datadog, CloudWatch, OpenTelemetry, Loki.
            b"jsonPayload" | b"_source" | b"hits" | b"events" | b"resourceLogs" | b"scopeLogs"
            | b"logRecords" | b"logEvents" | b"data" | b"result" | b"streams" | b"values"
            | b"log_processed" | b"structured" | b"results"
                if value.kind == ValueKind::Nested =>
            {
                &mut self.inside
            }
            b"fields" if value.kind == ValueKind::Nested => &mut self.hit,
            b"items" if value.kind == ValueKind::Nested => &mut self.items,
            b"field" if value.raw == b"@message" => {
                self.column = true;
                return;
            }
            b"value" if is_text(&value) => &mut self.value,
            b"stream" => &mut self.stream,
            b"pkg" | b"PACKAGE" => &mut self.package,
            b"component" => &mut self.component,
            b"MESSAGE" => {
                self.journal = true;
                &mut self.message
            }
            b"__REALTIME_TIMESTAMP" => {
                self.journal = true;
                &mut self.realtime
            }
            b"_SOURCE_REALTIME_TIMESTAMP" => &mut self.source_time,
            b"SYSLOG_IDENTIFIER" => &mut self.ident,
            b"_COMM" => &mut self.comm,
            b"_SYSTEMD_UNIT" | b"UNIT" => &mut self.unit,
            b"_HOSTNAME" | b"host" | b"hostname" => &mut self.host,
            b"kubernetes" => &mut self.kubernetes,
            b"PRIORITY" => &mut self.priority,
            b"kind" => {
                self.audit += u8::from(value.raw == b"Event");
                return;
            }
            b"apiVersion" => {
                self.audited = value.raw.starts_with(b"audit.k8s.io/");
                self.audit += u8::from(self.audited);
                return;
            }
            b"auditID" => {
                self.audit = self.audit.saturating_add(2);
                return;
            }
            b"err" | b"error" => {
                self.err |= name == b"err";
                return;
            }
            b"v" => {
                self.v = true;
                return;
            }
            _ => {
                self.origin.note(name, value.raw);
                self.place.note(name, &value);
                return;
            }
        };
        // The first of a name counts, as it does for etcd's own keys.
        slot.get_or_insert(value);
    }

    /// What an export calls the program.
    fn writer(&self) -> Option<&'a [u8]> {
        let google = |resource| {
            let name = label(resource, b"component_name");
            let name: &[u8] = match name.or_else(|| label(resource, b"container_name"))? {
                b"apiserver" => b"kube-apiserver",
                b"controller-manager" => b"kube-controller-manager",
                b"scheduler" => b"kube-scheduler",
                name => name,
            };
            Some(name)
        };
        let azure = self.category.filter(|name| self.azure && is_text(name));
        self.ident
            .or(azure)
            .map(|value| value.raw)
            .or_else(|| self.resource.and_then(google))
            // Datadog.
            .or(self.service.map(|value| value.raw))
    }

    /// The pod and its container.
    fn place(&self) -> Place<'a> {
        let labels = |value: Option<Value<'a>>| value.map(Place::in_labels);
        let path = |value: Option<Value<'a>>| {
            let value = value.filter(is_text)?;
            Place::of_path(value.raw)
        };
        let docker = self.container_name.filter(is_text);
        Place::default()
            .or(|| labels(self.kubernetes))
            .or(|| Some(self.place))
            // Loki's labels are an object `stream`.
            .or(|| labels(self.stream))
            .or(|| labels(self.labels))
            .or(|| labels(self.resource))
            .or(|| labels(self.attributes))
            .or(|| docker.map(|name| Place::of_docker(name.raw)))
            .or(|| path(self.file))
            // Splunk's `source`.
            .or(|| path(self.caller))
            .or(|| self.log_stream.map(|name| Place::of_stream(name.raw)))
    }

    /// The message of a zap record whose `msg` was called `message`: a level, a source position of Go
    /// and no line of a program are beside each other.
    fn rekeyed(&self) -> Option<Value<'a>> {
        let message = self.line.filter(is_text)?;
        let of_go = |caller: Value<'_>| {
            let (file, line) = caller.raw.split_at(memchr::memrchr(b':', caller.raw)?);
            let number = line.len() > 1 && line.iter().skip(1).all(u8::is_ascii_digit);
            (number && file.ends_with(b".go") && file.contains(&b'/')).then_some(())
        };
        let is_zap = self.level.or(self.severity).is_some()
            && self.stream.is_none()
            && self.caller.filter(is_text).and_then(of_go).is_some();
        (is_zap && !holds_line(message.raw)).then_some(message)
    }

    fn level(&self) -> Level {
        let word = self.level.or(self.severity);
        word.and_then(|word| level_word(word.raw))
            .unwrap_or_default()
    }
}

/// Tells what an object is. It may be torn: what is there is used.
pub fn classify<'a>(text: &'a [u8], cache: &mut TimeCache) -> Object<'a> {
    classify_inside(text, cache, 0)
}

/// As [`classify`], of an object so deep inside an export.
fn classify_inside<'a>(text: &'a [u8], cache: &mut TimeCache, depth: u8) -> Object<'a> {
    if text.starts_with(AUDIT) {
        return Object::Record(audit(text, cache));
    }
    let mut seen = Seen::default();
    for (name, value) in JsonFields::new(text) {
        seen.note(name, value);
    }
    if seen.audit >= 2 && seen.msg.is_none() {
        return Object::Record(audit(text, cache));
    }
    if seen.journal {
        return Object::Wrapper(journal(&seen, text));
    }
    let time = seen.ts.or(seen.time);
    let time = time.and_then(|value| time_of(value, cache));
    if let (Some(msg), false) = (seen.msg, seen.line.is_some() && seen.stream.is_some()) {
        return Object::Record(record(&seen, msg, time, text));
    }
    if let Some(msg) = seen.rekeyed() {
        return Object::Record(Parsed {
            encoding: Encoding::ZapJson,
            ..record(&seen, msg, time, text)
        });
    }
    let mut line = seen.line.or(seen.no_line);
    line = line.or(seen.value.filter(|_| seen.column));
    if line.is_none() {
        let mut holds = |value: &Value<'_>| holds_lines(value, cache, depth + 1);
        line = seen
            .inside
            // A webhook gets audit records in batches. `kubectl get events` has `items` as well.
            .or(seen.items.filter(|_| seen.audited))
            .filter(&mut holds)
            .or_else(|| seen.hit.filter(holds));
    }
    match line {
        Some(line) => {
            let stream = seen.stream.and_then(|stream| match stream.raw {
                b"stdout" => Some(Stream::Stdout),
                b"stderr" => Some(Stream::Stderr),
                _ => None,
            });
            Object::Wrapper(Wrapped {
                text: line,
                time,
                ident: seen.writer(),
                host: seen.host.filter(is_text).map(|value| value.raw),
                place: seen.place(),
                level: seen.level(),
                package: b"",
                // Docker gives every part its time; what has none is whole.
                docker: stream
                    .filter(|_| seen.others == 0 && seen.time.is_some() && seen.line.is_some()),
                journal: false,
                unsampled: false,
                headless: seen
                    .site
                    .and_then(|site| text_in(site, b"file"))
                    .unwrap_or_default(),
            })
        }
        None => Object::Unknown,
    }
}

/// A text in an object.
fn text_in<'a>(object: Value<'a>, name: &[u8]) -> Option<&'a [u8]> {
    JsonFields::new(object.raw)
        .find(|(known, value)| *known == name && is_text(value))
        .map(|(_, value)| value.raw)
}

/// One of the labels of a resource.
fn label<'a>(resource: Value<'a>, name: &[u8]) -> Option<&'a [u8]> {
    let labels = JsonFields::new(resource.raw).find(|(known, _)| *known == b"labels")?;
    text_in(labels.1, name)
}

/// Whether the first of what an export has inside is a record or a wrapper. Other documents have
/// such names too.
fn holds_lines(value: &Value<'_>, cache: &mut TimeCache, depth: u8) -> bool {
    let list = value.raw.strip_prefix(b"[");
    let inner = list.map_or(value.raw, <[u8]>::trim_ascii_start);
    match inner.first() {
        Some(b'{') if depth <= INSIDE_MAX => {
            !matches!(classify_inside(inner, cache, depth), Object::Unknown)
        }
        Some(b'[') => is_row(inner),
        _ => false,
    }
}

/// Whether a record begins in a text, with its own quotes escaped.
fn holds_line(raw: &[u8]) -> bool {
    raw.starts_with(br#"{\""#) || super::starts_record(raw)
}

/// Whether a value is a line, or a record that the shipper parsed already.
fn is_line(value: &Value<'_>) -> bool {
    match value.kind {
        ValueKind::String | ValueKind::Plain | ValueKind::Torn => true,
        ValueKind::Number | ValueKind::Word => false,
        ValueKind::Nested => {
            value.raw.first() == Some(&b'[')
                || JsonFields::new(value.raw).any(|(name, _)| name == b"msg")
        }
    }
}

fn is_text(value: &Value<'_>) -> bool {
    value.kind == ValueKind::String
}

fn record<'a>(
    seen: &Seen<'a>,
    msg: Value<'a>,
    time: Option<Timestamp>,
    text: &'a [u8],
) -> Parsed<'a> {
    let mut level = seen.level();
    let raw = |value: Option<Value<'a>>| value.map(|value| value.raw).unwrap_or_default();
    let mut msg = msg.bytes();
    // klog's time is a number and stands beside the caller.
    let klogs = || seen.ts.is_some_and(|ts| ts.kind == ValueKind::Number) && seen.caller.is_some();
    let encoding = if seen.ts.is_some() && seen.level.is_none() && (seen.v || seen.err || klogs()) {
        // klog JSON has no level: anything but an error has its verbosity. An error may lack `err`.
        level = if seen.v { Level::Info } else { Level::Error };
        // What was a format keeps its newline.
        msg = without_newline(msg);
        Encoding::KlogJson
    } else if seen.time.is_some() && seen.ts.is_none() {
        Encoding::Logrus
    } else {
        Encoding::ZapJson
    };
    Parsed {
        encoding,
        level,
        time,
        time_source: if time.is_some() {
            TimeSource::Inner
        } else {
            TimeSource::None
        },
        logger: raw(seen.logger.or(seen.package).or(seen.component)),
        caller: raw(seen.caller.filter(is_text)),
        msg,
        fields: Fields::Json(text),
        repeats: 1,
    }
}

fn without_newline(text: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim_ascii_end()),
        Cow::Owned(mut text) => {
            text.truncate(text.trim_ascii_end().len());
            Cow::Owned(text)
        }
    }
}

#[cfg(test)]
mod tests;
