//! Values from one task of a run to another.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use futures_util::{Stream, future::FusedFuture};

use crate::run::LocalWait;

/// A channel between tasks of one run: any number of senders, one receiver, no limit. What is sent comes out in that
/// order.
///
/// ```
/// # extern crate highwater_core as highwater;
/// # use highwater::{CallError, Ctx, sync::channel};
/// # async fn example(ctx: Ctx) -> Result<(), CallError<String>> {
/// let (sender, mut receiver) = channel();
/// let reader = ctx.spawn(async move {
///     let mut sum = 0;
///     while let Some(cents) = receiver.recv().await {
///         sum += cents;
///     }
///     sum
/// });
/// let cents: u64 = ctx.step("price", async |_| Ok::<_, String>(500)).await?;
/// sender.send(cents).ok();
/// drop(sender);
/// assert_eq!(reader.await, 500);
/// # Ok(()) }
/// ```
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let shared = Rc::new(Shared {
        queue: RefCell::default(),
        senders: Cell::new(1),
        received: Cell::new(true),
        waker: Cell::default(),
    });
    (Sender { shared: Rc::clone(&shared) }, Receiver { shared, waits: None })
}

struct Shared<T> {
    queue: RefCell<VecDeque<T>>,
    senders: Cell<usize>,
    /// Whether the receiver is there.
    received: Cell<bool>,
    waker: Cell<Option<Waker>>,
}

impl<T> Shared<T> {
    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// The end of a [`channel`] that values go into. Clones are further senders.
pub struct Sender<T> {
    shared: Rc<Shared<T>>,
}

/// Nobody receives any more; the value comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed<T>(pub T);

impl<T> fmt::Display for Closed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the receiver of the channel is gone")
    }
}

impl<T: fmt::Debug> Error for Closed<T> {}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("queued", &self.shared.queue.borrow().len()).finish_non_exhaustive()
    }
}

impl<T> Sender<T> {
    /// Sends a value; an error gives it back when the receiver is gone.
    pub fn send(&self, value: T) -> Result<(), Closed<T>> {
        if !self.shared.received.get() {
            return Err(Closed(value));
        }
        self.shared.queue.borrow_mut().push_back(value);
        self.shared.wake();
        Ok(())
    }

    /// Whether the receiver is gone.
    pub fn is_closed(&self) -> bool {
        !self.shared.received.get()
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.senders.set(self.shared.senders.get() + 1);
        Self { shared: Rc::clone(&self.shared) }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.senders.set(self.shared.senders.get() - 1);
        if self.shared.senders.get() == 0 {
            self.shared.wake();
        }
    }
}

/// The end of a [`channel`] that values come out of. It is a stream, too.
pub struct Receiver<T> {
    shared: Rc<Shared<T>>,
    waits: Option<LocalWait>,
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("queued", &self.shared.queue.borrow().len()).finish_non_exhaustive()
    }
}

impl<T> Receiver<T> {
    /// Waits for the next value; `None` when all senders are gone and everything was received.
    pub fn recv(&mut self) -> Receive<'_, T> {
        Receive { receiver: self, done: false }
    }

    /// The next value, if one is there.
    pub fn try_recv(&mut self) -> Option<T> {
        self.shared.queue.borrow_mut().pop_front()
    }

    fn poll_recv(&mut self, cx: &Context<'_>) -> Poll<Option<T>> {
        let value = self.try_recv();
        if value.is_none() && self.shared.senders.get() > 0 {
            self.shared.waker.set(Some(cx.waker().clone()));
            self.waits.get_or_insert_with(LocalWait::begin);
            return Poll::Pending;
        }
        self.waits = None;
        Poll::Ready(value)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.received.set(false);
        // Values may run code when they are dropped, such as sending to this channel.
        drop(self.shared.queue.take());
    }
}

impl<T> Stream for Receiver<T> {
    type Item = T;
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.poll_recv(cx)
    }
}

/// Waits for the next value.
#[must_use = "await it"]
#[derive(Debug)]
pub struct Receive<'a, T> {
    receiver: &'a mut Receiver<T>,
    done: bool,
}

impl<T> Future for Receive<'_, T> {
    type Output = Option<T>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        if self.done {
            return Poll::Pending;
        }
        let polled = self.receiver.poll_recv(cx);
        self.done = polled.is_ready();
        polled
    }
}

impl<T> FusedFuture for Receive<'_, T> {
    fn is_terminated(&self) -> bool {
        self.done
    }
}

impl<T> Drop for Receive<'_, T> {
    fn drop(&mut self) {
        self.receiver.waits = None;
        self.receiver.shared.waker.take();
    }
}
