//! One task of a run at a time, across its awaits.

use std::{
    cell::{RefCell, RefMut},
    fmt,
    future::Future,
    ops::{Deref, DerefMut},
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::future::FusedFuture;

use super::semaphore::{Acquire, Permit, Semaphore};

/// A value that one task of a run has at a time, also while it awaits; the next is who has asked first.
///
/// ```
/// # extern crate highwater_core as highwater;
/// # use std::rc::Rc;
/// # use highwater::{CallError, Ctx, sync::Mutex};
/// # async fn example(ctx: Ctx) -> Result<(), CallError<String>> {
/// let balance = Rc::new(Mutex::new(0));
/// let mut cents = balance.lock().await;
/// // Nobody else changes the balance while this is looked up.
/// *cents += ctx.step("look up", async |_| Ok::<_, String>(500)).await?;
/// # Ok(()) }
/// ```
pub struct Mutex<T> {
    turn: Semaphore,
    value: RefCell<T>,
}

impl<T: fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Mutex").field(&self.value).finish()
    }
}

impl<T> Mutex<T> {
    /// A lock that nobody has.
    pub fn new(value: T) -> Self {
        Self { turn: Semaphore::new(1), value: RefCell::new(value) }
    }

    /// Waits until nobody has it who has asked before.
    pub fn lock(&self) -> Lock<'_, T> {
        Lock { mutex: self, acquire: self.turn.acquire() }
    }

    /// The value, if nobody has it.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.turn.try_acquire().map(|permit| self.guard(permit))
    }

    /// The value, as nobody else can ask for it any more.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }

    fn guard<'a>(&'a self, permit: Permit<'a>) -> MutexGuard<'a, T> {
        MutexGuard { value: self.value.borrow_mut(), _permit: permit }
    }
}

/// The value of a [`Mutex`]; dropping it lets the next one have it.
#[must_use = "dropping this lets the next one have the lock"]
pub struct MutexGuard<'a, T> {
    // In this order: the value is let go before somebody else may have it.
    value: RefMut<'a, T>,
    _permit: Permit<'a>,
}

impl<T: fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MutexGuard").field(&*self.value).finish()
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

/// Waits for a [`Mutex`].
#[must_use = "await it"]
pub struct Lock<'a, T> {
    mutex: &'a Mutex<T>,
    acquire: Acquire<'a>,
}

impl<T> fmt::Debug for Lock<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lock")
    }
}

impl<'a, T> Future for Lock<'a, T> {
    type Output = MutexGuard<'a, T>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mutex = self.mutex;
        Pin::new(&mut self.acquire).poll(cx).map(|permit| mutex.guard(permit))
    }
}

impl<T> FusedFuture for Lock<'_, T> {
    fn is_terminated(&self) -> bool {
        self.acquire.is_terminated()
    }
}
