//! Audit lines like those before them, read by comparing.
//!
//! The users, programs, resources, queries and annotations of an audit log are few and come again
//! and again. So a line is walked from one expected place to the next; the long parts are compared
//! with those of earlier lines instead of being read, and get the number they were given then.
//! Whatever is not as expected, and whatever needs to be read in full, is left to [`super::parse`]
//! with the same result.

use std::borrow::Cow;

use memchr::memchr;

use crate::catalog::resources::KeyParts;
use crate::clock::Timestamp;

use super::pieces::{Object, audit_id, closed, plain, stage, status, unescaped};
use super::tails::{Tails, is_plain_end};
use super::texts::{LONGEST, NOWHERE, Text, Texts, hash, place};
use super::times::{Minute, two_times};
use super::verb::Verb;
use super::{AuditRecord, List, Stage, list_of, resolved, tail, timestamp};

/// How many queries are remembered.
const QUERIES: usize = 64;

/// Who asks for what: equal numbers are equal texts, but not the other way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The user, with groups and all.
    pub user: u32,
    /// The program.
    pub agent: u32,
    /// Resource and group.
    pub resource: u32,
    /// What for.
    pub verb: Verb,
}

/// The texts of who asks for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskedTexts<'k> {
    /// User name; empty when there is none.
    pub user: &'k str,
    /// Program; empty when it is not named.
    pub agent: &'k str,
    /// `resource.group`
    pub resource: &'k str,
}

/// A record of a request for a resource. It names no latency of parts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KnownRecord<'a> {
    /// The request's id, without escapes.
    pub audit_id: &'a [u8],
    /// Where in its life it is.
    pub stage: Stage,
    /// Who asks for what.
    pub asked: Asked,
    /// Namespace, in ASCII; `None` also for a resource that has none.
    pub namespace: Option<&'a [u8]>,
    /// Name, in ASCII.
    pub name: Option<&'a [u8]>,
    /// HTTP status.
    pub code: Option<u16>,
    /// When the request arrived.
    pub received: Option<Timestamp>,
    /// When the stage was reached.
    pub stage_time: Option<Timestamp>,
    /// For LISTs, what they asked for.
    pub list: Option<List>,
    /// Where user, program and resource are remembered.
    places: [usize; 3],
}

impl KnownRecord<'_> {
    /// As [`AuditRecord::latency_ns`].
    pub fn latency_ns(&self) -> Option<u64> {
        if self.stage != Stage::ResponseComplete || self.asked.verb == Verb::Watch {
            return None;
        }
        let us = self.stage_time?.since_us(self.received?);
        u64::try_from(us).ok()?.checked_mul(1_000)
    }
}

/// What earlier lines said.
#[derive(Clone, Debug, Default)]
pub struct Known {
    users: Texts,
    agents: Texts,
    resources: Texts,
    /// Queries of LISTs.
    queries: Vec<(Box<[u8]>, Option<List>)>,
    tails: Tails,
    minute: Minute,
}

