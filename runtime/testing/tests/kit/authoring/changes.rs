//! Code that changes while runs are under way.

use std::sync::atomic::{AtomicU32, Ordering};

use highwater::{
    FreeActivities,
    prelude::*,
    testing::{History, Replayer, TestEnv},
};

use crate::{Shop, days};

/// Which of the codes below is deployed: a worker that starts after it was set is one with the new code.
static DEPLOYED: AtomicU32 = AtomicU32::new(1);

/// An order: the first code charges only, the second greets before, the third has forgotten that it ever was otherwise.
#[workflow]
async fn patched_order(ctx: Ctx, cents: u64) -> Result<String, Exit> {
    ctx.sleep(days(1)).await?;
    match DEPLOYED.load(Ordering::Relaxed) {
        1 => {}
        2 => {
            if ctx.patched("greet-first") {
                ctx.run(Shop::greet, "customer".into()).await?;
            }
        }
        _ => {
            ctx.deprecate_patch("greet-first");
            ctx.run(Shop::greet, "customer".into()).await?;
        }
    }
    let charged = ctx.run(Shop::charge, cents).await?;
    ctx.sleep(days(30)).await?;
    Ok(charged)
}

/// Whether each history fits the code that is deployed.
fn fit(histories: Vec<History>) -> Vec<bool> {
    let replayer = Replayer::new().workflow(patched_order);
    histories.into_iter().map(|history| replayer.replay(history).fits()).collect()
}

#[tokio::test]
async fn runs_go_the_old_way_or_the_new_one_over_all_deploys() {
    let charge = |cents: u64| async move { Ok(format!("{cents} cents")) };
    let env = TestEnv::builder().workflow(patched_order).activities(Shop).mock(Shop::charge, charge).start().await;
    let deploy = async |version: u32| {
        env.stop_worker().await;
        DEPLOYED.store(version, Ordering::Relaxed);
        env.start_worker();
    };
    let start = async |id: &str| env.client().start(patched_order, 5).id(id).await.unwrap();
    let passed = start("passed").await;
    env.sleep(days(2)).await;
    let waiting = start("waiting").await;
    env.settle().await;

    deploy(2).await;
    env.sleep(days(2)).await;
    assert_eq!(env.calls(Shop::greet).len(), 1, "only the run that had not come to the change");
    let new = start("new").await;
    assert_eq!(passed.result().await.unwrap(), "5 cents");
    assert_eq!(waiting.result().await.unwrap(), "5 cents");
    assert_eq!(new.result().await.unwrap(), "5 cents");
    assert_eq!((env.calls(Shop::greet).len(), env.calls(Shop::charge).len()), (2, 3));
    assert_eq!(fit(env.histories()), [true, true, true]);

    // No run of the old way is left: the new one only, and a run that begins with it.
    deploy(3).await;
    let last = start("last").await;
    env.sleep(days(2)).await;
    assert_eq!(fit(env.histories()), [false, true, true, true]);
    // The code before comes back: what the last one did is what it does itself.
    deploy(2).await;
    assert_eq!(last.result().await.unwrap(), "5 cents");
    assert_eq!((env.calls(Shop::greet).len(), env.calls(Shop::charge).len()), (3, 4));
    env.finish().await;
}

/// What people write first.
mod old {
    use super::*;

    #[activity(start_to_close = "10s")]
    pub(super) async fn weigh(parcel: String) -> Result<usize, String> {
        Ok(parcel.len())
    }

    #[workflow]
    pub(super) async fn ship(ctx: Ctx, parcel: String) -> Result<usize, Exit> {
        let weight = ctx.run(weigh, parcel).await?;
        ctx.child(label, weight).await?;
        Ok(weight)
    }

    #[workflow]
    pub(super) async fn label(_ctx: Ctx, weight: usize) -> Result<usize, Exit> {
        Ok(weight)
    }
}

/// The same with better names, the old ones kept for the histories that there are.
mod renamed {
    use super::*;

    #[activity(name = "weigh", start_to_close = "10s")]
    pub(super) async fn put_on_the_scales(parcel: String) -> Result<usize, String> {
        Ok(parcel.len())
    }

    #[workflow(name = "ship")]
    pub(super) async fn send_off(ctx: Ctx, parcel: String) -> Result<usize, Exit> {
        let weight = ctx.run(put_on_the_scales, parcel).await?;
        ctx.child(print_label, weight).await?;
        Ok(weight)
    }

    #[workflow(name = "label")]
    pub(super) async fn print_label(_ctx: Ctx, weight: usize) -> Result<usize, Exit> {
        Ok(weight)
    }
}

/// The same with better names, and a name forgotten.
mod forgotten {
    use super::*;

    #[workflow(name = "ship")]
    pub(super) async fn send_off(ctx: Ctx, parcel: String) -> Result<usize, Exit> {
        let weight = ctx.run(put_on_the_scales, parcel).await?;
        ctx.child(renamed::print_label, weight).await?;
        Ok(weight)
    }

    #[activity(start_to_close = "10s")]
    pub(super) async fn put_on_the_scales(parcel: String) -> Result<usize, String> {
        Ok(parcel.len())
    }
}

#[tokio::test]
async fn what_is_renamed_and_keeps_its_recorded_name_fits_its_histories() {
    let weighing = FreeActivities::new().with(old::weigh);
    let env = TestEnv::builder().workflow(old::ship).workflow(old::label).activities(weighing).start().await;
    let run = env.client().start(old::ship, "books".into()).id("parcel").await.unwrap();
    assert_eq!(run.result().await.unwrap(), 5);
    let replayer = Replayer::new().workflow(renamed::send_off).workflow(renamed::print_label);
    for history in env.histories() {
        replayer.replay(history).assert_fits();
    }
    let replay = Replayer::new().workflow(forgotten::send_off).replay(env.histories().remove(0));
    let failure = replay.failure().expect("the activity has another name").to_string();
    assert!(failure.contains("weigh") && failure.contains("put_on_the_scales"), "{failure}");
    env.finish().await;
}
