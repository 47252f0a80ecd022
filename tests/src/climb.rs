//! An activity that reports how far it got, for a test of what becomes of it when its worker is killed.

use std::time::Duration;

use highwater::prelude::*;

/// The queue of the activity, whose workers are processes of their own.
pub const QUEUE: &str = "mountain";

/// How long a task stays with a worker that is dead. All processes have to agree.
pub const TASK_ACK_WAIT: Duration = Duration::from_secs(2);

/// The height at which the climb is over.
const TOP: u32 = 10;

/// Climbs, and gets no further than `strength`.
#[derive(Clone, Copy, Debug)]
pub struct Climber {
    /// The highest it gets.
    pub strength: u32,
}

#[activities]
impl Climber {
    /// Returns the height at which this attempt began, and its number.
    #[activity(heartbeat = "10s")]
    pub async fn climb(&self, cx: &ActivityContext, (): ()) -> Result<(u32, u32), String> {
        let began_at = cx.last_heartbeat().unwrap_or(0);
        for height in began_at..=self.strength {
            cx.heartbeat(&height);
        }
        if self.strength < TOP {
            std::future::pending::<()>().await;
        }
        Ok((began_at, cx.attempt()))
    }
}

/// Calls it.
#[workflow]
pub async fn expedition(ctx: Ctx, (): ()) -> Result<(u32, u32), Exit> {
    Ok(ctx.run(Climber::climb, ()).queue(QUEUE).await?)
}
