//! A film in two hundred pieces, sixteen at a time, with its progress.
//!
//! `cargo run -p transcoding` starts a private NATS server, unless `NATS_URL` names one.

// The program around the workflows may do everything.
#![allow(clippy::disallowed_macros, clippy::disallowed_methods)]

use std::time::Duration;

use transcoding::{Film, Studio, Transcoding, TranscodingHandle};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let highwater = highwater::dev::connect().await?;
    let studio = Studio { slices: 4, work: Duration::from_millis(25) };
    let worker = highwater.worker().queue("studio").workflow(Transcoding::run).activities(studio).build()?;
    let stop = worker.stop_handle();
    let working = tokio::spawn(worker.run());
    let client = highwater.client();

    let film = Film { title: "The Long Wait".into(), pieces: 200 };
    let film = client.start(Transcoding::run, film).queue("studio").await?;
    let mut result = std::pin::pin!(film.result().into_future());
    let title = loop {
        tokio::select! {
            title = &mut result => break title?,
            () = tokio::time::sleep(Duration::from_millis(300)) => {
                let progress = film.progress().await?;
                println!("progress   {} of {} pieces", progress.ready, progress.of);
            }
        }
    };
    println!("result     {title}");

    stop.stop();
    working.await??;
    highwater.close().await?;
    Ok(())
}
