//! The clients of one run: each takes a request, sends it, waits for the answer, records it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::address::Address;
use super::arrivals::Arrivals;
use super::auth::Auth;
use super::channel::{Channel, Prepared};
use super::client::{Answer, Call, Client, Planned};
use super::grpc::CallError;
use super::record::{Op, Recorder};
use super::wire::{self, path};
use super::workload::Workload;

/// A connection that clients share, made anew when it breaks.
#[derive(Debug)]
pub struct Link {
    address: Address,
    auth: Auth,
    connect_limit: Duration,
    channel: RefCell<Option<Ready>>,
    connecting: Cell<bool>,
}

/// A channel with its calls prepared.
#[derive(Clone, Debug)]
pub struct Ready {
    channel: Channel,
    calls: Rc<Calls>,
}

#[derive(Debug)]
struct Calls {
    put: Prepared,
    range: Prepared,
    txn: Prepared,
    grant: Prepared,
    revoke: Prepared,
}

impl Ready {
    fn new(channel: Channel) -> Result<Self, CallError> {
        let calls = Rc::new(Calls {
            put: channel.method(path::PUT)?,
            range: channel.method(path::RANGE)?,
            txn: channel.method(path::TXN)?,
            grant: channel.method(path::LEASE_GRANT)?,
            revoke: channel.method(path::LEASE_REVOKE)?,
        });
        Ok(Ready { channel, calls })
    }

    /// Sends what was planned.
    pub async fn send(&mut self, planned: &Planned) -> Result<bytes::Bytes, CallError> {
        let call = match planned.call {
            Call::Put => &self.calls.put,
            Call::Range => &self.calls.range,
            Call::Txn => &self.calls.txn,
            Call::LeaseGrant => &self.calls.grant,
            Call::LeaseRevoke => &self.calls.revoke,
        };
        self.channel.call(call, planned.message.clone()).await
    }

    /// Sends a put.
    pub async fn put(&mut self, message: bytes::Bytes) -> Result<bytes::Bytes, CallError> {
        self.channel.call(&self.calls.put, message).await
    }
}

/// Between two attempts to connect.
const AGAIN: Duration = Duration::from_millis(100);

impl Link {
    /// Connects.
    pub async fn open(
        address: &Address,
        auth: &Auth,
        connect_limit: Duration,
    ) -> Result<Rc<Link>, CallError> {
        let channel = Channel::connect(address, auth, connect_limit).await?;
        Ok(Rc::new(Link {
            address: address.clone(),
            auth: auth.clone(),
            connect_limit,
            channel: RefCell::new(Some(Ready::new(channel)?)),
            connecting: Cell::new(false),
        }))
    }

    /// The channel as it is, connected or not.
    pub fn ready(&self) -> Option<Ready> {
        self.channel.borrow().clone()
    }

    /// Says that the channel broke, and tries once to make a new one. One client does it for all.
    async fn renew(&self) {
        if self.connecting.replace(true) {
            tokio::time::sleep(AGAIN).await;
            return;
        }
        self.channel.borrow_mut().take();
        tokio::time::sleep(AGAIN).await;
        let fresh = Channel::connect(&self.address, &self.auth, self.connect_limit).await;
        if let Ok(channel) = fresh
            && let Ok(ready) = Ready::new(channel)
        {
            *self.channel.borrow_mut() = Some(ready);
        }
        self.connecting.set(false);
    }
}

/// What all clients of a run share.
#[derive(Debug)]
pub struct Run {
    /// Who may begin, and when.
    pub arrivals: Arrivals,
    /// What came of it.
    pub recorder: RefCell<Recorder>,
    /// Longest wait for an answer.
    pub limit: Duration,
}

impl Run {
    fn failed(&self, err: &CallError) {
        self.recorder
            .borrow_mut()
            .failed(err.kind(), Instant::now());
    }
}

