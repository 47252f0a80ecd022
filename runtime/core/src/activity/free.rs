//! Activities that are functions outside of an `impl` block.

use std::sync::Arc;

use highwater_protocol::Payload;

use super::{ActivityContext, ActivityName, ActivitySet, Work};
use crate::definition::{ActivityDef, ActivityItem};

/// The type behind a free function marked `#[activity]`.
#[diagnostic::on_unimplemented(
    message = "this activity is a method, not a function of its own",
    note = "register the value that it belongs to: `worker.activities(shop)`"
)]
pub trait FreeDef: ActivityDef {
    /// The function, for messages to people.
    const FUNCTION: &'static str;
    /// Begins an attempt.
    fn work(context: &ActivityContext, input: &Payload) -> Work;
}

/// Activities that are functions outside of an `impl` block, as a set: they need no dependencies but their input.
///
/// ```
/// # extern crate highwater_core as highwater;
/// use highwater::activity::{ActivitySet, FreeActivities};
/// # use highwater_macros::activity;
///
/// #[activity(start_to_close = "10s")]
/// async fn greet(name: String) -> Result<String, String> {
///     Ok(format!("Hello, {name}!"))
/// }
///
/// let set = FreeActivities::new().with(greet);
/// assert_eq!(set.activities()[0].name, "greet");
/// ```
#[derive(Clone, Debug, Default)]
pub struct FreeActivities {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    name: ActivityName,
    work: fn(&ActivityContext, &Payload) -> Work,
}

impl FreeActivities {
    /// A set of none.
    pub fn new() -> Self {
        Self::default()
    }

    /// With this function, too.
    pub fn with<P, A>(mut self, _activity: A) -> Self
    where
        A: ActivityItem<P>,
        A::Def: FreeDef,
    {
        let name = ActivityName { name: A::DEFAULTS.name, function: A::Def::FUNCTION };
        self.entries.push(Entry { name, work: A::Def::work });
        self
    }
}

impl ActivitySet for FreeActivities {
    fn activities(&self) -> Vec<ActivityName> {
        self.entries.iter().map(|entry| entry.name.clone()).collect()
    }

    fn dispatch(self: Arc<Self>, name: &str, context: &ActivityContext, input: &Payload) -> Option<Work> {
        let entry = self.entries.iter().find(|entry| entry.name.name == name)?;
        Some((entry.work)(context, input))
    }
}
