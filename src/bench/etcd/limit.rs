//! What held a run back: disk, CPU, network, this client, or nothing that can be told.

/// One thing that may have been the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// This program, or the machine it runs on.
    Client,
    /// The servers' CPU.
    Cpu,
    /// The disk under the WAL or the database.
    Disk,
    /// The way between members, or between us and them.
    Network,
    /// Too few requests at once to keep the servers busy.
    Concurrency,
    /// The rate that was asked for was reached.
    None,
    /// Could not be told.
    Unknown,
}

impl Limit {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Limit::Client => "client",
            Limit::Cpu => "cpu",
            Limit::Disk => "disk",
            Limit::Network => "network",
            Limit::Concurrency => "concurrency",
            Limit::None => "none",
            Limit::Unknown => "unknown",
        }
    }
}

/// One member's part of the evidence.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemberFacts {
    /// Its name.
    pub name: String,
    /// Whether it led.
    pub leader: bool,
    /// Mean WAL fsync in seconds.
    pub fsync_mean: Option<f64>,
    /// Share of the time in which it waited for a WAL fsync.
    pub fsync_duty: Option<f64>,
    /// Share of the time in which a backend commit held the store.
    pub commit_duty: Option<f64>,
    /// Mean round trip to its peers in seconds.
    pub peer_mean: Option<f64>,
    /// Processors that it kept busy.
    pub cores: Option<f64>,
}

/// The evidence.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// Whether the load writes.
    pub writes: bool,
    /// Share of the asked rate that was reached; `None` in a closed loop.
    pub reached: Option<f64>,
    /// Mean latency in seconds.
    pub mean: f64,
    /// Requests at once.
    pub clients: u64,
    /// Share of one processor that this program used.
    pub own_cpu: Option<f64>,
    /// Share of this machine's processor time that was used, by whomever.
    pub machine_busy: Option<f64>,
    /// Processors of this machine.
    pub cpus: Option<u32>,
    /// Whether some member that got load runs on this machine.
    pub local: bool,
    /// A read that any member answers by itself, while nothing else was asked, in seconds.
    pub idle_read: Option<f64>,
    /// The members.
    pub members: Vec<MemberFacts>,
}

/// This program's load engine uses one processor: from here on it is full. Not 100 %: what the
/// kernel does for it in interrupts is not on its account.
const CLIENT_FULL: f64 = 0.9;
/// From here on a machine has no processor to spare.
const MACHINE_FULL: f64 = 0.95;
/// More than half of the time, or of the latency, in one place: that is where it goes.
const MAINLY: f64 = 0.5;
/// A rate counts as reached from here on: arrivals in flight at the end are not answered yet.
const REACHED: f64 = 0.99;

/// Ranks what may have been the limit, each with its evidence in words. Never empty.
pub fn limits(facts: &Facts) -> Vec<(Limit, String)> {
    let mut found = Vec::new();
    if let Some(share) = facts.own_cpu
        && share >= CLIENT_FULL
    {
        found.push((
            Limit::Client,
            format!(
                "this program used {:.0} % of the one processor it can use",
                share * 100.0
            ),
        ));
    }
    if let Some(reached) = facts.reached
        && reached >= REACHED
    {
        found.push((
            Limit::None,
            format!("{:.1} % of the asked rate was reached", reached * 100.0),
        ));
        return found;
    }
    // Without a processor to spare, a goroutine that comes back from an fsync waits for one, and
    // etcd's own clock counts that as disk: then the processors are told first.
    cpu(facts, &mut found);
    disk(facts, &mut found);
    network(facts, &mut found);
    if found.is_empty()
        && let Some(idle) = facts.idle_read
        && facts.reached.is_none()
        && facts.mean > 0.0
        && facts.clients <= 16
        && facts.members.iter().any(|m| m.cores.is_some())
    {
        found.push((
            Limit::Concurrency,
            format!(
                "{} requests at once at {:.2} ms each are {:.0} a second at most; an idle read \
                 takes {:.2} ms",
                facts.clients,
                facts.mean * 1e3,
                facts.clients as f64 / facts.mean,
                idle * 1e3
            ),
        ));
    }
    if found.is_empty() {
        let why = if facts.members.iter().all(|m| {
            *m == MemberFacts {
                name: m.name.clone(),
                leader: m.leader,
                ..MemberFacts::default()
            }
        }) {
            "no member's metrics could be read"
        } else {
            "neither disk, processors, network nor this program stand out"
        };
        found.push((Limit::Unknown, why.to_owned()));
    }
    found
}

fn disk(facts: &Facts, found: &mut Vec<(Limit, String)>) {
    if !facts.writes {
        return;
    }
    // Quorum: the leader's own disk counts unless a majority of the others is faster, which
    // cannot be seen from here. So the leader speaks, and the slowest where nobody led.
    let leads = facts.members.iter().any(|m| m.leader);
    let mut worst: Option<(f64, String)> = None;
    for member in facts.members.iter().filter(|m| m.leader || !leads) {
        for (what, duty) in [
            ("WAL fsync", member.fsync_duty),
            ("backend commits", member.commit_duty),
        ] {
            let Some(duty) = duty.filter(|duty| *duty >= MAINLY) else {
                continue;
            };
            if worst.as_ref().is_none_or(|(most, _)| duty > *most) {
                worst = Some((
                    duty,
                    format!(
                        "{} spent {:.0} % of the time in {what}",
                        member.name,
                        duty * 100.0
                    ),
                ));
            }
        }
        if worst.is_none()
            && let Some(mean) = member.fsync_mean
            && facts.mean > 0.0
            && mean >= MAINLY * facts.mean
        {
            worst = Some((
                mean / facts.mean,
                format!(
                    "a WAL fsync of {} takes {:.2} ms of the mean latency of {:.2} ms",
                    member.name,
                    mean * 1e3,
                    facts.mean * 1e3
                ),
            ));
        }
    }
    if let Some((_, mut words)) = worst {
        if found.iter().any(|(limit, _)| *limit == Limit::Cpu) {
            words.push_str(
                "; on a machine without a processor to spare that is partly waiting for one",
            );
        }
        found.push((Limit::Disk, words));
    }
}

