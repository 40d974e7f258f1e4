//! etcd: leadership, as raft tells it. Its texts are the same in all encodings.
//!
//! Every member prints its own lines about one election: count terms, not lines.

use crate::logs::event::Component::Etcd;
use crate::logs::record::Level::{Info, Warn};

use super::types::How::{Msg, Text};
use super::types::Nature::{Change, Fault, Noise, Planned, Symptom};
use super::types::Role::{Error, Int, Text as Txt, Took};
use super::types::{Field, Signature, field, form, row};

const TERM: Field = field("term", Int("term"), "the raft term: one election each");
const MEMBER: Field = field("member", Txt("member"), "the member that writes");
const LEADER: Field = field("leader", Txt("leader"), "the leader meant");

pub(super) static TABLE: &[Signature] = &[
    row(
        "leader-elected",
        Etcd,
        Info,
        Change,
        "all",
        "A member learnt of a leader.",
        &[form(
            Text("raft.node: {member:hex} elected leader {leader:hex} at term {term}"),
            "raft2022/03/19 02:50:20 INFO: raft.node: d52f541376b969a elected leader 6cb8f75d6cb36170 at term 35",
        )],
        &[MEMBER, LEADER, TERM],
    ),
    row(
        "leader-lost",
        Etcd,
        Info,
        Fault,
        "all",
        "A member lost its leader. Planned when a hand-over or a stop of the leader stands within two seconds.",
        &[form(
            Text("raft.node: {member:hex} lost leader {leader:hex} at term {term}"),
            r#"{"level":"info","ts":"2023-12-09T09:40:43.289555Z","logger":"raft","caller":"etcdserver/zap_raft.go:77","msg":"raft.node: e8a244cec84997e3 lost leader b8e514f18eb1635 at term 7"}"#,
        )],
        &[MEMBER, LEADER, TERM],
    ),
    row(
        "leader-changed",
        Etcd,
        Info,
        Fault,
        "all",
        "A member learnt of another leader without noticing the loss of the old one.",
        &[form(
            Text(
                "raft.node: {member:hex} changed leader from {from:hex} to {leader:hex} at term {term}",
            ),
            "raft2022/03/19 02:50:20 INFO: raft.node: 179e3b479c322b79 changed leader from 179e3b479c322b79 to 6cb8f75d6cb36170 at term 35",
        )],
        &[
            MEMBER,
            field("from", Txt("from"), "the old leader"),
            LEADER,
            TERM,
        ],
    ),
    row(
        "raft-state",
        Etcd,
        Info,
        Change,
        "all",
        "A member's raft state changed.",
        &[form(
            Text("{member:hex} became {state} at term {term:int}"),
            r#"{"level":"info","ts":"2025-07-26T06:38:20.745271Z","logger":"raft","caller":"v3@v3.6.0/raft.go:970","msg":"99eab3685d8363a1 became leader at term 2"}"#,
        )],
        &[
            MEMBER,
            field(
                "state",
                Txt("state"),
                "leader, follower, candidate, pre-candidate",
            ),
            TERM,
        ],
    ),
    row(
        "election-started",
        Etcd,
        Info,
        Symptom,
        "all",
        "A member heard no leader for an election timeout and campaigns. At a start this is normal.",
        &[form(
            Text("{member:hex} is starting a new election at term {term}"),
            "raft2022/03/19 02:50:20 INFO: 6cb8f75d6cb36170 is starting a new election at term 34",
        )],
        &[MEMBER, TERM],
    ),
    row(
        "vote-result",
        Etcd,
        Info,
        Noise,
        "all",
        "A candidate counts its votes.",
        &[
            form(
                Text(
                    "{member:hex} [quorum:{_}] has received {votes} Msg{_} votes and {rejections} vote rejections",
                ),
                "2017-04-27 14:13:31.524108 I | raft: c89feb932daef420 [quorum:2] has received 2 MsgVoteResp votes and 0 vote rejections",
            ),
            form(
                Text(
                    "{member:hex} has received {votes} Msg{_} votes and {rejections} vote rejections",
                ),
                r#"{"level":"info","ts":"2026-11-21T20:04:04.117814Z","logger":"raft","caller":"v3/raft.go:1698","msg":"53f728c967300dd8 has received 1 MsgVoteResp votes and 0 vote rejections"}"#,
            ),
        ],
        &[
            MEMBER,
            field("votes", Int("votes"), ""),
            field("rejections", Int("rejections"), ""),
        ],
    ),
    row(
        "vote-ignored",
        Etcd,
        Info,
        Symptom,
        "all",
        "A member that hears its leader ignored a campaign: the candidate alone had lost touch. This protects the leader.",
        &[form(
            Text(
                "{member:hex} [logterm: {_}] ignored {message} from {from:hex} [{_}] at term {term:int}: lease is not expired",
            ),
            "raft2026/11/21 19:33:34 INFO: 9b4ae030705854cf [logterm: 2, index: 13, vote: f6a7f77cc860ac5f] ignored MsgVote from 49bcc04ce79aff6b [logterm: 2, index: 13] at term 2: lease is not expired (remaining ticks: 1)",
        )],
        &[
            MEMBER,
            field("message", Txt("message"), "MsgVote or MsgPreVote"),
            field("from", Txt("from"), "the candidate"),
            TERM,
        ],
    ),
    row(
        "quorum-lost",
        Etcd,
        Warn,
        Fault,
        "all",
        "The leader stepped down because it could not reach a majority.",
        &[form(
            Text("{member:hex} stepped down to follower since quorum is not active"),
            r#"{"level":"warn","ts":"2022-08-30T09:19:19.245Z","logger":"raft","caller":"etcdserver/zap_raft.go:85","msg":"141adac8c067b6dd stepped down to follower since quorum is not active"}"#,
        )],
        &[MEMBER],
    ),
    row(
        "no-leader-drop",
        Etcd,
        Info,
        Fault,
        "all",
        "A read or a write was dropped because there is no leader.",
        &[form(
            Text("{member:hex} no leader at term {term:int}; dropping {what}"),
            r#"{"level":"info","ts":"2022-08-30T09:19:24.521Z","logger":"raft","caller":"etcdserver/zap_raft.go:77","msg":"141adac8c067b6dd no leader at term 153; dropping index reading msg"}"#,
        )],
        &[
            MEMBER,
            TERM,
            field("what", Txt("what"), "proposal or index reading msg"),
        ],
    ),
    row(
        "raft-higher-term",
        Etcd,
        Info,
        Noise,
        "all",
        "A message of a later term arrived: an election elsewhere.",
        &[form(
            Text(
                "{member:hex} [term: {_}] received a {message} message with higher term from {from:hex} [term: {term:int}]",
            ),
            "raft2022/03/19 02:50:20 INFO: d52f541376b969a [term: 34] received a MsgVote message with higher term from 6cb8f75d6cb36170 [term: 35]",
        )],
        &[
            MEMBER,
            field("message", Txt("message"), ""),
            field("from", Txt("from"), ""),
            TERM,
        ],
    ),
    row(
        "raft-lower-term",
        Etcd,
        Info,
        Noise,
        "all",
        "A message of an earlier term arrived from a member that was stopped or cut off.",
        &[form(
            Text(
                "{member:hex} [term: {term:int}] ignored a {message} message with lower term from {from:hex} [term: {_}]",
            ),
            "raft2026/11/21 19:33:34 INFO: 9b4ae030705854cf [term: 6] ignored a MsgVote message with lower term from 49bcc04ce79aff6b [term: 4]",
        )],
        &[
            MEMBER,
            field("message", Txt("message"), ""),
            field("from", Txt("from"), ""),
            TERM,
        ],
    ),
    row(
        "leader-transfer-started",
        Etcd,
        Info,
        Planned,
        "3.2 to 3.7",
        "A leader hands over on purpose, mostly because it stops.",
        &[
            form(
                Msg("leadership transfer starting"),
                r#"{"level":"info","ts":"2025-03-01T04:35:01.443417Z","caller":"etcdserver/server.go:1503","msg":"leadership transfer starting","local-member-id":"bf9071f4639c75cc","current-leader-member-id":"bf9071f4639c75cc","transferee-member-id":"91bc3c398fb3c146"}"#,
            ),
            form(
                Text(
                    "{local-member-id:hex} starts leadership transfer from {current-leader-member-id:hex} to {transferee-member-id}",
                ),
                "2026-11-21 19:34:26.832818 I | etcdserver: 49bcc04ce79aff6b starts leadership transfer from 49bcc04ce79aff6b to 9b4ae030705854cf",
            ),
        ],
        &[
            field("local-member-id", Txt("member"), ""),
            field("current-leader-member-id", Txt("from"), "the old leader"),
            field("transferee-member-id", Txt("leader"), "the new leader"),
        ],
    ),
    row(
        "leader-transfer-finished",
        Etcd,
        Info,
        Planned,
        "3.2 to 3.7",
        "The hand-over is done: the election beside it is no loss of a leader.",
        &[
            form(
                Msg("leadership transfer finished"),
                r#"{"level":"info","ts":1526587299.1726425,"caller":"etcdserver/server.go:1362","msg":"leadership transfer finished","local-member-id":"7339c4e5e833c029","old-leader-member-id":"7339c4e5e833c029","new-leader-member-id":"729934363faa4a24","took":0.100389359}"#,
            ),
            form(
                Text(
                    "{local-member-id:hex} finished leadership transfer from {old-leader-member-id:hex} to {new-leader-member-id:hex} (took {took})",
                ),
                "2026-11-21 19:34:26.933043 I | etcdserver: 49bcc04ce79aff6b finished leadership transfer from 49bcc04ce79aff6b to 9b4ae030705854cf (took 100.219433ms)",
            ),
        ],
        &[
            field("took", Took, ""),
            field("local-member-id", Txt("member"), ""),
            field("old-leader-member-id", Txt("from"), ""),
            field("new-leader-member-id", Txt("leader"), ""),
        ],
    ),
    row(
        "leader-transfer-failed",
        Etcd,
        Warn,
        Symptom,
        "3.2 to 3.7",
        "A stopping leader could not hand over: the others will wait for an election timeout.",
        &[
            form(
                Msg("leadership transfer failed"),
                r#"{"level":"warn","ts":"2025-03-01T04:35:01.443417Z","caller":"etcdserver/server.go:1530","msg":"leadership transfer failed","local-member-id":"bf9071f4639c75cc","error":"etcdserver: unhealthy cluster"}"#,
            ),
            form(
                Text("{local-member-id:hex} failed to transfer leadership ({error})"),
                "2026-11-21 19:34:26.933043 W | etcdserver: 49bcc04ce79aff6b failed to transfer leadership (etcdserver: unhealthy cluster)",
            ),
        ],
        &[
            field("local-member-id", Txt("member"), ""),
            field("error", Error, ""),
        ],
    ),
    row(
        "leader-transfer-skipped",
        Etcd,
        Info,
        Noise,
        "3.2 to 3.7",
        "A stopping member has nothing to hand over.",
        &[
            form(
                Msg("skipped leadership transfer for single voting member cluster"),
                r#"{"level":"info","ts":"2026-11-21T19:35:01.443417Z","caller":"etcdserver/server.go:1485","msg":"skipped leadership transfer for single voting member cluster","local-member-id":"bf9071f4639c75cc","current-leader-member-id":"bf9071f4639c75cc"}"#,
            ),
            form(
                Msg("skipped leadership transfer; local server is not leader"),
                r#"{"level":"info","ts":"2026-11-21T19:35:01.443417Z","caller":"etcdserver/server.go:1475","msg":"skipped leadership transfer; local server is not leader","local-member-id":"bf9071f4639c75cc"}"#,
            ),
            form(
                Text("skipped leadership transfer for "),
                "2026-11-21 19:34:28.934183 I | etcdserver: skipped leadership transfer for stopping non-leader member",
            ),
        ],
        &[field("local-member-id", Txt("member"), "")],
    ),
    row(
        "leader-transfer-raft",
        Etcd,
        Info,
        Planned,
        "3.1 to 3.7",
        "Raft's own lines about a hand-over.",
        &[
            form(
                Text("{member:hex} [term {term:int}] starts to transfer leadership to {leader}"),
                "raft2026/11/21 19:34:26 INFO: 49bcc04ce79aff6b [term 10] starts to transfer leadership to 9b4ae030705854cf",
            ),
            form(
                Text(
                    "{member:hex} [term {term:int}] received MsgTimeoutNow from {from:hex} and starts an election to get leadership.",
                ),
                "raft2026/11/21 19:34:26 INFO: 9b4ae030705854cf [term 10] received MsgTimeoutNow from 49bcc04ce79aff6b and starts an election to get leadership.",
            ),
            form(
                Text("{member:hex} sends MsgTimeoutNow to {leader:hex} immediately"),
                "raft2026/11/21 19:34:26 INFO: 49bcc04ce79aff6b sends MsgTimeoutNow to 9b4ae030705854cf immediately as 9b4ae030705854cf already has up-to-date log",
            ),
        ],
        &[
            MEMBER,
            TERM,
            field("leader", Txt("leader"), "the new leader"),
            field("from", Txt("from"), "the old one"),
        ],
    ),
];
