//! Whose metrics a scrape holds: by its content first, by its file name where content is silent.

use super::moment::time_in;

/// A component of the control plane that metrics can come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// etcd.
    Etcd,
    /// kube-apiserver.
    Apiserver,
    /// kube-controller-manager.
    ControllerManager,
    /// kube-scheduler.
    Scheduler,
    /// A kubelet.
    Kubelet,
    /// Another controller: with work queues or controller-runtime.
    Controller,
}

impl Role {
    /// Whether it runs on every control-plane node of its own.
    pub fn is_static_pod(self) -> bool {
        matches!(
            self,
            Role::Etcd | Role::Apiserver | Role::ControllerManager | Role::Scheduler
        )
    }

    /// The name it goes by.
    pub fn word(self) -> &'static str {
        match self {
            Role::Etcd => "etcd",
            Role::Apiserver => "kube-apiserver",
            Role::ControllerManager => "kube-controller-manager",
            Role::Scheduler => "kube-scheduler",
            Role::Kubelet => "kubelet",
            Role::Controller => "controller",
        }
    }
}

/// What a file name says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) role: Option<Role>,
    /// The component as written, for controllers: `capi-controller-manager`.
    pub(super) component: Option<String>,
    pub(super) node: Option<String>,
    /// All words of the file name but times and noise: `etcd-operator-m0`.
    pub(super) stem: String,
}

impl Named {
    /// The component's name when the words do not mean what they seem to: `etcd-operator` is no
    /// etcd.
    pub(super) fn literal(&self) -> Option<(String, Option<String>)> {
        let words = words(&self.stem);
        let (last, first) = words.split_last()?;
        Some(if is_member(last) && !first.is_empty() {
            (first.join("-"), Some(last.clone()))
        } else {
            (words.join("-"), None)
        })
    }
}

/// Spellings of components in file names, longest first.
const SPELLINGS: [(&str, Role); 13] = [
    ("kube-controller-manager", Role::ControllerManager),
    ("kube_controller_manager", Role::ControllerManager),
    ("kubecontrollermanager", Role::ControllerManager),
    ("controller-manager", Role::ControllerManager),
    ("kube-apiserver", Role::Apiserver),
    ("kube_apiserver", Role::Apiserver),
    ("kube-scheduler", Role::Scheduler),
    ("kube_scheduler", Role::Scheduler),
    ("apiserver", Role::Apiserver),
    ("scheduler", Role::Scheduler),
    ("kubelet", Role::Kubelet),
    ("etcd", Role::Etcd),
    ("kcm", Role::ControllerManager),
];

/// Words in file names that are neither a component nor a node.
const NOISE: [&str; 24] = [
    "metrics",
    "metric",
    "scrape",
    "prom",
    "prometheus",
    "txt",
    "text",
    "log",
    "out",
    "gz",
    "zst",
    "before",
    "after",
    "first",
    "last",
    "second",
    "start",
    "end",
    "begin",
    "old",
    "new",
    "raw",
    "dump",
    "pod",
];

/// Reads a path inside the folder that was given: `COMPONENT-NODE-TIME.prom`, `NODE/metrics/…`,
/// `etcd_10.0.0.1.txt` and what people make of it.
pub(super) fn from_path(path: &str) -> Named {
    let mut parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty()).collect();
    let file = parts.pop().unwrap_or_default();
    let mut named = from_file(file);
    // Folders say what the file does not: NODE/metrics/etcd-1.prom, etcd/NODE.prom.
    for folder in parts.iter().rev() {
        if is_noise(folder) || time_in(folder).is_some() {
            continue;
        }
        let said = from_file(folder);
        named.role = named.role.or(said.role);
        if named.node.is_none() {
            named.node = said.node;
        }
    }
    named
}

