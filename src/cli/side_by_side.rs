//! Collectors side by side: each with a thread, a deadline and a line of progress of its own.
//!
//! A collector that hangs must not take the others with it. At its deadline it is asked to give
//! what it has; what does not come within the grace is left behind, with its thread. Ctrl-C asks
//! all of them at once.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

/// How long a collector may take to give what it has once it was asked.
const GRACE: Duration = Duration::from_secs(3);
/// How often deadlines and Ctrl-C are looked at.
const TICK: Duration = Duration::from_millis(50);

/// One collector. Its work is told by the flag when it should end.
pub(super) struct Job<T> {
    pub(super) name: &'static str,
    pub(super) limit: Duration,
    pub(super) work: Box<dyn FnOnce(&AtomicBool) -> T + Send>,
}

impl<T> Job<T> {
    pub(super) fn new(
        name: &'static str,
        limit: Duration,
        work: impl FnOnce(&AtomicBool) -> T + Send + 'static,
    ) -> Self {
        Job {
            name,
            limit,
            work: Box::new(work),
        }
    }
}

/// Why a collector did not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Its deadline passed.
    Late(Duration),
    /// The user stopped the run.
    Stopped,
    /// It failed.
    Broken,
}

/// How a collector ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End<T> {
    /// With everything.
    Done(T),
    /// With what it had when it was asked.
    Cut(T, Why),
    /// With nothing.
    Lost(Why),
}

/// How progress is shown, on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Show {
    /// Not at all.
    Quiet,
    /// A line when a collector ends.
    Lines,
    /// One line a collector, drawn anew.
    Drawn,
}

impl Show {
    /// Drawn on a terminal; elsewhere only when it was asked for.
    pub(super) fn new(asked: bool) -> Self {
        if std::io::stderr().is_terminal() {
            Show::Drawn
        } else if asked {
            Show::Lines
        } else {
            Show::Quiet
        }
    }
}

struct State<T> {
    name: &'static str,
    limit: Duration,
    stop: Arc<AtomicBool>,
    asked: Option<(Instant, Why)>,
    end: Option<(End<T>, Duration)>,
}