impl Known {
    /// Reads a line. `None` when it is not as expected: [`super::parse`] then tells what it is.
    pub fn read<'a>(&mut self, line: &'a [u8]) -> Option<KnownRecord<'a>> {
        let rest =
            line.strip_prefix(br#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":""#)?;
        let rest = match rest.strip_prefix(br#"Metadata","auditID":""#) {
            Some(rest) => rest,
            None => plain(rest)?.1.strip_prefix(br#","auditID":""#)?,
        };
        let (audit_id, rest) = audit_id(rest)?;
        let (stage, rest) = stage(rest.strip_prefix(br#","stage":""#)?)?;
        let (uri, rest) = closed(rest.strip_prefix(br#","requestURI":""#)?)?;
        let (verb, rest) = plain(rest.strip_prefix(br#","verb":""#)?)?;
        let verb = Verb::of(verb)?;
        let ((user, user_at), mut rest) = self.users.object(rest.strip_prefix(br#","user":"#)?)?;
        if let Some(after) = rest.strip_prefix(br#","impersonatedUser":"#) {
            (_, rest) = self.users.object(after)?;
        }
        (_, rest) = plain(rest.strip_prefix(br#","sourceIPs":[""#)?)?;
        while let Some(more) = rest.strip_prefix(b",\"") {
            (_, rest) = plain(more)?;
        }
        rest = rest.strip_prefix(b"]")?;
        let (mut agent, mut agent_at) = (0, NOWHERE);
        if let Some(after) = rest.strip_prefix(br#","userAgent":""#) {
            ((agent, agent_at), rest) = self.agent(after, user_at)?;
        }
        let (object, rest) = Object::read(rest.strip_prefix(br#","objectRef":{"resource":""#)?)?;
        let (resource, resource_at) = self.resource(&object)?;
        let flag = |known: &Text| known.flag;
        let namespaced = self.resources.slots.get(resource_at).is_some_and(flag);
        let (code, rest) = match rest.strip_prefix(br#","responseStatus":"#) {
            Some(after) => status(after)?,
            None => (None, rest),
        };
        let (received, stage_time) = self.times(line, rest)?;
        let list = match verb {
            Verb::List => Some(self.list(uri)?),
            _ => None,
        };
        Some(KnownRecord {
            audit_id,
            stage,
            asked: Asked {
                user,
                agent,
                resource,
                verb,
            },
            namespace: object.namespace.filter(|_| namespaced),
            name: object.name,
            code,
            received,
            stage_time,
            list,
            places: [user_at, agent_at, resource_at],
        })
    }

    /// The texts of what the last line that was read asked.
    pub fn texts(&self, record: &KnownRecord<'_>) -> AskedTexts<'_> {
        let [user, agent, resource] = record.places;
        AskedTexts {
            user: self.users.value(user),
            agent: self.agents.value(agent),
            resource: self.resources.value(resource),
        }
    }

    /// The number of a program and where it is remembered; and what follows its quote. Most users
    /// have one program.
    #[inline]
    fn agent<'a>(&mut self, text: &'a [u8], user_at: usize) -> Option<((u32, usize), &'a [u8])> {
        let at = self
            .users
            .slots
            .get(user_at)
            .map_or(NOWHERE, |user| user.agent);
        if let Some(known) = self.agents.slots.get(at)
            && let Some(rest) = text.strip_prefix(&*known.text)
            && let Some(rest) = rest.strip_prefix(b"\"")
            && rest.starts_with(b",")
        {
            // No text of a program holds a quote, so it ends at this one.
            return Some(((known.number, at), rest));
        }
        let (agent, rest) = closed(text)?;
        let known = self.agents.number(agent, b"", || {
            Some((unescaped(agent).into_owned().into_boxed_str(), false))
        })?;
        if let Some(user) = self.users.slots.get_mut(user_at) {
            user.agent = known.1;
        }
        Some((known, rest))
    }

    /// The number of a resource and where it is remembered, with whether its objects may have a
    /// namespace.
    fn resource(&mut self, object: &Object<'_>) -> Option<(u32, usize)> {
        let (resource, group) = (object.resource, object.group);
        self.resources.number(resource, group, || {
            let mut parts = KeyParts {
                resource: Cow::Borrowed(std::str::from_utf8(resource).ok()?),
                group: Some(Cow::Borrowed(std::str::from_utf8(group).ok()?)),
                ..KeyParts::default()
            };
            // Without a resource, the path says more.
            if resource.is_empty() {
                return None;
            }
            parts = resolved(parts);
            let namespaced = parts.builtin.is_none_or(|builtin| builtin.namespaced);
            let name = parts.resource_group().into_owned().into_boxed_str();
            Some((name, namespaced))
        })
    }

    /// What a LIST asked for.
    fn list(&mut self, uri: &[u8]) -> Option<List> {
        let unknown = || list_of(&unescaped(uri));
        let Some(at) = memchr(b'?', uri) else {
            return Some(unknown());
        };
        let query = uri.get(at..)?;
        // Behind a scheme and a host, another question mark may begin the query.
        if query.len() > LONGEST || memchr(b':', uri).is_some() || !query.is_ascii() {
            return Some(unknown());
        }
        if self.queries.is_empty() {
            self.queries.resize(QUERIES, (Box::default(), None));
        }
        let slot = self.queries.get_mut(place(hash(query), QUERIES))?;
        match slot.1 {
            Some(list) if *slot.0 == *query => Some(list),
            _ => {
                let list = unknown();
                *slot = (query.into(), Some(list));
                Some(list)
            }
        }
    }

    /// The two times of a line, of which `rest` follows what comes before bodies and times.
    fn times(
        &mut self,
        line: &[u8],
        rest: &[u8],
    ) -> Option<(Option<Timestamp>, Option<Timestamp>)> {
        let body =
            rest.starts_with(br#","requestObject":"#) || rest.starts_with(br#","responseObject":"#);
        if let Some(end) = self.tails.known(line)
            && let Some((received, stage, before)) = two_times(line.get(..end)?)
            // Without a body, nothing may stand before the times but a comma.
            && (body || before + rest.len() == line.len() + 1 && rest.starts_with(b","))
            && let Some(received) = self.minute.read(received)
            && let Some(stage) = self.minute.read(stage)
        {
            return Some((Some(received), Some(stage)));
        }
        if body {
            let mut record = AuditRecord::default();
            tail(&mut record, line);
            if record.etcd_ns.is_some() || record.queue_ns.is_some() {
                return None;
            }
            self.tails.learn(line);
            return Some((record.received, record.stage_time));
        }
        let (received, rest) = plain(rest.strip_prefix(br#","requestReceivedTimestamp":""#)?)?;
        let (stage, rest) = plain(rest.strip_prefix(br#","stageTimestamp":""#)?)?;
        if !is_plain_end(rest) {
            return None;
        }
        self.tails.learn(line);
        Some((timestamp(received), timestamp(stage)))
    }
}
