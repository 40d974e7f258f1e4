//! Keys of what logs tell.
//!
//! Subjects: `Cluster` for totals over all streams, `Member` (by node) for etcd, `Component`
//! (`kube-controller-manager@node`) for the others. Default etcd logs hold slow requests only:
//! such readings have the origin's completeness `AtLeast`.

use super::super::{Episodes, Histogram, Series, Table};

keys! { LOGS;
    /// Alarms that lines tell of, by type (`NOSPACE`, `CORRUPT`): columns `raised` and `disarmed` (lines), `last_raised_secs` and
    /// `last_disarmed_secs` (seconds since 1970). What clients are told of a full database counts as raised.
    LOGS_ALARMS: Table = "logs.alarms", None, Sum;
    /// Slow calls (over 500 ms) that kube-apiserver itself made and traced, by whom it called: columns `count`, `max_ms`, `total_ms`;
    /// texts `target` (`etcd`, `cache`, `webhook`), `name` (of the webhook), `verb`, `resource`.
    LOGS_APISERVER_CALLS: Table = "logs.apiserver.calls", None, Sum;
    /// Records of the audit log by client: one row per user agent, user, verb and resource. Columns `requests`,
    /// `not_found` (404), `throttled` (429, but to evictions), `held` (evictions answered 429), `errors` (5xx), `timeouts` (504),
    /// `bare` (lists without limit and resource version), `bare_secs`, `unlimited` (of `bare`: of all namespaces, or of 100 ms and more),
    /// `unlimited_secs`, `total_secs`, `max_ms`, `etcd_secs`, `max_per_sec` (between its own first and last request); texts `user_agent`, `user`, `verb`, `resource`.
    LOGS_AUDIT_CLIENTS: Table = "logs.audit.clients", None, Sum;
    /// Objects that one client asks for again and again, the most frequent first: columns `requests`, `not_found`, `max_per_sec`
    /// (between the first and the last request), `max_steady_per_sec` (the same where the gaps are all about the same for at least 30 s,
    /// else 0); texts `user_agent`, `user`, `verb`, `resource`, `object`.
    LOGS_AUDIT_OBJECTS: Table = "logs.audit.objects", None, Sum;
    /// How steadily each client asks: columns `requests`, `not_found`, `throttled`, `active_secs`, `max_per_sec` (in the busiest stretch
    /// of at least 30 s between the first and the last request of one kind), and where most active seconds have
    /// the same number of requests, `max_plateau_per_sec` and `max_plateau_share`; texts `user_agent`, `user`.
    LOGS_AUDIT_PACE: Table = "logs.audit.pace", None, Sum;
    /// Lists and changes of kube-apiserver's clients by second, from the audit log (origin `audit`) and from traces (`trace`): one row
    /// per second, resource, class and client; the row's key is `SECOND|RESOURCE|CLASS|ORIGIN|USER AGENT|USER`, with the second since 1970.
    /// Columns `requests`, `secs`, `unlimited`. Lists answered from memory and requests turned away are left out.
    LOGS_CLIENT_SECONDS: Table = "logs.client.seconds", None, Sum;
    /// Clock differences between members that etcd's prober reported, by peer: columns `count`, `max_drift_ms`.
    LOGS_CLOCK_DRIFT: Table = "logs.clock.drift", None, Sum;
    /// Duration of each scheduled compaction.
    LOGS_COMPACTION_TOOK: Series = "logs.compaction.took", Ms, Union;
    /// Log lines by component, with zeros for one that shares another's log: columns `files`, `lines`, `unparsed`, `unknown`, `max_gap_secs`.
    LOGS_COVERAGE: Table = "logs.coverage", None, Sum;
    /// Size of the etcd database over time, as the ends of compactions and defragmentations tell it: the last one of each minute.
    LOGS_DB_SIZE: Series = "logs.db.size", Bytes, Union;
    /// Elections by term: rows `planned`, `unplanned`, `start` (the first one of a start), column `terms`; of `planned` text `at`, the last ones in seconds since 1970; of `unplanned` also, as every member's log tells of the same ones, of the log that tells most `max_all` (all of them) and `max_terms` (within 15 minutes).
    LOGS_ELECTIONS: Table = "logs.elections", None, Sum;
    /// What happened, as episodes; `kind` is an id of the signature catalogue.
    LOGS_EPISODES: Episodes = "logs.episodes", None, Union;
    /// Recognised messages by kind: columns `count`, `max_ms` (where the kind has a duration), `settling` (of `count`: around a stop or start of a member). Of `rejected-connection` and `grpc-connect-failed` also why: `expired`, `unknown_authority`, `bad_certificate`, of these `peer_certificates`, and `open_files`.
    LOGS_EVENTS: Table = "logs.events", None, Sum;
    /// Lines read.
    LOGS_LINES: i64 = "logs.lines", Count, Sum;
    /// What an etcd's log tells of its life and of its peers. Row `self`: columns, in seconds since 1970, `last_record_secs`,
    /// `last_start_secs`, `last_ready_secs`, `last_stop_secs` (in order), `last_death_secs` (by a line of the level fatal or a dump),
    /// `last_dying_secs` (the first one since it served last), `deaths` (since then); texts `id`, `why`. Rows by a peer's id: `last_lost_secs` (the first
    /// time since it was found last), `last_active_secs`, `last_refused_secs`, `refused` (connections), `silent_since_secs`
    /// (the first look at it without an answer since it was found last), `last_silent_secs`, `silent` (such looks, without refusals).
    LOGS_LIVES: Table = "logs.lives", None, Sum;
    /// Messages that no signature knows, by their beginning, the most frequent ones of each component: column `records`.
    LOGS_MESSAGES: Table = "logs.messages", None, Sum;
    /// Slow requests whose time went into waiting for the read index: columns `requests`, `slow_secs`. Row `all`.
    LOGS_READINDEX_BOUND: Table = "logs.readindex.bound", None, Sum;
    /// Logged requests by resource.group, each counted once: columns `requests`, `lists`, `gets`, `counts`,
    /// `writes`, `other`, `slow_secs`, `max_took_ms`, `items`, `bytes`, and `list_slow_secs`,
    /// `get_slow_secs`, `write_slow_secs`: of `slow_secs`, without those that waited for the leader (`stalled_secs`).
    LOGS_REQUESTS: Table = "logs.requests", None, Sum;
    /// Logged requests by client, as far as a line names one: columns `requests`, `lists`, `slow_secs`; text `resource`.
    LOGS_REQUESTS_CLIENTS: Table = "logs.requests.clients", None, Sum;
    /// Estimate of how many requests passed the logging threshold, sampling undone: row `all` with `low`, `value`, `high`, `lines`, `joined`.
    LOGS_REQUESTS_ESTIMATE: Table = "logs.requests.estimate", None, Sum;
    /// Duration of logged requests.
    LOGS_REQUESTS_TOOK: Histogram = "logs.requests.took", Ms, Sum;
    /// Restarts of a component: one row per start with text `version`, column `count`; of an etcd of which the log has something before it also `asked`, 1 where the log tells that it was asked to stop, and `last_own_log`, 1 where nobody else writes into that log.
    LOGS_RESTARTS: Table = "logs.restarts", None, Sum;
    /// Settings that the last start in the log tells, by the name of the flag: text `value`. Of etcd its quota and raft's timers,
    /// of Kubernetes components their limits of requests and workers.
    LOGS_SETTINGS: Table = "logs.settings", None, Latest;
    /// Whether the log holds every request, not only the slow ones (threshold or level make it so).
    LOGS_SLOW_COMPLETE: bool = "logs.slow.complete", None, Min;
    /// Slow lists and changes by the second in which they began, per etcd member: one row per second, resource and class, with the
    /// key `SECOND|RESOURCE|CLASS`. Columns `requests`, `secs`. Those that waited for the leader are left out.
    LOGS_SLOW_SECONDS: Table = "logs.slow.seconds", None, Sum;
    /// The threshold above which etcd logs a request as slow, read from the lines themselves.
    LOGS_SLOW_THRESHOLD: f64 = "logs.slow.threshold", Ms, Min;
    /// Time between the first and the last record.
    LOGS_SPAN: f64 = "logs.span", Secs, Max;
    /// Client-side throttling as the client logged it, by client and request: columns `lines` (a floor), `max_delay_ms`,
    /// `startup` (of `lines`: within two minutes after the client's start), `last_secs` (of the last line, since 1970); texts `component`, `verb`, `resource`.
    LOGS_THROTTLING: Table = "logs.throttling", None, Sum;
    /// Slow requests (over 500 ms) that kube-apiserver traced, or those of 5 s and more that its HTTP log shows where that holds more of them, by user agent and resource: columns `count`, `max_ms`, `total_ms`; texts `user_agent`, `verb`, `resource`.
    LOGS_TRACES: Table = "logs.traces", None, Sum;
    /// Requests answered 429, from the HTTP log, by priority level, flow schema and user agent (empty where a line names none):
    /// columns `count`, `last_secs` (of the last one, since 1970); texts `level`, `flow_schema`, `user_agent`. Empty when an HTTP log shows none.
    LOGS_TURNED_AWAY: Table = "logs.turned.away", None, Sum;
    /// Lines whose format was not understood.
    LOGS_UNPARSED: i64 = "logs.unparsed", Count, Sum;
    /// Versions that a component said at its start or that a message implies: text `version`, `source`.
    LOGS_VERSIONS: Table = "logs.versions", None, Sum;
}
