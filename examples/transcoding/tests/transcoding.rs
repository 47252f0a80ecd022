//! Two hundred pieces: all of them, and never more than sixteen at once.

#![allow(clippy::disallowed_methods)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use highwater::{client::ResultError, testing::TestEnv};
use transcoding::{AT_ONCE, Broken, Film, Progress, Studio, Transcoding, TranscodingHandle};

fn studio() -> Studio {
    Studio { slices: 3, work: Duration::from_secs(4) }
}

fn film(pieces: u32) -> Film {
    Film { title: "The Long Wait".into(), pieces }
}

#[tokio::test]
async fn a_film_comes_out_whole() {
    let env = TestEnv::builder().workflow(Transcoding::run).activities(studio()).start().await;
    let run = env.client().start(Transcoding::run, film(200)).await.unwrap();
    assert_eq!(run.result().await.unwrap(), "The Long Wait: 200 pieces, 619900 bytes");
    env.finish().await;
}

#[tokio::test]
async fn no_more_than_sixteen_pieces_are_worked_on_at_once() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, seen) = (now.clone(), most.clone());
    let env = TestEnv::builder()
        .workflow(Transcoding::run)
        .activities(studio())
        .mock(Studio::transcode, move |piece| {
            let (now, most) = (counted.clone(), seen.clone());
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                // Pieces differ, so that they do not all end at once.
                tokio::time::sleep(Duration::from_secs(u64::from(piece.number % 7 + 1))).await;
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(1)
            }
        })
        .start()
        .await;
    let run = env.client().start(Transcoding::run, film(200)).await.unwrap();
    run.result().await.unwrap();
    assert_eq!(most.load(Ordering::SeqCst), AT_ONCE);
    env.finish().await;
}

#[tokio::test]
async fn the_progress_can_be_asked_for_on_the_way() {
    let env = TestEnv::builder().workflow(Transcoding::run).activities(studio()).start().await;
    let run = env.client().start(Transcoding::run, film(64)).await.unwrap();
    env.sleep(Duration::from_secs(18)).await;
    assert_eq!(run.progress().await.unwrap(), Progress { ready: 16, of: 64 });
    run.result().await.unwrap();
    env.finish().await;
}

#[tokio::test]
async fn a_piece_that_cannot_be_transcoded_ends_the_film_and_asks_for_no_further_piece() {
    let env = TestEnv::builder()
        .workflow(Transcoding::run)
        .activities(studio())
        .mock(Studio::transcode, |piece| async move {
            match piece.number {
                0 => Err(Broken::Unreadable(piece.number)),
                _ => {
                    tokio::time::sleep(Duration::from_secs(5)).await;
                    Ok(1)
                }
            }
        })
        .start()
        .await;
    let run = env.client().start(Transcoding::run, film(200)).await.unwrap();
    let error = run.result().await.unwrap_err();
    assert!(
        matches!(&error, ResultError::FailedOtherwise(failure) if failure.message.contains("piece 0")),
        "{error:?}"
    );
    assert_eq!(env.calls(Studio::transcode).len(), AT_ONCE);
    env.finish().await;
}
