//! Gathers the frames of many requests into one write.
//!
//! `h2` flushes before each payload above 256 bytes, which would be a system call a request; on a
//! loaded connection dozens of requests are ready at once. Here a flush asked for by `h2` does
//! nothing: [`Driver`] writes once after each turn of the connection, or when the buffer is full.

use std::cell::RefCell;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A full buffer: larger than a turn's requests mostly are, and a good size for a system call.
const FULL: usize = 64 << 10;

/// A connection that writes when its driver says so.
#[derive(Debug)]
pub struct Coalesce<T> {
    shared: Rc<RefCell<Shared<T>>>,
}

#[derive(Debug)]
struct Shared<T> {
    inner: T,
    buffer: BytesMut,
    // Whether `inner` may hold bytes of its own (TLS does).
    dirty: bool,
}

impl<T: AsyncWrite + Unpin> Shared<T> {
    fn drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.buffer.is_empty() {
            let written = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.buffer))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.dirty = true;
            self.buffer.advance(written);
        }
        // All is out: use the room from its start again.
        self.buffer.clear();
        if self.dirty {
            ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
            self.dirty = false;
        }
        Poll::Ready(Ok(()))
    }
}

impl<T> Coalesce<T> {
    /// Around a connection.
    pub fn new(inner: T) -> Self {
        Coalesce {
            shared: Rc::new(RefCell::new(Shared {
                inner,
                buffer: BytesMut::with_capacity(FULL),
                dirty: false,
            })),
        }
    }

    /// A second handle, for the driver.
    pub fn share(&self) -> Self {
        Coalesce {
            shared: Rc::clone(&self.shared),
        }
    }
}

impl<T: AsyncWrite + Unpin> Coalesce<T> {
    /// Writes all that was gathered.
    pub fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.borrow_mut().drain(cx)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Coalesce<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.shared.borrow_mut().inner).poll_read(cx, into)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Coalesce<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut shared = self.shared.borrow_mut();
        if shared.buffer.len() >= FULL {
            ready!(shared.drain(cx))?;
        }
        for slice in slices {
            shared.buffer.extend_from_slice(slice);
        }
        Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The driver does it, once for all that this turn writes.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = self.shared.borrow_mut();
        ready!(shared.drain(cx))?;
        Pin::new(&mut shared.inner).poll_shutdown(cx)
    }
}

/// Drives a connection and writes what each of its turns left.
#[derive(Debug)]
pub struct Driver<C, T> {
    connection: C,
    io: Coalesce<T>,
}

impl<C, T> Driver<C, T> {
    /// Of a connection over the other handle of `io`.
    pub fn new(connection: C, io: Coalesce<T>) -> Self {
        Driver { connection, io }
    }
}

impl<C: Future + Unpin, T: AsyncWrite + Unpin> Future for Driver<C, T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let done = Pin::new(&mut self.connection).poll(cx).is_ready();
        // A failed write ends the driver, and with it the connection: its calls fail.
        match self.io.poll_drain(cx) {
            Poll::Ready(Ok(())) | Poll::Pending if !done => Poll::Pending,
            _ => Poll::Ready(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    /// Counts writes; takes at most so many bytes at once.
    struct Sink {
        writes: usize,
        bytes: Vec<u8>,
        most: usize,
    }

    impl AsyncWrite for Sink {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let taken = bytes.len().min(self.most);
            self.writes += 1;
            self.bytes.extend_from_slice(&bytes[..taken]);
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn many_small_writes_become_one_after_the_turn() {
        let mut cx = Context::from_waker(Waker::noop());
        let mut io = Coalesce::new(Sink {
            writes: 0,
            bytes: Vec::new(),
            most: 1 << 20,
        });
        let mut driver = Driver::new(std::future::pending::<()>(), io.share());
        for part in [b"ab", b"cd", b"ef"] {
            assert!(Pin::new(&mut io).poll_write(&mut cx, part).is_ready());
            assert!(Pin::new(&mut io).poll_flush(&mut cx).is_ready());
        }
        assert_eq!(io.shared.borrow().inner.writes, 0);
        assert!(Pin::new(&mut driver).poll(&mut cx).is_pending());
        let shared = io.shared.borrow();
        assert_eq!(shared.inner.bytes, b"abcdef");
        assert_eq!(shared.inner.writes, 1);
    }

    #[test]
    fn a_slow_peer_gets_all_bytes_in_order() {
        let mut cx = Context::from_waker(Waker::noop());
        let mut io = Coalesce::new(Sink {
            writes: 0,
            bytes: Vec::new(),
            most: 3,
        });
        assert!(
            Pin::new(&mut io)
                .poll_write(&mut cx, b"abcdefgh")
                .is_ready()
        );
        assert!(Pin::new(&mut io).poll_shutdown(&mut cx).is_ready());
        assert_eq!(io.shared.borrow().inner.bytes, b"abcdefgh");
    }
}
