//! Two things of one name: a worker does not start, and says which two.

use std::sync::Arc;

use highwater::{FreeActivities, WorkerBuilder, prelude::*, worker::BuildError};
use highwater_broker::memory::MemoryOptions;
use highwater_protocol::Namespace;

mod old {
    use highwater::prelude::*;

    #[workflow]
    pub(super) async fn order(_ctx: Ctx) -> Result<(), Exit> {
        Ok(())
    }

    #[activity]
    pub(super) async fn charge(cents: u64) -> Result<u64, String> {
        Ok(cents)
    }
}

mod new {
    use highwater::prelude::*;

    #[workflow(name = "order")]
    pub(super) async fn ordering(_ctx: Ctx) -> Result<(), Exit> {
        Ok(())
    }

    pub(super) struct Shop;

    #[activities]
    impl Shop {
        #[activity(name = "charge")]
        async fn bill(&self, cents: u64) -> Result<u64, String> {
            Ok(cents)
        }
    }

    #[derive(Default)]
    pub(super) struct Cart;

    #[workflow]
    impl Cart {
        #[run]
        pub(super) async fn run(_ctx: Ctx<Self>) -> Result<(), Exit> {
            Ok(())
        }

        #[cfg(test)]
        #[query]
        fn total(&self) -> u64 {
            1
        }

        #[cfg(test)]
        #[query(name = "total")]
        fn sum(&self) -> u64 {
            2
        }
    }
}

fn refused(worker: impl FnOnce(WorkerBuilder) -> WorkerBuilder) -> String {
    let broker = MemoryOptions::new(Namespace::default()).build();
    let built: Result<_, BuildError> = worker(Worker::builder(Arc::new(broker))).build();
    built.expect_err("two of one name").to_string()
}

#[tokio::test]
async fn two_workflows_of_one_name_are_both_named() {
    let error = refused(|worker| worker.workflow(old::order).workflow(new::ordering));
    assert!(error.contains("start_up::old::order") && error.contains("start_up::new::ordering"), "{error}");
}

#[tokio::test]
async fn two_activities_of_one_name_are_both_named() {
    let error = refused(|worker| worker.activities(FreeActivities::new().with(old::charge)).activities(new::Shop));
    assert!(error.contains("start_up::old::charge") && error.contains("start_up::new::Shop::bill"), "{error}");
    let same = FreeActivities::new().with(old::charge).with(old::charge);
    let error = refused(|worker| worker.activities(same));
    assert_eq!(error.matches("start_up::old::charge").count(), 2, "{error}");
}

#[tokio::test]
async fn two_handlers_of_one_name_are_both_named() {
    let error = refused(|worker| worker.workflow(new::Cart::run));
    assert!(error.contains("new::Cart::total") && error.contains("new::Cart::sum"), "{error}");
}
