//! Cancellation scopes: what is cancelled together.

use std::{cell::RefCell, rc::Rc};

/// What is cancelled together: the whole run, or a part of it that the code made.
///
/// ```text
/// run ◀── scope ◀── scope        cancelling one cancels all that stand to the right of it
/// shielded ◀── scope             nothing stands to the left of this
/// ```
#[derive(Debug, Default)]
pub(crate) struct Scope {
    parent: Option<Rc<Scope>>,
    reason: RefCell<Option<String>>,
}

impl Scope {
    /// A scope that nothing but itself cancels: that of a run, or of what is shielded from the run's cancellation.
    pub(crate) fn apart() -> Rc<Self> {
        Rc::default()
    }

    /// A scope that is cancelled with `parent`, or by itself.
    pub(crate) fn within(parent: &Rc<Self>) -> Rc<Self> {
        Rc::new(Self { parent: Some(Rc::clone(parent)), reason: RefCell::default() })
    }

    /// Whether it was cancelled, itself or with one that it is in.
    pub(crate) fn is_cancelled(&self) -> bool {
        let mut scope = Some(self);
        while let Some(this) = scope {
            if this.reason.borrow().is_some() {
                return true;
            }
            scope = this.parent.as_deref();
        }
        false
    }

    /// Why it was cancelled; of several reasons the one that is closest to it.
    pub(crate) fn reason(&self) -> Option<String> {
        let mut scope = Some(self);
        while let Some(this) = scope {
            if let Some(reason) = &*this.reason.borrow() {
                return Some(reason.clone());
            }
            scope = this.parent.as_deref();
        }
        None
    }

    /// Notes the cancellation; false when it was cancelled before.
    pub(super) fn cancel(&self, reason: &str) -> bool {
        if self.is_cancelled() {
            return false;
        }
        self.reason.replace(Some(reason.to_owned()));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_cancelled_with_all_that_are_in_it_and_no_other() {
        let run = Scope::apart();
        let (outer, beside, shielded) = (Scope::within(&run), Scope::within(&run), Scope::apart());
        let inner = Scope::within(&outer);
        assert!(outer.cancel("late"));
        assert_eq!((inner.reason().as_deref(), beside.is_cancelled()), (Some("late"), false));
        assert!(run.cancel("stop"));
        assert_eq!((inner.reason().as_deref(), beside.reason().as_deref()), (Some("late"), Some("stop")));
        assert!(!shielded.is_cancelled());
        assert!(!outer.cancel("again"));
    }
}