/// Runs all jobs at once, and gives how each ended, in the order of the jobs.
pub(super) fn run<T: Send + 'static>(
    jobs: Vec<Job<T>>,
    stop: &AtomicBool,
    show: Show,
) -> Vec<(&'static str, End<T>)> {
    let (send, receive) = mpsc::channel();
    let begin = Instant::now();
    let mut states: Vec<State<T>> = Vec::new();
    for (at, job) in jobs.into_iter().enumerate() {
        let own = Arc::new(AtomicBool::new(false));
        let (flag, send, work) = (Arc::clone(&own), send.clone(), job.work);
        let spawned = std::thread::Builder::new()
            .name(job.name.to_owned())
            .spawn(move || {
                // A fault in one collector costs what it collects, not the run.
                let value = catch_unwind(AssertUnwindSafe(|| work(&flag))).ok();
                // Nobody listens to one that was given up.
                send.send((at, value)).ok();
            });
        states.push(State {
            name: job.name,
            limit: job.limit,
            stop: own,
            asked: None,
            end: spawned
                .is_err()
                .then_some((End::Lost(Why::Broken), Duration::ZERO)),
        });
    }
    drop(send);
    let mut screen = Screen { show, drawn: false };
    while states.iter().any(|state| state.end.is_none()) {
        match receive.recv_timeout(TICK) {
            Ok((at, value)) => {
                if let Some(state) = states.get_mut(at)
                    && state.end.is_none()
                {
                    let end = match (value, state.asked) {
                        (Some(value), None) => End::Done(value),
                        (Some(value), Some((_, why))) => End::Cut(value, why),
                        (None, _) => End::Lost(Why::Broken),
                    };
                    state.end = Some((end, begin.elapsed()));
                    screen.ended(state);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            // All threads are gone: what has not come by now does not come.
            Err(RecvTimeoutError::Disconnected) => {
                for state in states.iter_mut().filter(|state| state.end.is_none()) {
                    state.end = Some((End::Lost(Why::Broken), begin.elapsed()));
                }
            }
        }
        let stopped = stop.load(Ordering::Relaxed);
        for state in states.iter_mut().filter(|state| state.end.is_none()) {
            match state.asked {
                None if stopped => state.ask(Why::Stopped),
                None if begin.elapsed() >= state.limit => state.ask(Why::Late(state.limit)),
                Some((at, why)) if at.elapsed() >= GRACE => {
                    state.end = Some((End::Lost(why), begin.elapsed()));
                    screen.ended(state);
                }
                _ => {}
            }
        }
        screen.draw(&states, begin.elapsed());
    }
    screen.draw(&states, begin.elapsed());
    states
        .into_iter()
        .filter_map(|state| Some((state.name, state.end?.0)))
        .collect()
}

impl<T> State<T> {
    fn ask(&mut self, why: Why) {
        self.stop.store(true, Ordering::Relaxed);
        self.asked = Some((Instant::now(), why));
    }

    fn words(&self, elapsed: Duration) -> String {
        let name = format!("{:<9}", self.name);
        match &self.end {
            Some((End::Done(_), took)) => format!("{name} done in {:.1} s", took.as_secs_f64()),
            Some((End::Cut(..), took)) => {
                format!("{name} ended early, after {:.1} s", took.as_secs_f64())
            }
            Some((End::Lost(_), took)) => {
                format!("{name} given up after {:.1} s", took.as_secs_f64())
            }
            None => format!(
                "{name} {:.0} s of at most {:.0} s",
                elapsed.as_secs_f64(),
                self.limit.as_secs_f64().ceil()
            ),
        }
    }
}

struct Screen {
    show: Show,
    drawn: bool,
}

impl Screen {
    fn ended<T>(&self, state: &State<T>) {
        if self.show == Show::Lines {
            writeln!(
                std::io::stderr(),
                "etcd-doctor: {}",
                state.words(Duration::ZERO)
            )
            .ok();
        }
    }

    fn draw<T>(&mut self, states: &[State<T>], elapsed: Duration) {
        if self.show != Show::Drawn {
            return;
        }
        let mut text = String::new();
        if self.drawn {
            write!(text, "\u{1b}[{}A", states.len()).ok();
        }
        for state in states {
            writeln!(text, "\u{1b}[2K  {}", state.words(elapsed)).ok();
        }
        self.drawn = true;
        std::io::stderr().write_all(text.as_bytes()).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn never() -> AtomicBool {
        AtomicBool::new(false)
    }

    #[test]
    fn collectors_run_side_by_side_and_a_fault_costs_one() {
        // Each waits for all: one after the other they would never end.
        let all = std::sync::Arc::new(std::sync::Barrier::new(3));
        let wait = |n: u64| {
            let all = std::sync::Arc::clone(&all);
            Job::new("wait", Duration::from_secs(60), move |_: &AtomicBool| {
                all.wait();
                n
            })
        };
        let mut jobs = vec![wait(1), wait(2), wait(3)];
        jobs.push(Job::new(
            "broken",
            Duration::from_secs(60),
            |_: &AtomicBool| panic!("on purpose"),
        ));
        let ends = run(jobs, &never(), Show::Quiet);
        assert_eq!(
            ends,
            [
                ("wait", End::Done(1)),
                ("wait", End::Done(2)),
                ("wait", End::Done(3)),
                ("broken", End::Lost(Why::Broken)),
            ]
        );
    }

    /// One that listens gives what it has, one that hangs is left behind.
    #[test]
    fn a_deadline_cuts_what_listens_and_gives_up_what_hangs() {
        let limit = Duration::from_millis(100);
        let listens = |name| {
            Job::new(name, limit, |stop: &AtomicBool| {
                while !stop.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(5));
                }
                "half"
            })
        };
        let hangs = Job::new("hangs", limit, |_: &AtomicBool| {
            std::thread::sleep(Duration::from_secs(600));
            "never"
        });
        let ends = run(vec![listens("logs"), hangs], &never(), Show::Quiet);
        assert_eq!(
            ends,
            [
                ("logs", End::Cut("half", Why::Late(limit))),
                ("hangs", End::Lost(Why::Late(limit))),
            ]
        );
        let stopped = AtomicBool::new(true);
        let mut patient = listens("logs");
        patient.limit = Duration::from_secs(600);
        let ends = run(vec![patient], &stopped, Show::Quiet);
        assert_eq!(ends, [("logs", End::Cut("half", Why::Stopped))]);
    }
}
