//! Which activities a worker has.

use std::{collections::BTreeMap, fmt, sync::Arc};

use highwater_core::{activity::ActivitySet, intercept::ActivityInterceptor};

/// The activities of a worker, by their names.
#[derive(Default)]
pub(crate) struct ActivityCatalog {
    entries: BTreeMap<&'static str, Entry>,
    interceptors: Vec<Arc<dyn ActivityInterceptor>>,
}

struct Entry {
    function: &'static str,
    set: Arc<dyn ActivitySet>,
}

/// Activities cannot be told apart.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// Two functions have one name.
    #[error(
        "{first} and {second} are both the activity {name:?}; give one of them another name with `#[activity(name = \"…\")]`, or register it once"
    )]
    Twice {
        /// The name.
        name: &'static str,
        /// The function that was registered first.
        first: &'static str,
        /// The other one.
        second: &'static str,
    },
}

impl ActivityCatalog {
    /// The activities of these sets.
    pub(crate) fn new(sets: Vec<Arc<dyn ActivitySet>>) -> Result<Self, CatalogError> {
        let mut catalog = Self::default();
        for set in sets {
            for activity in set.activities() {
                let entry = Entry { function: activity.function, set: set.clone() };
                if let Some(first) = catalog.entries.insert(activity.name, entry) {
                    return Err(CatalogError::Twice {
                        name: activity.name,
                        first: first.function,
                        second: activity.function,
                    });
                }
            }
        }
        Ok(catalog)
    }

    /// With these around every attempt, the first the outermost.
    pub(crate) fn intercepted(self, interceptors: Vec<Arc<dyn ActivityInterceptor>>) -> Self {
        Self { interceptors, ..self }
    }

    pub(super) fn interceptors(&self) -> &[Arc<dyn ActivityInterceptor>] {
        &self.interceptors
    }

    /// Whether there is nothing to run.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The names, in order.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.entries.keys().copied().collect()
    }

    /// The set that has an activity of this name.
    pub(super) fn find(&self, name: &str) -> Option<Arc<dyn ActivitySet>> {
        self.entries.get(name).map(|entry| entry.set.clone())
    }
}

impl fmt::Debug for ActivityCatalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.entries.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use highwater_core::activity::{ActivityContext, ActivityName, Work};
    use highwater_protocol::Payload;

    use super::*;

    struct Named(&'static str, &'static str);

    impl ActivitySet for Named {
        fn activities(&self) -> Vec<ActivityName> {
            vec![ActivityName { name: self.0, function: self.1 }]
        }

        fn dispatch(self: Arc<Self>, _: &str, _: &ActivityContext, _: &Payload) -> Option<Work> {
            None
        }
    }

    #[test]
    fn two_functions_with_one_name_are_refused_and_both_named() {
        let catalog = ActivityCatalog::new(vec![
            Arc::new(Named("charge", "Shop::charge")),
            Arc::new(Named("charge", "billing::charge")),
        ]);
        let error = catalog.unwrap_err().to_string();
        assert!(error.contains("Shop::charge") && error.contains("billing::charge"), "{error}");
    }

    #[test]
    fn activities_of_several_sets_are_found() {
        let catalog =
            ActivityCatalog::new(vec![Arc::new(Named("ship", "ship")), Arc::new(Named("charge", "charge"))]).unwrap();
        assert_eq!(catalog.names(), ["charge", "ship"]);
        assert!(catalog.find("ship").is_some() && catalog.find("pack").is_none());
    }
}