fn from_file(file: &str) -> Named {
    let mut stem = file.to_owned();
    if let Some((_, range)) = time_in(&stem) {
        stem.replace_range(range, "");
    }
    // Endings, as many as there are: `.prom.gz`.
    while let Some((rest, end)) = stem.rsplit_once('.')
        && (end.is_empty() || NOISE.contains(&end.to_ascii_lowercase().as_str()))
    {
        stem = rest.to_owned();
    }
    let lower = stem.to_ascii_lowercase();
    let begins = |word: &str| {
        lower.strip_prefix(word).is_some_and(|rest| {
            rest.chars()
                .next()
                .is_none_or(|c| !c.is_ascii_alphanumeric())
        })
    };
    let mut named = Named {
        stem: stem.clone(),
        ..Named::default()
    };
    let rest = match SPELLINGS.iter().find(|(word, _)| begins(word)) {
        Some((word, role)) => {
            named.role = Some(*role);
            stem.get(word.len()..).unwrap_or_default().to_owned()
        }
        None => stem,
    };
    let words = words(&rest);
    if named.role.is_some() {
        named.node = node_of(&words);
        return named;
    }
    // `NODE-etcd`, `capi-controller-manager-m0`: a component further on, or none that is known.
    let joined = words.join("-");
    for (word, role) in SPELLINGS {
        if let Some(at) = joined.find(word)
            && let Some((before, after)) = joined.split_at_checked(at)
            && before.ends_with('-')
        {
            let before = before.trim_end_matches('-');
            let after = after.get(word.len()..).unwrap_or_default();
            if role == Role::ControllerManager && word == "controller-manager" {
                // Operators are called so too; the content decides.
                named.component = Some(format!("{before}-{word}"));
                named.node = node_of(&self::words(after));
            } else {
                named.role = Some(role);
                named.node = Some(before.to_owned());
            }
            return named;
        }
    }
    match words.split_last() {
        Some((last, first)) if is_member(last) && !first.is_empty() => {
            named.component = Some(first.join("-"));
            named.node = Some(last.clone());
        }
        Some(_) => named.node = node_of(&words),
        None => {}
    }
    named
}

/// `m0`, `m1`, …: a member by number.
fn is_member(word: &str) -> bool {
    word.strip_prefix('m')
        .is_some_and(|n| !n.is_empty() && n.len() <= 2 && n.bytes().all(|b| b.is_ascii_digit()))
}

/// Words without noise and counters, dots kept so that addresses stay whole.
fn words(text: &str) -> Vec<String> {
    text.split(['-', '_', '@', ' ', '+', '='])
        .map(|word| word.trim_matches('.'))
        .filter(|word| !word.is_empty() && !is_noise(word))
        .map(|word| without_count(word).to_owned())
        .collect()
}

/// `m1` of `m1.0`, the first scrape of that member.
fn without_count(word: &str) -> &str {
    let count = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match word.split_once('.') {
        Some((member, number)) if is_member(member) && count(number) => member,
        _ => word,
    }
}

fn is_noise(word: &str) -> bool {
    NOISE.contains(&word.to_ascii_lowercase().as_str())
}

/// A number alone counts scrapes; `m0-2` is the second one of `m0`.
fn node_of(words: &[String]) -> Option<String> {
    let is_number = |word: &String| word.bytes().all(|b| b.is_ascii_digit());
    match words {
        [first, rest @ ..] if is_member(first) && rest.iter().all(is_number) => Some(first.clone()),
        [] => None,
        words if words.iter().all(is_number) => None,
        words => Some(words.join("-")),
    }
}

/// Whether two names are of one node with a number for each scrape: `cp-a-1` and `cp-a-2`.
pub(super) fn same_but_number<'a>(a: &'a str, b: &str) -> Option<&'a str> {
    let stem = |name: &'a str| {
        let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
        (stem.len() < name.len())
            .then(|| stem.strip_suffix('-'))
            .flatten()
    };
    let other = b.trim_end_matches(|c: char| c.is_ascii_digit());
    let other = other.strip_suffix('-').filter(|_| other.len() < b.len());
    stem(a).filter(|stem| Some(*stem) == other)
}

