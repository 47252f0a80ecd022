//! Histories against later code.

use std::{fs, time::Duration};

use highwater::{
    prelude::*,
    testing::{History, HistoryFilter, ReadError, Replayer, TestEnv},
};

use crate::{Shop, approval, days, order, panic_of};

/// The order of today, and what becomes of it.
mod later {
    use super::*;

    /// It greets before it charges.
    #[workflow]
    pub(super) async fn order(ctx: Ctx, cents: u64) -> Result<String, Exit> {
        ctx.run(Shop::greet, "customer".into()).await?;
        ctx.sleep(days(5)).await?;
        Ok(ctx.run(Shop::charge, cents).await?)
    }
}

/// The history of an order, in the middle or at its end.
async fn history(ended: bool) -> History {
    let env = TestEnv::builder().workflow(order).mock(Shop::charge, |_| async { Ok("paid".into()) }).start().await;
    let run = env.client().start(order, 5).id("o-1").await.unwrap();
    if ended {
        run.result().await.unwrap();
    }
    env.histories().remove(0)
}

#[tokio::test]
async fn a_history_fits_the_code_that_made_it_and_no_other() {
    for ended in [false, true] {
        let history = history(ended).await;
        let replay = Replayer::new().workflow(order).replay(history.clone());
        replay.assert_fits();
        assert_eq!(replay.waits_for().is_empty(), ended, "{:?}", replay.waits_for());
        let replay = Replayer::new().workflow(later::order).replay(history);
        let failure = replay.failure().expect("it does not fit").to_string();
        assert!(failure.contains("does not match its history") && failure.contains("greet"), "{failure}");
    }
}

#[tokio::test]
async fn a_workflow_that_the_replayer_does_not_know_would_break() {
    let replay = Replayer::new().workflow(approval).replay(history(false).await);
    let failure = replay.failure().expect("it is not known").to_string();
    assert!(failure.contains("knows no workflow type order"), "{failure}");
}

#[tokio::test]
async fn a_history_comes_back_from_its_json() {
    let history = history(true).await;
    assert_eq!(History::from_json(&history.to_json()).unwrap(), history);
    assert!(matches!(History::from_json("[]"), Err(ReadError::Empty)));
    assert!(matches!(History::from_json("{}"), Err(ReadError::Json(_))));
    let without = history.to_json().replace("\"exact\"", "\"other\"");
    assert!(matches!(History::from_json(&without), Err(ReadError::Inexact { number: 1 })));
    let two = history.to_json().replacen(&history.run.to_string(), &"0".repeat(32), 1);
    assert!(matches!(History::from_json(&two), Err(ReadError::Runs { .. })));
}

#[tokio::test]
async fn the_histories_of_a_folder_are_a_gate() {
    let folder = std::env::temp_dir().join(format!("highwater-replays-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("notes.txt"), "not a history").unwrap();
    for ended in [false, true] {
        fs::write(folder.join(format!("order-{ended}.json")), history(ended).await.to_json()).unwrap();
    }
    let replays = Replayer::new().workflow(order).replay_dir(&folder).unwrap();
    replays.assert_fit();
    assert_eq!(replays.len(), 2);
    let replays = Replayer::new().workflow(later::order).replay_dir(&folder).unwrap();
    let text = replays.to_string();
    assert!(text.contains("order-false.json: would break") && text.ends_with("0 fit, 2 would break"), "{text}");
    let panic = panic_of(|| async move { replays.assert_fit() });
    assert_eq!(panic, text);

    fs::write(folder.join("broken.json"), "[{}]").unwrap();
    let error = Replayer::new().workflow(order).replay_dir(&folder).unwrap_err().to_string();
    assert!(error.contains("broken.json: event 1 has no field"), "{error}");
    fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn live_runs_are_chosen_by_type_id_and_state() {
    let env = TestEnv::builder()
        .workflow(order)
        .workflow(approval)
        .mock(Shop::charge, |_| async { Ok("paid".into()) })
        .start()
        .await;
    let client = env.client();
    for id in ["a-1", "a-2", "b-1"] {
        client.start(order, 5).id(id).await.unwrap();
    }
    client.start(approval, ()).id("a.3").await.unwrap();
    client.handle_by_name("a-2").unwrap().terminate("not wanted").await.unwrap();
    env.sleep(Duration::from_secs(1)).await;

    let replayer = Replayer::new().workflow(order).workflow(approval);
    let ids = async |filter: HistoryFilter| {
        let replays = replayer.replay_live(&client, &filter).await.unwrap();
        replays.assert_fit();
        replays.iter().map(|replay| replay.source().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids(HistoryFilter::new()).await, ["a-1", "a-2", "a.3", "b-1"]);
    assert_eq!(ids(HistoryFilter::new().workflow_type("order").only_open()).await, ["a-1", "b-1"]);
    assert_eq!(ids(HistoryFilter::new().id_prefix("a").only_open()).await, ["a-1", "a.3"]);
}
