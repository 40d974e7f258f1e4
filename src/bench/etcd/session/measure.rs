//! One run: its clients under the watchdog's eyes, between two looks at the servers and at this
//! machine.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::arrivals::Arrivals;
use super::super::channel::Channel;
use super::super::client::{Client, Common};
use super::super::drive::{self, Link, Run};
use super::super::grpc::CallError;
use super::super::guard::{self, Early, Watchdog, Watched};
use super::super::record::{Op, Recorder};
use super::super::server::{Counters, Delta, between};
use super::super::shape::{Schedule, Shape};
use super::super::workload::Workload;
use super::{Measured, Session, Spec, Surroundings};

impl Session<'_> {
    /// Makes one run.
    pub async fn measure(
        &mut self,
        spec: &Spec<'_>,
        around: &mut dyn Surroundings,
    ) -> Result<Measured, CallError> {
        let common = Common {
            keys: Rc::clone(&self.keys),
            workload: spec.workload,
            serializable: self.plan.serializable,
            page: self.plan.page,
            lease_ttl: self.plan.lease_ttl,
            clients: spec.clients,
        };
        let clients: Vec<_> = (0..spec.clients)
            .map(|number| Rc::new(RefCell::new(Client::new(&common, number))))
            .collect();
        self.prepare(spec, &clients, around).await?;
        let links: Vec<_> = self
            .links
            .iter()
            .take(usize::try_from(spec.connections).unwrap_or(usize::MAX))
            .cloned()
            .collect();
        if !spec.warm_up.is_zero() && !self.stopped() {
            around.progress("warming up", spec.warm_up);
            let begin = Instant::now();
            // At the rate of the run's begin: a warm-up must not be the harder part.
            let arrivals = match &spec.schedule {
                Some(schedule) => {
                    let rate = schedule.rate_at(0).max(1.0);
                    let secs = spec.warm_up.as_secs_f64();
                    let steady = Schedule::new(Shape::Constant, rate, secs);
                    Arrivals::open(begin, spec.warm_up, steady)
                }
                None => Arrivals::closed(begin, spec.warm_up, None),
            };
            let early: &Early = &|_, _| None;
            self.drive(spec, arrivals, &links, &clients, Some(early), true)
                .await?;
        }
        let before = self.scrape(around);
        let machine_before = around.machine();
        around.progress("measuring", spec.time);
        let cpu_before = crate::sys::own_cpu();
        let begin = Instant::now();
        let arrivals = match spec.schedule {
            Some(schedule) => match spec.queue {
                Some(queue) => Arrivals::limited(begin, spec.time, schedule, queue),
                None => Arrivals::open(begin, spec.time, schedule),
            },
            None => Arrivals::closed(begin, spec.time, spec.total),
        };
        let mut measured = self
            .drive(spec, arrivals, &links, &clients, spec.early, false)
            .await?;
        let cpu_after = crate::sys::own_cpu();
        let machine_after = around.machine();
        for client in &clients {
            self.extra.extend_from_slice(client.borrow().leases());
        }
        self.extra.sort_unstable();
        self.extra.dedup();
        measured.own_cpu = cpu_before
            .zip(cpu_after)
            .map(|(before, after)| (after.0 - before.0, after.1 - before.1));
        if let (Some(before), Some(after)) = (machine_before, machine_after) {
            let total = after.total.saturating_sub(before.total);
            let busy = after.busy.saturating_sub(before.busy);
            measured.machine_busy = (total > 0).then(|| busy as f64 / total as f64);
            measured.cpus = Some(after.cpus);
        }
        measured.idle = self.idle;
        let after = self.scrape(around);
        measured.servers = before
            .into_iter()
            .zip(after)
            .map(|pair| match pair {
                (Ok((then, before)), Ok((now, after))) => between(&before, &after)
                    .map(|delta| Delta {
                        secs: now.saturating_duration_since(then).as_secs_f64(),
                        ..delta
                    })
                    .ok_or_else(|| "it was restarted during the run".to_owned()),
                (Err(why), _) | (_, Err(why)) => Err(why),
            })
            .collect();
        Ok(measured)
    }

    /// What each member counted, and when it answered.
    fn scrape(&self, around: &mut dyn Surroundings) -> Vec<Result<(Instant, Counters), String>> {
        self.cluster
            .members
            .iter()
            .map(|member| {
                let text = around.metrics(&member.address)?;
                Ok((Instant::now(), Counters::parse(&text)))
            })
            .collect()
    }

    /// Runs the clients under the watchdog's eyes.
    async fn drive(
        &mut self,
        spec: &Spec<'_>,
        arrivals: Arrivals,
        links: &[Rc<Link>],
        clients: &[Rc<RefCell<Client>>],
        early: Option<&Early>,
        warm: bool,
    ) -> Result<Measured, CallError> {
        let renewed = self.auth.renewals();
        let recorder = Recorder::new(arrivals.begin(), arrivals.is_open());
        let run = Rc::new(Run {
            arrivals,
            recorder: RefCell::new(recorder),
            limit: self.plan.limit,
        });
        let leader = self.cluster.leader_id().unwrap_or(0);
        let term = self.cluster.members.iter().map(|m| m.status.term).max();
        let dog = Watchdog {
            allowance: self.allowance,
            db_before: self.db_before,
            leader,
            term: term.unwrap_or(0),
            idle: self.idle,
            floor: if self.foreign {
                guard::FLOOR_PRODUCTION
            } else {
                guard::FLOOR_SCRATCH
            },
            signal: Arc::clone(&self.signal),
        };
        let watched = RefCell::new(Watched::default());
        let done = Cell::new(false);
        let mut channels: Vec<Channel> = self.control().into_iter().collect();
        for place in &self.chosen {
            if let Some(member) = self.cluster.members.get(*place)
                && channels.iter().all(|c| c.name() != member.channel.name())
            {
                channels.push(member.channel.clone());
            }
        }
        let mut watch = None;
        {
            let work = async {
                if spec.workload == Workload::Watch {
                    watch = Some(self.watchers(&run, links, clients, warm).await?);
                } else {
                    drive::all(&run, links, clients, spec.workload).await;
                }
                done.set(true);
                Ok::<(), CallError>(())
            };
            let guard = dog.watch(&run, channels, early, &watched, &done);
            let (result, ()) = tokio::join!(work, guard);
            result?;
        }
        self.db_seen = self.db_seen.max(watched.borrow().db_size);
        let now = Instant::now();
        let unserved = run.arrivals.unserved(now);
        let begin = run.arrivals.begin();
        let run = Rc::into_inner(run)
            .ok_or_else(|| CallError::Transport("a client did not end".to_owned()))?;
        let recorder = run.recorder.into_inner();
        let last = recorder.last().unwrap_or(now);
        let puts = recorder.service().get(&Op::Put).map_or(0, |l| l.count());
        Ok(Measured {
            took: last.saturating_duration_since(begin),
            unserved,
            own_cpu: None,
            machine_busy: None,
            cpus: None,
            servers: Vec::new(),
            watched: watched.into_inner(),
            idle: None,
            watch,
            puts,
            renewals: self.auth.renewals() - renewed,
            recorder,
        })
    }

    /// Opens the watches, then writes, then waits for the last events.
    async fn watchers(
        &self,
        run: &Rc<Run>,
        links: &[Rc<Link>],
        clients: &[Rc<RefCell<Client>>],
        warm: bool,
    ) -> Result<(u64, u64), CallError> {
        let (opened, events) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let range = (self.keys.prefix().to_vec(), self.keys.end());
        let mut tasks = Vec::new();
        for number in 0..clients.len() {
            let Some(link) = links.get(number % links.len().max(1)) else {
                continue;
            };
            tasks.push(tokio::task::spawn_local(drive::watch(
                Rc::clone(run),
                Rc::clone(link),
                range.clone(),
                Rc::clone(&opened),
                Rc::clone(&events),
            )));
        }
        let watchers = tasks.len() as u64;
        let until = Instant::now() + self.plan.limit;
        while opened.get() < watchers && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        if let (Some(link), Some(client)) = (links.first(), clients.first()) {
            let pacer = {
                let run = Rc::clone(run);
                tokio::task::spawn_local(async move { run.arrivals.pace().await })
            };
            drive::marked_puts(Rc::clone(run), Rc::clone(link), Rc::clone(client)).await;
            pacer.abort();
            pacer.await.ok();
        }
        // What was written last is still on its way; a warm-up need not wait for it.
        let puts = run
            .recorder
            .borrow()
            .service()
            .get(&Op::Put)
            .map_or(0, |l| l.count());
        let patience = if warm {
            Duration::from_millis(200)
        } else {
            Duration::from_secs(3)
        };
        let until = Instant::now() + patience;
        while events.get() < puts * watchers && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for task in tasks {
            task.abort();
            task.await.ok();
        }
        Ok((watchers, events.get()))
    }
}