/// What the names of one process's scrapes have in common: `cp-1` of `cp-1` alone, `cp` of `cp1` and
/// `cp2`, nothing of `a` and `b`, nor of `metrics1` and `metrics2`.
pub(super) fn common_name(names: &[&str]) -> Option<String> {
    let (first, others) = names.split_first()?;
    if others.iter().all(|name| name == first) {
        return Some((*first).to_owned());
    }
    let mut end = first.len();
    for name in others {
        let alike = first
            .char_indices()
            .zip(name.chars())
            .find(|((_, a), b)| a != b)
            .map_or(first.len().min(name.len()), |((at, _), _)| at);
        end = end.min(alike);
    }
    let prefix = first.get(..end)?;
    let apart = |c: char| matches!(c, '-' | '_' | '.');
    let parts = |c: char| c.is_ascii_digit() || apart(c);
    // Digits belong to the name where one of them is it as a whole: `cp-1` and `cp-1-again`.
    let is_one = names.contains(&prefix)
        && names
            .iter()
            .filter_map(|name| name.strip_prefix(prefix))
            .all(|rest| rest.is_empty() || rest.starts_with(apart));
    let stem = if is_one {
        prefix
    } else {
        prefix.trim_end_matches(parts)
    };
    let whole = names.iter().all(|name| {
        name.get(stem.len()..)
            .is_none_or(|rest| rest.is_empty() || rest.starts_with(parts))
    });
    let lower = stem.to_ascii_lowercase();
    let speaks =
        stem.len() > 1 && !is_noise(stem) && !SPELLINGS.iter().any(|(word, _)| *word == lower);
    (whole && speaks).then(|| stem.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(path: &str) -> (Option<Role>, Option<String>, Option<String>) {
        let n = from_path(path);
        (n.role, n.component, n.node)
    }

    #[test]
    fn names_people_give_to_scrapes() {
        let some = |s: &str| Some(s.to_owned());
        let cases = [
            (
                "etcd-m0-20261121T203026.483Z.prom",
                Some(Role::Etcd),
                None,
                some("m0"),
            ),
            (
                "metrics/kube-apiserver-m0-20261121T203026.549Z.prom.gz",
                Some(Role::Apiserver),
                None,
                some("m0"),
            ),
            ("etcd.prom", Some(Role::Etcd), None, None),
            ("etcd-before.txt", Some(Role::Etcd), None, None),
            (
                "etcd_10.0.0.1.txt",
                Some(Role::Etcd),
                None,
                some("10.0.0.1"),
            ),
            (
                "cp-1/metrics/etcd-1.prom",
                Some(Role::Etcd),
                None,
                some("cp-1"),
            ),
            ("cp-1-etcd.prom", Some(Role::Etcd), None, some("cp-1")),
            (
                "kube-controller-manager-cp-1.metrics",
                Some(Role::ControllerManager),
                None,
                some("cp-1"),
            ),
            (
                "capi-controller-manager-m0-20261121T203026.483Z.prom",
                None,
                some("capi-controller-manager"),
                some("m0"),
            ),
            (
                "bmo-m1-20261121T203026.483Z.prom",
                None,
                some("bmo"),
                some("m1"),
            ),
            (
                "etcd-events-m0-20261121T203026.483Z.prom",
                Some(Role::Etcd),
                None,
                some("events-m0"),
            ),
            ("etcd-m0-2.prom", Some(Role::Etcd), None, some("m0")),
            ("etcd-m1.0", Some(Role::Etcd), None, some("m1")),
            ("etcd-m1.12.prom.gz", Some(Role::Etcd), None, some("m1")),
            (
                "etcd-m1.example",
                Some(Role::Etcd),
                None,
                some("m1.example"),
            ),
            ("scrape1.txt", None, None, some("scrape1")),
            ("metrics-2.txt", None, None, None),
        ];
        for (path, role, component, node) in cases {
            assert_eq!(named(path), (role, component, node), "{path}");
        }
    }

    #[test]
    fn numbered_scrapes_of_one_node() {
        assert_eq!(same_but_number("cp-a-1", "cp-a-2"), Some("cp-a"));
        assert_eq!(same_but_number("cp-a-1", "cp-b-2"), None);
        assert_eq!(same_but_number("cp1", "cp2"), None);
    }

    #[test]
    fn what_names_of_one_process_share() {
        for (names, shared) in [
            (&["cp-1", "cp-1"][..], Some("cp-1")),
            (&["cp1", "cp2"], Some("cp")),
            (&["cp-1", "cp-1-again"], Some("cp-1")),
            (&["east-before", "east-then", "east"], Some("east")),
            (&["a", "b"], None),
            (&["t0", "t1"], None),
            (&["metrics1", "metrics2"], None),
            (&["etcd1", "etcd2"], None),
            (&["alpha", "alto"], None),
            (&["ü1", "ö2"], None),
            (&[], None),
        ] {
            assert_eq!(common_name(names).as_deref(), shared, "{names:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn common_names_never_panic(a in "\\PC{0,8}", b in "\\PC{0,8}") {
            common_name(&[&a, &b]);
        }

        #[test]
        fn never_panics(path in "\\PC{0,60}") {
            from_path(&path);
        }
    }
}
