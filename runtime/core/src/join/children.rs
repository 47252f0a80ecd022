//! Futures that are polled when they are woken, in the order in which they stand.

use std::{
    future::{Future, IntoFuture},
    mem,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

enum Child<F: Future> {
    Pending(Pin<Box<F>>),
    Ended(F::Output),
    Taken,
}

/// Futures that are polled when they are woken, in the order of the list.
pub(super) struct Children<F: Future> {
    list: Vec<Child<F>>,
    wakers: Vec<Arc<ChildWaker>>,
    woken: Arc<Woken>,
    left: usize,
    /// The outputs were handed out; from here on this is pending for ever, as every durable operation is.
    done: bool,
}

impl<F: Future> Children<F> {
    pub(super) fn new() -> Self {
        let woken = Arc::new(Woken(Mutex::new(Queue { children: Vec::new(), parent: None })));
        Self { list: Vec::new(), wakers: Vec::new(), woken, left: 0, done: false }
    }

    pub(super) fn of<I>(list: I) -> Self
    where
        I: IntoIterator,
        I::Item: IntoFuture<IntoFuture = F, Output = F::Output>,
    {
        let mut children = Self::new();
        list.into_iter().for_each(|item| children.push(item.into_future()));
        children
    }

    /// Adds one at the end of the list, to be polled with the next.
    pub(super) fn push(&mut self, future: F) {
        let index = self.list.len();
        let waker = ChildWaker { index, queued: AtomicBool::new(true), woken: Arc::clone(&self.woken) };
        self.list.push(Child::Pending(Box::pin(future)));
        self.wakers.push(Arc::new(waker));
        self.woken.lock().children.push(index);
        self.left += 1;
    }

    /// How many there have been.
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// How many have not ended.
    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// Whether all outputs were taken at once.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// Polls those that were woken, in the order of the list, until one ends in a way that ends all; tells whether one
    /// did.
    pub(super) fn poll(&mut self, cx: &Context<'_>, ends_all: impl Fn(&F::Output) -> bool) -> bool {
        for index in self.woken.take(cx.waker()) {
            let waker = &self.wakers[index];
            waker.queued.store(false, Ordering::Release);
            let Child::Pending(future) = &mut self.list[index] else { continue };
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&Arc::clone(waker).into())) {
                let ends = ends_all(&output);
                self.list[index] = Child::Ended(output);
                self.left -= 1;
                if ends {
                    return true;
                }
            }
        }
        false
    }

    /// The output of one, if it has ended and nobody has taken it.
    pub(super) fn take_one(&mut self, index: usize) -> Option<F::Output> {
        let child = self.list.get_mut(index)?;
        if !matches!(child, Child::Ended(_)) {
            return None;
        }
        match mem::replace(child, Child::Taken) {
            Child::Ended(output) => Some(output),
            Child::Pending(_) | Child::Taken => unreachable!("it was looked at above"),
        }
    }

    /// The outputs there are, in the order of the list. What has none is dropped, in the same order.
    pub(super) fn take(&mut self) -> Vec<F::Output> {
        self.done = true;
        let output = |child| match child {
            Child::Pending(_) | Child::Taken => None,
            Child::Ended(output) => Some(output),
        };
        mem::take(&mut self.list).into_iter().filter_map(output).collect()
    }
}

/// Who was woken since the last poll.
struct Woken(Mutex<Queue>);

struct Queue {
    children: Vec<usize>,
    parent: Option<Waker>,
}

impl Woken {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes those who were woken, sorted; the next one that is woken wakes the parent.
    fn take(&self, parent: &Waker) -> Vec<usize> {
        let mut queue = self.lock();
        queue.parent = Some(parent.clone());
        let mut children = mem::take(&mut queue.children);
        children.sort_unstable();
        children
    }
}

struct ChildWaker {
    index: usize,
    queued: AtomicBool,
    woken: Arc<Woken>,
}

impl Wake for ChildWaker {
    fn wake(self: Arc<Self>) {
        if self.queued.swap(true, Ordering::AcqRel) {
            return;
        }
        // The parent is woken without the lock, as its waker is somebody else's code.
        let parent = {
            let mut queue = self.woken.lock();
            queue.children.push(self.index);
            queue.parent.take()
        };
        if let Some(parent) = parent {
            parent.wake();
        }
    }
}
