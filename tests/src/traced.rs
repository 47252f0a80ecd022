//! A workflow to be traced through several processes, see `src/bin/traced.rs`.

use std::time::Duration;

use highwater::prelude::*;
use tracing::Instrument;

/// The queue that it is on.
pub const QUEUE: &str = "traced";

/// The activities of [`traced()`].
#[derive(Debug)]
pub struct Tools;

#[activities]
impl Tools {
    #[activity(start_to_close = "10s")]
    pub async fn measure(&self, input: u32) -> Result<u32, String> {
        // What a program that uses `tracing` does anywhere.
        let span = tracing::info_span!("inside measure");
        async { tokio::time::sleep(Duration::from_millis(1)).await }.instrument(span).await;
        Ok(input + 1)
    }

    #[activity(start_to_close = "10s", blocking)]
    pub fn grind(&self, input: u32) -> Result<u32, String> {
        tracing::info_span!("inside grind").in_scope(|| Ok(input + 1))
    }

    #[activity(start_to_close = "10s", retry(initial_interval = "10ms", maximum_attempts = 2))]
    pub async fn falter(&self, context: &ActivityContext, input: u32) -> Result<u32, String> {
        if context.attempt() == 1 { Err("out of breath".into()) } else { Ok(input + 1) }
    }
}

/// Steps and activities before a signal, and others after it.
#[workflow]
pub async fn traced(ctx: Ctx, input: u32) -> Result<u32, Exit> {
    let mut go = ctx.signals::<()>("go");
    let prepared = ctx
        .step("prepare", move |_| async move {
            tracing::info_span!("inside prepare").in_scope(|| Ok::<_, String>(input + 1))
        })
        .await?;
    let measured = ctx.run(Tools::measure, prepared).await?;
    let ground = ctx.run(Tools::grind, measured).await?;
    go.recv().await?;
    let faltered = ctx.run(Tools::falter, ground).await?;
    Ok(ctx.step("finish", move |_| async move { Ok::<_, String>(faltered + 1) }).await?)
}
