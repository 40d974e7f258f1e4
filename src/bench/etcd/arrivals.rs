//! Who may begin a request, and when it should have begun.
//!
//! Closed loop: each client begins as soon as its last request was answered. Open loop: requests
//! begin by a schedule, whether or not the server keeps up. A request that finds no idle client
//! waits, and its latency counts from the moment at which it *should* have begun: a server that
//! stands still for a second is seen by every request of that second, not by one for each client.
//!
//! Limited: as `etcdctl check perf` paces its load. Requests begin by a rate, but no more than so many
//! may wait for a client; what finds that queue full never begins and is not made up for.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::shape::Schedule;

/// Requests due within this time of each other are released together: above 10 000 a second a
/// wake-up for each would cost more than the request. It is part of the latency from the intended
/// begin, and far below what etcd takes.
const TOGETHER: Duration = Duration::from_micros(100);

/// The source of requests of one run, shared by its clients.
#[derive(Debug)]
pub struct Arrivals {
    begin: Instant,
    end: Instant,
    stopped: Cell<bool>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Closed {
        left: Cell<u64>,
    },
    Open {
        schedule: Schedule,
        total: u64,
        released: Cell<u64>,
        taken: Cell<u64>,
        idle: RefCell<VecDeque<Waker>>,
        // Most requests that wait for a client.
        queue: Option<u64>,
        // Requests that found the queue full.
        lost: Cell<u64>,
        // From which released request on how many had been lost: what it is in the schedule.
        shifts: RefCell<VecDeque<(u64, u64)>>,
        shift: Cell<u64>,
        // Nothing is released any more; what waits is still begun.
        closed: Cell<bool>,
    },
}

impl Arrivals {
    /// As fast as clients can, for a time or a number of requests, whichever ends first.
    pub fn closed(begin: Instant, time: Duration, total: Option<u64>) -> Self {
        Arrivals {
            begin,
            end: begin + time,
            stopped: Cell::new(false),
            kind: Kind::Closed {
                left: Cell::new(total.unwrap_or(u64::MAX)),
            },
        }
    }

    /// By a schedule, however many requests wait.
    pub fn open(begin: Instant, time: Duration, schedule: Schedule) -> Self {
        Self::scheduled(begin, time, schedule, None)
    }

    /// By a schedule, as long as no more than `queue` requests wait for a client.
    pub fn limited(begin: Instant, time: Duration, schedule: Schedule, queue: u64) -> Self {
        Self::scheduled(begin, time, schedule, Some(queue.max(1)))
    }

    fn scheduled(begin: Instant, time: Duration, schedule: Schedule, queue: Option<u64>) -> Self {
        Arrivals {
            begin,
            end: begin + time,
            stopped: Cell::new(false),
            kind: Kind::Open {
                schedule,
                total: schedule.total(),
                released: Cell::new(0),
                taken: Cell::new(0),
                idle: RefCell::default(),
                queue,
                lost: Cell::new(0),
                shifts: RefCell::default(),
                shift: Cell::new(0),
                closed: Cell::new(false),
            },
        }
    }

    /// Begin of the run.
    pub fn begin(&self) -> Instant {
        self.begin
    }

    /// Ends the run now: no request begins any more.
    pub fn stop(&self) {
        self.stopped.set(true);
        self.wake_all();
    }

    /// Whether the run was ended early.
    pub fn is_stopped(&self) -> bool {
        self.stopped.get()
    }

    /// Requests that should have begun and never did, because every client was busy.
    pub fn unserved(&self, now: Instant) -> u64 {
        match &self.kind {
            Kind::Closed { .. } => 0,
            Kind::Open {
                schedule,
                total,
                taken,
                ..
            } => {
                let due = schedule.due(nanos(
                    now.min(self.end).saturating_duration_since(self.begin),
                ));
                due.min(*total).saturating_sub(taken.get())
            }
        }
    }

    /// Whether requests begin by a schedule.
    pub fn is_open(&self) -> bool {
        matches!(self.kind, Kind::Open { .. })
    }

