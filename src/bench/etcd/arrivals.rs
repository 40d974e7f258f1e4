//! Who may begin a request, and when it should have begun.
//!
//! Closed loop: each client begins as soon as its last request was answered. Open loop: requests
//! begin by a schedule, whether or not the server keeps up. A request that finds no idle client
//! waits, and its latency counts from the moment at which it *should* have begun: a server that
//! stands still for a second is seen by every request of that second, not by one for each client.

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

    /// By a schedule.
    pub fn open(begin: Instant, time: Duration, schedule: Schedule) -> Self {
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
            } => {
                poll_fn(|cx| {
                    let n = taken.get();
                    if self.stopped.get() || n >= *total {
                        return Poll::Ready(None);
                    }
                    if n < released.get() {
                        taken.set(n + 1);
                        let at = self.begin + Duration::from_nanos(schedule.at_ns(n));
                        return Poll::Ready(Some(at));
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
            idle,
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
            let fresh = due.saturating_sub(released.get());
            released.set(due.max(released.get()));
            for _ in 0..fresh {
                let Some(waker) = idle.borrow_mut().pop_front() else {
                    break;
                };
                waker.wake();
            }
            if released.get() >= *total {
                break;
            }
            let next = self.begin + Duration::from_nanos(schedule.at_ns(released.get()));
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
        self.stop();
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
