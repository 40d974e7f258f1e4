//! Which groups of scrapes are of one process, whatever their files are called and wherever they lie.

use std::collections::BTreeMap;

use crate::catalog::metrics::Metric;

use super::group::{join, key_of, value_of};
use super::identity::{self, Role};
use super::load::Loader;
use super::store::Scrape;
use super::timeline::Target;

/// Scrapes that are of one process as far as their names tell.
pub(super) struct Group {
    pub(super) target: Target,
    pub(super) scrapes: Vec<Scrape>,
    /// Where they were read: names of files tell whose they are within one folder only.
    pub(super) place: usize,
    /// The caller gave its node.
    pub(super) sure: bool,
}

impl Loader {
    /// Puts together what is of one process. `name` gives the nodes of targets, by their places.
    pub(super) fn joined(
        &self,
        groups: Vec<Group>,
        name: impl Fn(&[(usize, &Target)]) -> Vec<Option<String>>,
    ) -> Vec<Group> {
        let rename = |groups: &mut [Group], wanted: fn(&Group) -> bool| {
            let targets: Vec<(usize, &Target)> =
                groups.iter().map(|one| (one.place, &one.target)).collect();
            let names = name(&targets);
            for (group, node) in groups.iter_mut().zip(names) {
                if node.is_some() && wanted(group) {
                    group.target.node = node;
                    group.sure = true;
                }
            }
        };
        let mut groups = self.join_numbered(groups);
        rename(&mut groups, |_| true);
        let mut groups = self.join_processes(groups);
        // What names of files spoiled has none now, and a place may know it.
        rename(&mut groups, |group| group.target.node.is_none());
        let mut same: BTreeMap<_, usize> = BTreeMap::new();
        let mut out: Vec<Group> = Vec::new();
        for group in groups {
            let at = *same.entry(key_of(&group.target)).or_insert(out.len());
            match out.get_mut(at) {
                Some(have) => have.scrapes.extend(group.scrapes),
                None => out.push(group),
            }
        }
        out
    }

    /// A file's name decides nothing where its content can: scrapes of one process are one target,
    /// whatever they are called. A member's id alone does not tell it, since every lone etcd with
    /// its default addresses has the same one: the start of the process does.
    fn join_processes(&self, groups: Vec<Group>) -> Vec<Group> {
        let mut out: Vec<(Group, Vec<Option<String>>)> = Vec::new();
        // Servers that surely are on two nodes are two, though each has ended before the other began.
        let apart = |a: &Group, b: &Group| a.sure && b.sure && a.target.node != b.target.node;
        for group in groups {
            let same = out.iter_mut().find(|(have, _)| {
                have.target.component == group.target.component
                    && have.target.member_id == group.target.member_id
                    && match have.target.member_id {
                        Some(_) => {
                            self.is_one_life(&have.scrapes, &group.scrapes)
                                || (!apart(have, &group)
                                    && self.is_one_member(&have.scrapes, &group.scrapes))
                        }
                        None => self.is_one_process(have, &group),
                    }
            });
            match same {
                Some((have, names)) => {
                    // A name that is sure stands above those of files.
                    if group.sure && !have.sure {
                        have.sure = true;
                        names.clear();
                    }
                    if group.sure == have.sure {
                        names.push(group.target.node);
                    }
                    have.target.instance = have.target.instance.take().or(group.target.instance);
                    have.scrapes.extend(group.scrapes);
                }
                None => {
                    let name = group.target.node.clone();
                    out.push((group, vec![name]));
                }
            }
        }
        let mut joined: Vec<Group> = Vec::new();
        for (mut group, names) in out {
            if let [Some(name)] = names.as_slice() {
                group.target.node = Some(name.clone());
            }
            if names.len() > 1 {
                let names: Vec<&str> = names.iter().flatten().map(String::as_str).collect();
                let target = &mut group.target;
                target.node = identity::common_name(&names);
                let taken = joined
                    .iter()
                    .any(|have| key_of(&have.target) == key_of(target));
                if taken {
                    target.instance = join(target.instance.as_deref(), target.member_id.as_deref());
                }
            }
            joined.push(group);
        }
        joined
    }

    fn start(&self, scrape: &Scrape) -> Option<f64> {
        value_of(&self.interner, scrape, Metric::StartTime)
    }

    fn starts(&self, scrapes: &[Scrape]) -> Vec<f64> {
        scrapes.iter().filter_map(|one| self.start(one)).collect()
    }

    /// Whether scrapes with one member's id are of one process.
    fn is_one_life(&self, a: &[Scrape], b: &[Scrape]) -> bool {
        let of_b = self.starts(b);
        let of_a = self.starts(a);
        of_a.iter()
            .any(|a| of_b.iter().any(|b| (a - b).abs() < 1.0))
    }

