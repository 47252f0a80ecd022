//! At most so many tasks of a run at a time.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    fmt,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use futures_util::future::FusedFuture;

use crate::run::LocalWait;

/// A number of permits, given to tasks of one run in the order in which they ask.
///
/// ```
/// # extern crate highwater_core as highwater;
/// # use std::rc::Rc;
/// # use highwater::{CallError, Ctx, sync::Semaphore};
/// # async fn example(ctx: Ctx) -> Result<(), CallError<String>> {
/// let doors = Rc::new(Semaphore::new(2));
/// let (ctx, doors) = (ctx.clone(), Rc::clone(&doors));
/// let visit = async move {
///     let _permit = doors.acquire().await;
///     ctx.step("look", async |_| Ok::<_, String>(5)).await
/// };
/// # visit.await?;
/// # Ok(()) }
/// ```
pub struct Semaphore {
    permits: Cell<usize>,
    queue: RefCell<VecDeque<Rc<Waiting>>>,
}

#[derive(Default)]
struct Waiting {
    /// A permit was put aside for it.
    granted: Cell<bool>,
    waker: Cell<Option<Waker>>,
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("available", &self.permits.get())
            .field("waiting", &self.queue.borrow().len())
            .finish()
    }
}

impl Semaphore {
    /// A semaphore with so many permits.
    pub fn new(permits: usize) -> Self {
        Self { permits: Cell::new(permits), queue: RefCell::default() }
    }

    /// Waits for a permit. It is given back when it is dropped.
    pub fn acquire(&self) -> Acquire<'_> {
        Acquire { semaphore: self, waiting: None, waits: None, done: false }
    }

    /// A permit, if one is there and nobody waits for it.
    pub fn try_acquire(&self) -> Option<Permit<'_>> {
        let free = self.permits.get();
        if free == 0 || !self.queue.borrow().is_empty() {
            return None;
        }
        self.permits.set(free - 1);
        Some(Permit { semaphore: self })
    }

    /// How many permits are there for whoever asks now.
    pub fn available(&self) -> usize {
        self.permits.get()
    }

    /// Hands a permit on to who has waited longest, or keeps it.
    fn release(&self) {
        let next = self.queue.borrow_mut().pop_front();
        let Some(next) = next else { return self.permits.set(self.permits.get() + 1) };
        next.granted.set(true);
        if let Some(waker) = next.waker.take() {
            waker.wake();
        }
    }
}

/// The right to be one of so many; dropping it gives it back.
#[must_use = "dropping a permit gives it back"]
#[derive(Debug)]
pub struct Permit<'a> {
    semaphore: &'a Semaphore,
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.semaphore.release();
    }
}

/// Waits for a permit.
#[must_use = "await it"]
pub struct Acquire<'a> {
    semaphore: &'a Semaphore,
    waiting: Option<Rc<Waiting>>,
    waits: Option<LocalWait>,
    done: bool,
}

impl fmt::Debug for Acquire<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Acquire").field(&self.semaphore).finish()
    }
}

impl<'a> Future for Acquire<'a> {
    type Output = Permit<'a>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Permit<'a>> {
        let this = &mut *self;
        if this.done {
            return Poll::Pending;
        }
        let permit = match &this.waiting {
            Some(waiting) => waiting.granted.get().then(|| Permit { semaphore: this.semaphore }),
            None => this.semaphore.try_acquire(),
        };
        let Some(permit) = permit else {
            let waiting = this.waiting.get_or_insert_with(|| {
                let waiting = Rc::<Waiting>::default();
                this.semaphore.queue.borrow_mut().push_back(Rc::clone(&waiting));
                waiting
            });
            waiting.waker.set(Some(cx.waker().clone()));
            this.waits.get_or_insert_with(LocalWait::begin);
            return Poll::Pending;
        };
        (this.waiting, this.waits, this.done) = (None, None, true);
        Poll::Ready(permit)
    }
}

impl FusedFuture for Acquire<'_> {
    fn is_terminated(&self) -> bool {
        self.done
    }
}

impl Drop for Acquire<'_> {
    fn drop(&mut self) {
        let Some(waiting) = self.waiting.take() else { return };
        if waiting.granted.get() {
            // It came too late for this one, not for the next.
            self.semaphore.release();
        } else {
            self.semaphore.queue.borrow_mut().retain(|other| !Rc::ptr_eq(other, &waiting));
        }
    }
}