    /// Waits for the next request that this client may begin, and tells when it should have
    /// begun; `now` is a moment that the caller has just read. `None` when the run is over.
    pub async fn next(&self, now: Instant) -> Option<Instant> {
        match &self.kind {
            Kind::Closed { left } => {
                if self.stopped.get() || now >= self.end || left.get() == 0 {
                    return None;
                }
                left.set(left.get() - 1);
                Some(now)
            }
            Kind::Open {
                schedule,
                total,
                released,
                taken,
                idle,
                lost,
                shifts,
                shift,
                closed,
                ..
            } => {
                poll_fn(|cx| {
                    let n = taken.get();
                    if self.stopped.get() || n + lost.get() >= *total && n >= released.get() {
                        return Poll::Ready(None);
                    }
                    if n < released.get() {
                        taken.set(n + 1);
                        let mut shifts = shifts.borrow_mut();
                        while let Some((_, by)) = shifts.pop_front_if(|(from, _)| *from <= n) {
                            shift.set(by);
                        }
                        let at = schedule.at_ns(n + shift.get());
                        return Poll::Ready(Some(self.begin + Duration::from_nanos(at)));
                    }
                    if closed.get() {
                        return Poll::Ready(None);
                    }
                    idle.borrow_mut().push_back(cx.waker().clone());
                    Poll::Pending
                })
                .await
            }
        }
    }

    fn wake_all(&self) {
        if let Kind::Open { idle, .. } = &self.kind {
            // Taken out first: a waker may come back to `next` at once.
            let wakers = std::mem::take(&mut *idle.borrow_mut());
            for waker in wakers {
                waker.wake();
            }
        }
    }

    /// Releases requests by the schedule until the run is over. Closed loops need no pacer.
    pub async fn pace(&self) -> io::Result<()> {
        let Kind::Open {
            schedule,
            total,
            released,
            taken,
            idle,
            queue,
            lost,
            shifts,
            closed,
            ..
        } = &self.kind
        else {
            return Ok(());
        };
        let timer = Timer::new()?;
        while !self.stopped.get() {
            let now = Instant::now();
            if now >= self.end {
                break;
            }
            let due = due(
                schedule,
                *total,
                nanos(now.saturating_duration_since(self.begin)),
            );
            let mut fresh = due.saturating_sub(released.get() + lost.get());
            if let Some(queue) = queue {
                let waiting = released.get() - taken.get();
                let room = queue.saturating_sub(waiting);
                if fresh > room {
                    lost.set(lost.get() + fresh - room);
                    fresh = room;
                    let from = released.get() + room;
                    shifts.borrow_mut().push_back((from, lost.get()));
                }
            }
            released.set(released.get() + fresh);
            for _ in 0..fresh {
                let Some(waker) = idle.borrow_mut().pop_front() else {
                    break;
                };
                waker.wake();
            }
            let planned = released.get() + lost.get();
            if planned >= *total {
                break;
            }
            let next = self.begin + Duration::from_nanos(schedule.at_ns(planned));
            let wait = next.saturating_duration_since(Instant::now()).max(TOGETHER);
            timer
                .wait(
                    wait.min(self.end.saturating_duration_since(now))
                        .max(TOGETHER),
                )
                .await?;
        }
        // What was due before the end and found no idle client is not begun any more.
        let over = self.end.saturating_duration_since(Instant::now());
        if !over.is_zero() && !self.stopped.get() {
            tokio::time::sleep(over).await;
        }
        if queue.is_some() && !self.stopped.get() {
            // The official check sends what its queue still holds.
            closed.set(true);
            self.wake_all();
        } else {
            self.stop();
        }
        Ok(())
    }
}