/// One client of a workload of single requests.
pub async fn requests(run: Rc<Run>, link: Rc<Link>, client: Rc<RefCell<Client>>) {
    let mut ready = link.ready();
    let mut now = Instant::now();
    while let Some(intended) = run.arrivals.next(now).await {
        let Some(current) = ready.as_mut() else {
            run.failed(&CallError::Transport("not connected".to_owned()));
            link.renew().await;
            ready = link.ready();
            now = Instant::now();
            continue;
        };
        let planned = client.borrow_mut().plan();
        let sent = Instant::now();
        let result = tokio::time::timeout(run.limit, current.send(&planned)).await;
        now = Instant::now();
        match result.unwrap_or(Err(CallError::Timeout)) {
            Ok(answer) => {
                let outcome = client.borrow_mut().answered(&planned, &answer);
                let mut recorder = run.recorder.borrow_mut();
                recorder.done(planned.op, intended, sent, now);
                if outcome == Answer::Conflict {
                    recorder.conflict();
                }
            }
            Err(err) => {
                client.borrow_mut().failed(&planned);
                run.failed(&err);
                if matches!(err, CallError::Transport(_)) {
                    link.renew().await;
                    ready = link.ready();
                } else if matches!(err, CallError::Status { .. }) {
                    // A server that refuses at once must not be asked a million times a second.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                now = Instant::now();
            }
        }
    }
}

/// One client that keeps its own lease alive.
pub async fn keep_alive(run: Rc<Run>, link: Rc<Link>, lease: i64) {
    let mut buffer = BytesMut::new();
    let mut stream = None;
    let mut now = Instant::now();
    while let Some(intended) = run.arrivals.next(now).await {
        let sent = Instant::now();
        let beat = async {
            if stream.is_none() {
                let mut ready = link
                    .ready()
                    .ok_or_else(|| CallError::Transport("not connected".to_owned()))?;
                stream = Some(ready.channel.stream(path::LEASE_KEEP_ALIVE).await?);
            }
            let Some(open) = stream.as_mut() else {
                return Err(CallError::Transport("not connected".to_owned()));
            };
            open.send(wire::lease_id(&mut buffer, lease))?;
            match open.next_within(run.limit).await? {
                Some(answer) => Ok(wire::leased(&answer).1),
                None => Err(CallError::Transport("the stream was ended".to_owned())),
            }
        };
        let result = beat.await;
        now = Instant::now();
        match result {
            Ok(ttl) if ttl > 0 => {
                run.recorder
                    .borrow_mut()
                    .done(Op::KeepAlive, intended, sent, now);
            }
            Ok(_) => run.failed(&CallError::Status {
                code: 5,
                message: "lease not found".to_owned(),
            }),
            Err(err) => {
                if let (Some(stream), Some(mut ready)) = (stream.take(), link.ready()) {
                    ready.channel.after(&stream, &err).await;
                }
                run.failed(&err);
                if matches!(err, CallError::Transport(_)) {
                    link.renew().await;
                } else {
                    tokio::time::sleep(AGAIN).await;
                }
                now = Instant::now();
            }
        }
    }
}

/// Digits of the mark that tells a watcher when a put began.
const MARK: usize = 16;

/// The writer of a watch run: each value tells when its put should have begun.
pub async fn marked_puts(run: Rc<Run>, link: Rc<Link>, client: Rc<RefCell<Client>>) {
    let mut ready = link.ready();
    let mut now = Instant::now();
    while let Some(intended) = run.arrivals.next(now).await {
        let Some(current) = ready.as_mut() else {
            run.failed(&CallError::Transport("not connected".to_owned()));
            link.renew().await;
            ready = link.ready();
            now = Instant::now();
            continue;
        };
        let sent = Instant::now();
        let since = sent.saturating_duration_since(run.arrivals.begin());
        let mark = format!("{:0MARK$x}", since.as_nanos());
        let planned = client.borrow_mut().put_marked(mark.as_bytes());
        let result = tokio::time::timeout(run.limit, current.send(&planned)).await;
        now = Instant::now();
        match result.unwrap_or(Err(CallError::Timeout)) {
            Ok(_) => run.recorder.borrow_mut().done(Op::Put, intended, sent, now),
            Err(err) => {
                run.failed(&err);
                link.renew().await;
                ready = link.ready();
                now = Instant::now();
            }
        }
    }
}

/// One watcher of all keys. `open` is told once the server has opened the watch.
pub async fn watch(
    run: Rc<Run>,
    link: Rc<Link>,
    range: (Vec<u8>, Vec<u8>),
    opened: Rc<Cell<u64>>,
    events: Rc<Cell<u64>>,
) {
    let mut buffer = BytesMut::new();
    let result = async {
        let mut ready = link
            .ready()
            .ok_or_else(|| CallError::Transport("not connected".to_owned()))?;
        let mut stream = ready.channel.stream(path::WATCH).await?;
        stream.send(wire::watch_create(&mut buffer, &range.0, &range.1))?;
        while let Some(message) = stream.next().await? {
            let now = Instant::now();
            let mut recorder = run.recorder.borrow_mut();
            let watched = wire::watched(&message, |value| {
                let mark = value.get(..MARK).and_then(|m| std::str::from_utf8(m).ok());
                let Some(ns) = mark.and_then(|m| u64::from_str_radix(m, 16).ok()) else {
                    return;
                };
                let sent = run.arrivals.begin() + Duration::from_nanos(ns);
                recorder.done(Op::WatchEvent, sent, sent, now);
            });
            drop(recorder);
            if watched.created {
                opened.set(opened.get() + 1);
            }
            events.set(events.get() + watched.events);
            if watched.canceled {
                return Err(CallError::Transport("the watch was cancelled".to_owned()));
            }
        }
        Ok(())
    };
    if let Err(err) = result.await {
        run.failed(&err);
    }
}

/// Runs the clients of a workload other than [`Workload::Watch`] until the run is over.
pub async fn all(
    run: &Rc<Run>,
    links: &[Rc<Link>],
    clients: &[Rc<RefCell<Client>>],
    workload: Workload,
) {
    let mut tasks = tokio::task::JoinSet::new();
    for (number, client) in clients.iter().enumerate() {
        let Some(link) = links.get(number % links.len().max(1)) else {
            continue;
        };
        let (run, link, client) = (Rc::clone(run), Rc::clone(link), Rc::clone(client));
        if workload == Workload::KeepAlive {
            let lease = client.borrow().leases().first().copied().unwrap_or(0);
            tasks.spawn_local(keep_alive(run, link, lease));
        } else {
            tasks.spawn_local(requests(run, link, client));
        }
    }
    let pacer = {
        let run = Rc::clone(run);
        tokio::task::spawn_local(async move { run.arrivals.pace().await })
    };
    while tasks.join_next().await.is_some() {}
    pacer.abort();
    // Until it is gone it holds a part of the run.
    pacer.await.ok();
}
