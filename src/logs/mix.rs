//! Who said what in a stream of several programs that no name tells apart: a concatenated file, a
//! log whose wrappers name a container runtime.
//!
//! Many kinds of messages name their program. Kinds of the client library do not: they are its
//! words in every program that uses it. Where only one such program is seen they are its words,
//! else nobody's, and that is said: the most frequent one would be blamed for another's.

use super::event::Component;
use super::signature::signature;
use super::summary::StreamSummary;
use super::view::{Place, UNNAMED_CLIENT};
use super::writer;

/// Kinds that are about the node, or whose program is told by nothing: they stay the stream's.
const OF_STREAM: &[&str] = &[
    "disk-full",
    "journald-suppressed",
    "panic",
    "storage-io-error",
    "too-many-open-files",
];

/// Kinds that a server writes about a request it serves: kube-apiserver's, where it is there.
const SERVED: &[&str] = &["apiserver-trace-step", "http-log", "http-too-many-requests"];

/// Beginnings of kinds that an etcd server never writes.
const OF_CLIENTS: &[&str] = &[
    "client-",
    "component-trace",
    "leaderelection-",
    "lease-",
    "reflector-",
    "server-wait",
    "workqueue-",
];

/// A component that writes fewer than one in so many of the lines that name one may as well be
/// quoted by another.
const SHARE: u64 = 20;

/// Whose the kinds of one stream are.
pub(super) struct Mix<'s> {
    main: Place,
    /// Components seen; none where the stream is one program's.
    seen: Vec<&'s str>,
    /// Whose the words of the client library are, where that is not the stream's component.
    clients: Option<&'s str>,
    /// Only an etcd server is seen.
    etcd_alone: bool,
}

impl<'s> Mix<'s> {
    /// Looks at a stream. `main` is whose it is as a whole.
    pub(super) fn of(stream: &'s StreamSummary, main: Place) -> Self {
        let mut mix = Mix {
            main,
            seen: Vec::new(),
            clients: None,
            etcd_alone: false,
        };
        if !stream.named.is_empty() {
            return mix;
        }
        let etcd = Component::Etcd.word();
        let server = |name: &str| name == etcd || name == Component::Kernel.word();
        let (servers, others): (Vec<_>, Vec<_>) = stream
            .components
            .iter()
            .map(|(name, count)| (name.as_str(), *count))
            .partition(|(name, _)| server(name));
        let started = || {
            let starts = stream.segment.facts.starts.iter();
            starts.filter_map(|start| start.component.as_deref())
        };
        let total: u64 = others.iter().map(|(_, count)| count).sum();
        let mut clients: Vec<&str> = others
            .into_iter()
            .filter(|(_, count)| count * SHARE >= total)
            .map(|(name, _)| name)
            .chain(started().filter(|name| *name != etcd))
            .collect();
        clients.sort_unstable();
        clients.dedup();
        let has_etcd = servers.iter().any(|(name, _)| *name == etcd);
        let others = stream.segment.writers.iter();
        let named = others
            .map(|(writer, _)| writer::parts(writer).0)
            .filter(|name| *name != mix.main.component && !clients.contains(name))
            .count();
        mix.clients = match clients.as_slice() {
            [only] => Some(only),
            [] if !has_etcd && named == 0 => None,
            _ => Some(UNNAMED_CLIENT),
        };
        mix.etcd_alone = has_etcd && named == 0 && clients.is_empty();
        mix.seen = servers.into_iter().map(|(name, _)| name).collect();
        mix.seen.extend(clients);
        mix
    }

    fn at(&self, component: &str) -> Place {
        Place {
            component: component.to_owned(),
            node: self.main.node.clone(),
        }
    }

    /// Whose records of a kind are.
    pub(super) fn place(&self, kind: &str) -> Place {
        let component = signature(kind).map_or(Component::Unknown, |known| known.component);
        if component != Component::Unknown {
            return self.place_of(component.word());
        }
        if SERVED.contains(&kind) {
            return self.place_of(Component::Apiserver.word());
        }
        let of_others = !OF_STREAM.contains(&kind)
            && (!self.etcd_alone || OF_CLIENTS.iter().any(|begin| kind.starts_with(begin)));
        match self.clients {
            Some(clients) if of_others => self.at(clients),
            _ => self.main.clone(),
        }
    }