/// Requests whose moment has come by `ns`.
fn due(schedule: &Schedule, total: u64, ns: u64) -> u64 {
    // The request with number `due` may be due too: the integral is rounded down and the first
    // request is due at 0.
    let mut due = schedule.due(ns).min(total);
    while due < total && schedule.at_ns(due) <= ns {
        due += 1;
    }
    due
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A timer of the kernel's resolution: tokio's own wakes at whole milliseconds only.
struct Timer {
    fd: AsyncFd<OwnedFd>,
}

impl Timer {
    fn new() -> io::Result<Self> {
        let fd = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe because a descriptor could be closed while it is \
                      registered; this one is owned here and never replaced"
        )]
        let fd = AsyncFd::with_interest(fd, Interest::READABLE)?;
        Ok(Timer { fd })
    }

    async fn wait(&self, time: Duration) -> io::Result<()> {
        let spec = Itimerspec {
            it_interval: Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            it_value: Timespec {
                tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(time.subsec_nanos()).max(1),
            },
        };
        timerfd_settime(&self.fd, TimerfdTimerFlags::empty(), &spec)?;
        loop {
            let mut guard = self.fd.readable().await?;
            let mut fired = [0_u8; 8];
            match rustix::io::read(guard.get_inner(), &mut fired[..]) {
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::AGAIN) => guard.clear_ready(),
                Err(err) => return Err(err.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::etcd::shape::Shape;
    use std::rc::Rc;

    fn block_on<F: Future>(future: F) -> F::Output {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, future)
    }

    #[test]
    fn a_closed_loop_ends_by_number_and_by_time() {
        block_on(async {
            let now = Instant::now();
            let arrivals = Arrivals::closed(now, Duration::from_secs(9), Some(2));
            assert_eq!(arrivals.next(now).await, Some(now));
            assert_eq!(arrivals.next(now).await, Some(now));
            assert_eq!(arrivals.next(now).await, None);
            let arrivals = Arrivals::closed(now, Duration::from_secs(9), None);
            assert_eq!(arrivals.next(now + Duration::from_secs(9)).await, None);
            arrivals.stop();
            assert_eq!(arrivals.next(now).await, None);
        });
    }

    #[test]
    fn an_open_loop_hands_out_every_request_at_its_own_moment() {
        block_on(async {
            let begin = Instant::now();
            let time = Duration::from_millis(200);
            let schedule = Schedule::new(Shape::Constant, 1000.0, 0.2);
            let arrivals = Rc::new(Arrivals::open(begin, time, schedule));
            let client = {
                let arrivals = Rc::clone(&arrivals);
                tokio::task::spawn_local(async move {
                    let mut seen = Vec::new();
                    while let Some(at) = arrivals.next(Instant::now()).await {
                        seen.push(at.duration_since(begin));
                    }
                    seen
                })
            };
            arrivals.pace().await.unwrap();
            let seen = client.await.unwrap();
            let expected: Vec<Duration> =
                (0..seen.len() as u64).map(Duration::from_millis).collect();
            assert_eq!(seen, expected);
            // A busy machine may make us late, but what is late is counted.
            assert_eq!(
                seen.len() as u64 + arrivals.unserved(Instant::now()),
                schedule.total()
            );
        });
    }

    #[test]
    fn what_finds_a_full_queue_is_lost_and_the_rest_of_the_queue_is_begun() {
        block_on(async {
            let begin = Instant::now();
            let time = Duration::from_millis(50);
            let schedule = Schedule::new(Shape::Constant, 1000.0, 0.05);
            let arrivals = Arrivals::limited(begin, time, schedule, 8);
            // Nobody takes any: eight wait, the others are lost.
            arrivals.pace().await.unwrap();
            assert_eq!(arrivals.unserved(Instant::now()), 50);
            let mut seen = Vec::new();
            while let Some(at) = arrivals.next(Instant::now()).await {
                seen.push(at.duration_since(begin).as_millis());
            }
            assert_eq!(seen, (0..8).collect::<Vec<u128>>());
            assert_eq!(arrivals.unserved(Instant::now()), 42);
        });
    }

    #[test]
    fn after_a_stall_a_limited_load_goes_on_at_its_rate() {
        block_on(async {
            let begin = Instant::now();
            let time = Duration::from_millis(100);
            let schedule = Schedule::new(Shape::Constant, 1000.0, 0.1);
            let arrivals = Rc::new(Arrivals::limited(begin, time, schedule, 5));
            let client = {
                let arrivals = Rc::clone(&arrivals);
                tokio::task::spawn_local(async move {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    let mut seen = Vec::new();
                    while let Some(at) = arrivals.next(Instant::now()).await {
                        seen.push(at.duration_since(begin));
                    }
                    seen
                })
            };
            arrivals.pace().await.unwrap();
            let seen = client.await.unwrap();
            // The five that waited, and then none that was due before the client came back.
            assert_eq!(seen.first(), Some(&Duration::ZERO));
            assert!(
                seen.get(5)
                    .is_none_or(|at| *at >= Duration::from_millis(45)),
                "{seen:?}"
            );
            assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "{seen:?}");
            let unserved = arrivals.unserved(Instant::now());
            assert_eq!(seen.len() as u64 + unserved, schedule.total());
        });
    }

    #[test]
    fn with_no_idle_client_requests_wait_and_are_counted() {
        block_on(async {
            let begin = Instant::now();
            let time = Duration::from_millis(50);
            let schedule = Schedule::new(Shape::Constant, 1000.0, 0.05);
            let arrivals = Arrivals::open(begin, time, schedule);
            arrivals.pace().await.unwrap();
            assert_eq!(arrivals.unserved(Instant::now()), 50);
            assert_eq!(arrivals.next(Instant::now()).await, None);
        });
    }
}