fn cpu(facts: &Facts, found: &mut Vec<(Limit, String)>) {
    // A server that died took its counters along.
    let known = facts.members.iter().filter_map(|m| m.cores);
    let servers = known.reduce(|a, b| a + b);
    if facts.local
        && let Some(busy) = facts.machine_busy
        && busy >= MACHINE_FULL
    {
        let cpus = facts.cpus.map_or(String::new(), |n| format!(" {n}"));
        let mut words = format!(
            "the{cpus} processors of this machine were {:.0} % busy: etcd {}",
            busy * 100.0,
            servers.map_or("could not be told".to_owned(), |cores| format!(
                "{cores:.2}"
            ))
        );
        if let Some(own) = facts.own_cpu {
            words.push_str(&format_args!(", this program {own:.2}").to_string());
            if let (Some(cpus), Some(servers)) = (facts.cpus, servers) {
                let others = f64::from(cpus) * busy - servers - own;
                if others > 0.1 * f64::from(cpus) {
                    words.push_str(&format_args!(", others {others:.2}").to_string());
                }
            }
        }
        found.push((Limit::Cpu, words));
    }
}

fn network(facts: &Facts, found: &mut Vec<(Limit, String)>) {
    if facts.mean <= 0.0 {
        return;
    }
    let peer = facts
        .members
        .iter()
        .filter_map(|m| m.peer_mean)
        .reduce(f64::min);
    if facts.writes
        && let Some(peer) = peer
        && peer >= MAINLY * facts.mean
    {
        found.push((
            Limit::Network,
            format!(
                "a round trip between members takes {:.2} ms of the mean latency of {:.2} ms",
                peer * 1e3,
                facts.mean * 1e3
            ),
        ));
    }
    // On the same machine an idle read is the time of the server, not of a way.
    if !facts.local
        && let Some(idle) = facts.idle_read
        && idle >= MAINLY * facts.mean
    {
        found.push((
            Limit::Network,
            format!(
                "a read from an idle member takes {:.2} ms of the mean latency of {:.2} ms",
                idle * 1e3,
                facts.mean * 1e3
            ),
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            writes: true,
            mean: 0.010,
            clients: 100,
            own_cpu: Some(0.3),
            machine_busy: Some(0.4),
            cpus: Some(4),
            local: true,
            idle_read: Some(0.0003),
            members: vec![MemberFacts {
                name: "m1".to_owned(),
                leader: true,
                fsync_mean: Some(0.001),
                fsync_duty: Some(0.2),
                commit_duty: Some(0.1),
                peer_mean: None,
                cores: Some(1.0),
            }],
            ..Facts::default()
        }
    }

    fn first(facts: &Facts) -> Limit {
        limits(facts)[0].0
    }

    #[test]
    fn each_limit_is_found_by_its_own_sign() {
        assert_eq!(first(&facts()), Limit::Unknown);
        let mut full = facts();
        full.own_cpu = Some(0.95);
        assert_eq!(first(&full), Limit::Client);
        let mut slow = facts();
        slow.members[0].fsync_duty = Some(0.8);
        assert_eq!(first(&slow), Limit::Disk);
        let mut single = facts();
        single.members[0].fsync_mean = Some(0.006);
        assert_eq!(first(&single), Limit::Disk);
        let mut busy = facts();
        busy.machine_busy = Some(0.99);
        assert_eq!(first(&busy), Limit::Cpu);
        let mut far = facts();
        far.members[0].peer_mean = Some(0.008);
        assert_eq!(first(&far), Limit::Network);
        let mut few = facts();
        few.clients = 1;
        assert_eq!(first(&few), Limit::Concurrency);
    }

    #[test]
    fn a_starved_machine_is_told_before_the_disk_that_it_makes_look_slow() {
        let mut starved = facts();
        starved.machine_busy = Some(1.0);
        starved.members[0].fsync_duty = Some(0.7);
        let all = limits(&starved);
        assert_eq!((all[0].0, all[1].0), (Limit::Cpu, Limit::Disk));
        assert!(all[0].1.contains("others 2.70"), "{}", all[0].1);
        assert!(all[1].1.contains("waiting for one"), "{}", all[1].1);
    }

    #[test]
    fn a_reached_rate_was_not_limited() {
        let mut met = facts();
        met.reached = Some(0.999);
        met.members[0].fsync_duty = Some(0.9);
        assert_eq!(first(&met), Limit::None);
    }

    #[test]
    fn reads_do_not_blame_the_disk_and_a_far_machine_is_not_blamed_for_ours() {
        let mut reads = facts();
        reads.writes = false;
        reads.members[0].fsync_duty = Some(0.9);
        assert_eq!(first(&reads), Limit::Unknown);
        let mut far = facts();
        far.local = false;
        far.machine_busy = Some(1.0);
        assert_eq!(first(&far), Limit::Unknown);
    }

    #[test]
    fn without_metrics_it_says_so() {
        let mut blind = facts();
        blind.members = vec![MemberFacts::default()];
        let all = limits(&blind);
        assert_eq!(all[0].0, Limit::Unknown);
        assert!(all[0].1.contains("metrics"));
    }
}