    /// The place of a component, if it is one of the stream's.
    pub(super) fn place_of(&self, component: &str) -> Place {
        match self.seen.contains(&component) {
            true => self.at(component),
            false => self.main.clone(),
        }
    }

    /// The places of the components seen.
    pub(super) fn places(&self) -> impl Iterator<Item = Place> {
        self.seen.iter().map(|component| self.at(component))
    }

    /// The place of a writer that wrappers name.
    pub(super) fn place_of_writer(&self, writer: &str) -> Place {
        let (component, node) = writer::parts(writer);
        let mut place = self.at(component);
        if let Some(node) = node {
            place.node = Some(node.to_owned());
        }
        place
    }

    /// Whether several programs wrote the stream.
    pub(super) fn is_mixed(&self, stream: &StreamSummary) -> bool {
        let writers = stream.segment.writers.iter();
        writers
            .map(|(writer, _)| self.place_of_writer(writer))
            .chain(self.places())
            .any(|place| {
                place.component != self.main.component
                    && place.component != Component::Kernel.word()
            })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::logs::decode::{DecodeContext, Decoder};
    use crate::logs::record::Record;
    use crate::logs::scan::{Counter, TimeFilter};
    use crate::logs::summary::Summary;
    use crate::logs::view::View;

    const ETCD: &str = r#"{"level":"info","ts":"2026-11-21T20:29:51.513000Z","caller":"embed/etcd.go:311","msg":"starting an etcd server","etcd-version":"3.6.14","name":"cp0"}"#;
    const APISERVER: &str = "I1121 20:29:52.100000   21295 server.go:187] Version: v1.36.2";
    const MANAGER: &str =
        r#"I1121 20:29:55.665326   21313 controllermanager.go:211] "Starting" version="v1.36.2""#;
    const SCHEDULER: &str = r#"I1121 20:29:58.230058    1562 server.go:183] "Starting Kubernetes Scheduler" version="v1.36.2""#;
    const THROTTLED: &str = r#"I1121 20:30:20.660498   21313 request.go:697] Waited for 1.2s due to client-side throttling, not priority and fairness, request: POST:https://10.0.0.1:6443/api/v1/namespaces/default/pods"#;

    /// What is seen in the lines of a stream.
    fn view(named: &str, lines: &[String]) -> View {
        let component = match named {
            "etcd" => Component::Etcd,
            _ => Component::Unknown,
        };
        let mut counter =
            Counter::new(component, TimeFilter::of(None, None)).of_one(!named.is_empty());
        let of_hosts = |host: &str| lines.iter().any(|line| line.contains(host));
        let mut decoder = Decoder::new(DecodeContext {
            reference: Some(crate::clock::Timestamp::from_secs(1_795_400_000)),
            hosts: of_hosts(" cp0 ") && of_hosts(" cp1 "),
            ..DecodeContext::default()
        });
        decoder.block(lines.join("\n").as_bytes(), 1, &mut counter);
        decoder.finish(&mut |record: &Record<'_>| counter.add(record));
        let mut stream = counter.finish();
        stream.named = named.to_owned();
        View::of(&Summary {
            streams: vec![stream],
            ..Summary::default()
        })
    }

    fn plain(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|&line| line.to_owned()).collect()
    }

    /// The same lines, each by its writer as journald's short form, and what each program's are.
    fn wrapped(lines: &[(&str, &str)], wrapper: &dyn Fn(&str, &str) -> String) -> Vec<String> {
        lines.iter().map(|(who, line)| wrapper(who, line)).collect()
    }

    fn throttled(view: &View) -> Vec<(String, Option<&str>, u64)> {
        view.throttling
            .iter()
            .map(|delay| {
                let place = &delay.place;
                let node = place.node.as_deref();
                (place.component.clone(), node, delay.row.lines)
            })
            .collect()
    }

    fn starts(view: &View) -> Vec<(&str, usize)> {
        let mut all: Vec<_> = view
            .facts
            .iter()
            .map(|(place, facts)| (place.component.as_str(), facts.starts.len()))
            .filter(|(_, starts)| *starts > 0)
            .collect();
        all.sort_unstable();
        all
    }

    const ALL: [(&str, &str); 6] = [
        ("etcd", ETCD),
        ("kube-apiserver", APISERVER),
        ("kube-controller-manager", MANAGER),
        ("kube-scheduler", SCHEDULER),
        ("kube-controller-manager", THROTTLED),
        ("kube-controller-manager", THROTTLED),
    ];
    const ONE_EACH: [(&str, usize); 4] = [
        ("etcd", 1),
        ("kube-apiserver", 1),
        ("kube-controller-manager", 1),
        ("kube-scheduler", 1),
    ];

    #[test]
    fn a_wrapper_that_names_the_writer_is_believed() {
        let json = |text: &str| serde_json::to_string(text).expect("texts are JSON");
        type Wrapper<'w> = &'w dyn Fn(&str, &str) -> String;
        let wrappers: [(Wrapper<'_>, &str); 6] = [
            (
                &|who, line| format!("Nov 21 20:31:00 cp0 {who}[77]: {line}"),
                "cp0",
            ),
            (
                &|who, line| {
                    format!(
                        r#"{{"__REALTIME_TIMESTAMP":"1795293060000000","SYSLOG_IDENTIFIER":"{who}","MESSAGE":{}}}"#,
                        json(line)
                    )
                },
                "cp0",
            ),
            // The unit knows better than a wrapper script's name.
            (
                &|who, line| {
                    format!(
                        r#"{{"__REALTIME_TIMESTAMP":"1795293060000000","SYSLOG_IDENTIFIER":"run.sh","_SYSTEMD_UNIT":"{who}.service","MESSAGE":{}}}"#,
                        json(line)
                    )
                },
                "cp0",
            ),
            (
                &|who, line| {
                    format!(
                        "__CURSOR=s=1\n__REALTIME_TIMESTAMP=1795293060000000\n_SYSTEMD_UNIT={who}.service\nMESSAGE={line}\n"
                    )
                },
                "cp0",
            ),
            (&|who, line| format!("[pod/{who}-n7/{who}] {line}"), "n7"),
            (&|who, line| format!("{who}-n7 {who} {line}"), "n7"),
        ];
        for (wrapper, node) in wrappers {
            let view = view("", &wrapped(&ALL, wrapper));
            let shown = wrapper("WHO", "LINE");
            assert_eq!(
                throttled(&view),
                [("kube-controller-manager".to_owned(), Some(node), 2)],
                "{shown}"
            );
            assert_eq!(starts(&view), ONE_EACH, "{shown}");
            assert!(
                view.has("kube-scheduler") && view.mixed.contains(&0),
                "{shown}"
            );
        }
    }

    /// The members that started, and how often each.
    fn members(view: &View) -> Vec<(Option<&str>, usize)> {
        let facts = view.facts.iter();
        facts
            .filter(|(_, facts)| !facts.starts.is_empty())
            .map(|(place, facts)| (place.node.as_deref(), facts.starts.len()))
            .collect()
    }

    #[test]
    fn members_in_one_file_stay_apart() {
        let json = |text: &str| serde_json::to_string(text).expect("texts are JSON");
        type Wrapper<'w> = &'w dyn Fn(&str, &str) -> String;
        let wrappers: [(Wrapper<'_>, [&str; 2]); 6] = [
            (
                &|node, line| format!("[pod/etcd-{node}/etcd] {line}"),
                ["cp0", "cp1"],
            ),
            (
                &|node, line| format!("etcd-{node} etcd {line}"),
                ["cp0", "cp1"],
            ),
            (
                &|node, line| {
                    format!(
                        r#"{{"log":{},"kubernetes":{{"pod_name":"etcd-{node}","container_name":"etcd"}}}}"#,
                        json(line)
                    )
                },
                ["cp0", "cp1"],
            ),
            (
                &|node, line| {
                    let uid = "0123456789abcdef0123456789abcdef";
                    format!("pods/kube-system_etcd-{node}_{uid}/etcd/0.log:{line}")
                },
                ["cp0", "cp1"],
            ),
            (
                &|node, line| format!("etcd{}  | {line}", node.trim_start_matches("cp")),
                ["etcd0", "etcd1"],
            ),
            // A host's name needs the other one beside it.
            (
                &|node, line| format!("Nov 21 20:31:00 {node} etcd[7]: {line}"),
                ["cp0", "cp1"],
            ),
        ];
        for named in ["", "etcd"] {
            for (wrapper, nodes) in &wrappers {
                let lines: Vec<String> = ["cp0", "cp1"]
                    .iter()
                    .map(|node| wrapper(node, &ETCD.replace("\"cp0\"", "\"own\"")))
                    .collect();
                let shown = wrapper("NODE", "LINE");
                let found = view(named, &lines);
                assert_eq!(
                    members(&found),
                    [(Some(nodes[0]), 1), (Some(nodes[1]), 1)],
                    "{named} {shown}"
                );
                // One alone goes by its own name where no pod says another.
                let one = view(named, &lines[..1]);
                assert_eq!(members(&one).len(), 1, "{named} {shown}");
            }
        }
    }

    #[test]
    fn without_a_name_nobody_is_blamed() {
        let lines: Vec<&str> = ALL.iter().map(|(_, line)| *line).collect();
        let found = view("", &plain(&lines));
        assert_eq!(
            throttled(&found),
            [(UNNAMED_CLIENT.to_owned(), Some("cp0"), 2)]
        );
        assert_eq!(starts(&found), ONE_EACH);
        // One runtime's name for all of them is no name.
        let all = wrapped(&ALL, &|_, line| {
            format!("Nov 21 20:31:00 cp0 k3s[77]: {line}")
        });
        assert_eq!(
            throttled(&view("", &all)),
            [(UNNAMED_CLIENT.to_owned(), Some("cp0"), 2)]
        );
        // An etcd server does not throttle itself.
        assert_eq!(
            throttled(&view("", &plain(&[ETCD, THROTTLED]))),
            [(UNNAMED_CLIENT.to_owned(), Some("cp0"), 1)]
        );
        // A program that no wrapper names, beside others that one does.
        let mut some = wrapped(&ALL[..4], &|who, line| {
            format!("Nov 21 20:31:00 cp0 {who}[77]: {line}")
        });
        some.push(format!("Nov 21 20:31:00 cp0 some-agent[78]: {THROTTLED}"));
        assert_eq!(
            throttled(&view("", &some)),
            [(UNNAMED_CLIENT.to_owned(), Some("cp0"), 1)]
        );
    }

    #[test]
    fn one_named_line_does_not_name_the_others() {
        let named = format!("Nov 21 20:31:00 cp0 kube-controller-manager[77]: {THROTTLED}");
        let found = view("", &plain(&[THROTTLED, &named, THROTTLED]));
        assert_eq!(
            throttled(&found),
            [
                (UNNAMED_CLIENT.to_owned(), None, 2),
                ("kube-controller-manager".to_owned(), None, 1),
            ]
        );
    }

    #[test]
    fn the_only_client_of_a_stream_is_meant() {
        let found = view("", &plain(&[ETCD, MANAGER, THROTTLED]));
        assert_eq!(
            throttled(&found),
            [("kube-controller-manager".to_owned(), Some("cp0"), 1)]
        );
        assert_eq!(
            starts(&found),
            [("etcd", 1), ("kube-controller-manager", 1)]
        );
    }

    #[test]
    fn a_stream_of_one_program_is_that_programs_however_it_is_wrapped() {
        let places = |view: &View| {
            let kinds = view.kinds.iter().map(|kind| &kind.place);
            let facts = view.facts.iter().map(|(place, _)| place);
            let all = kinds.chain(facts).chain(&view.places);
            all.map(|place| place.component.clone())
                .collect::<BTreeSet<_>>()
        };
        let lines = [MANAGER, THROTTLED];
        let journal: Vec<String> = lines
            .iter()
            .map(|line| format!("Nov 21 20:31:00 cp0 kube-controller-manager[77]: {line}"))
            .collect();
        for found in [view("", &plain(&lines)), view("", &journal)] {
            assert_eq!(
                places(&found),
                BTreeSet::from(["kube-controller-manager".to_owned()])
            );
            assert!(found.mixed.is_empty());
            assert_eq!((found.facts.len(), found.kinds.len()), (1, 2));
        }
        // A file's name is believed.
        let found = view("my-controller", &plain(&[APISERVER, MANAGER, THROTTLED]));
        assert_eq!(places(&found), BTreeSet::from(["my-controller".to_owned()]));
    }
}