    /// Whether scrapes with one member's id are of a process that was restarted.
    fn is_one_member(&self, a: &[Scrape], b: &[Scrape]) -> bool {
        let start = |scrape: &Scrape| self.start(scrape);
        let (of_a, of_b) = (self.starts(a), self.starts(b));
        // One life ends before the other begins. Names that Prometheus gives are no file names.
        let ends_before = |a: &[Scrape], starts: &[f64]| {
            let begin = starts.iter().copied().fold(f64::INFINITY, f64::min);
            a.iter().all(|scrape| {
                scrape.from.is_none()
                    && start(scrape).is_some()
                    && scrape
                        .at
                        .is_some_and(|(at, _)| at.0 as f64 / 1e6 <= begin + 5.0)
            })
        };
        !of_a.is_empty()
            && !of_b.is_empty()
            && b.iter().all(|scrape| scrape.from.is_none())
            && (ends_before(a, &of_b) || ends_before(b, &of_a))
    }

    /// Whether scrapes of a component that has no id are of one process. Linux tells a start in steps
    /// of 10 ms, so that no two nodes share one by chance; one in whole seconds tells less. A name that
    /// Prometheus gives is true, and an etcd without its id is what its name says.
    fn is_one_process(&self, a: &Group, b: &Group) -> bool {
        let named = |group: &Group| group.scrapes.iter().any(|scrape| scrape.from.is_some());
        let starts = |group: &Group| -> Vec<u64> {
            let starts = group.scrapes.iter().filter_map(|scrape| self.start(scrape));
            let exact = starts.filter(|start| start.fract() != 0.0);
            exact.map(f64::to_bits).collect()
        };
        let alike = a.target.roles == b.target.roles && a.target.instance == b.target.instance;
        alike && !a.target.is(Role::Etcd) && !named(a) && !named(b) && {
            let of_b = starts(b);
            starts(a).iter().any(|start| of_b.contains(start))
        }
    }

    /// `etcd-cp-a-1.prom` and `etcd-cp-a-2.prom` may be two nodes, or two scrapes of one: the
    /// start of the process tells.
    fn join_numbered(&self, groups: Vec<Group>) -> Vec<Group> {
        let start = |scrapes: &[Scrape]| self.start(scrapes.first()?);
        let mut out: Vec<Group> = Vec::new();
        for group in groups {
            let target = &group.target;
            let same = out.iter_mut().find_map(|kept| {
                let have = &kept.target;
                let stem =
                    identity::same_but_number(have.node.as_deref()?, target.node.as_deref()?)
                        .map(str::to_owned)
                        .or_else(|| {
                            have.node.clone().filter(|node| {
                                identity::same_but_number(
                                    target.node.as_deref().unwrap_or_default(),
                                    &format!("{node}-0"),
                                )
                                .is_some()
                            })
                        })?;
                let one_process = kept.place == group.place
                    && have.component == target.component
                    && have.instance == target.instance
                    && have.member_id == target.member_id
                    && start(&kept.scrapes).is_some_and(|a| start(&group.scrapes) == Some(a));
                one_process.then_some((kept, stem))
            });
            match same {
                Some((kept, stem)) => {
                    kept.target.node = Some(stem);
                    kept.scrapes.extend(group.scrapes);
                }
                None => out.push(group),
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::metrics::{Hint, Limits, Model};

    /// Two scrapes of each of two lone etcds with their default addresses, and so with the same id; the
    /// second one began after the first one had ended.
    fn two(name: impl Fn(&[(usize, &Target)]) -> Vec<Option<String>>) -> Model {
        let mut loader = Loader::new(Limits::default());
        for (folder, start) in [("a", 1_000.0), ("b", 9_000.0)] {
            loader.next_place();
            for (number, secs) in [(1, 10), (2, 70)] {
                let text = format!(
                    "# TYPE etcd_server_id gauge\netcd_server_id{{server_id=\"8e9e05c52164694d\"}} 1\n\
                     # TYPE process_start_time_seconds gauge\nprocess_start_time_seconds {start}\n"
                );
                #[expect(clippy::cast_possible_truncation, reason = "small numbers")]
                let taken = Timestamp::from_secs(start as i64 + secs);
                let hint = Hint {
                    taken: Some(taken),
                    ..Hint::default()
                };
                let path = format!("etcd-m0-{number}.prom");
                loader.add(&path, &format!("{folder}/{path}"), text.as_bytes(), &hint);
            }
        }
        loader.finish_named(name)
    }

    #[test]
    fn servers_that_are_surely_on_two_nodes_are_two() {
        let lines = |model: &Model| -> Vec<(Option<String>, usize)> {
            let lines = model.timelines.iter();
            lines
                .map(|line| (line.target.node.clone(), line.columns.len()))
                .collect()
        };
        let apart = two(|targets| {
            let of = |(place, _): &(usize, &Target)| Some(format!("cp{place}"));
            targets.iter().map(of).collect()
        });
        let named = |name: &str| Some(name.to_owned());
        assert_eq!(lines(&apart), [(named("cp1"), 2), (named("cp2"), 2)]);
        // Nothing tells whose they are: one that was restarted.
        let one = two(|targets| vec![None; targets.len()]);
        assert_eq!(lines(&one), [(named("m0"), 4)]);
        // One of them is known, and stands above what a file's name tells.
        let known = two(|targets| {
            let of = |(place, _): &(usize, &Target)| (*place == 2).then(|| "cp2".to_owned());
            targets.iter().map(of).collect()
        });
        assert_eq!(lines(&known), [(named("cp2"), 4)]);
    }
}
