//! What is known of an activity beside its task: its entry in the `activities` bucket.
//!
//! Worker and owner both write it, so every write is conditional on what was read.

use std::sync::Arc;

use highwater_broker::{BoxFuture, Broker, Bucket, Error, ErrorKind};
use highwater_protocol::{
    task::{ActivityState, ActivityTask},
    wire,
};
use tokio::sync::Mutex;

/// How often a write is tried while others write, too.
const CONFLICTS_MAX: u32 = 8;

/// The entry of one activity.
#[derive(Clone, Debug)]
pub(super) struct StateEntry {
    broker: Arc<dyn Broker>,
    key: String,
    attempt: u32,
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    state: ActivityState,
    /// The revision of `state`; 0 when there is no entry, `None` when that is not known.
    revision: Option<u64>,
    /// Whether there was an entry or may be one by a write of ours.
    touched: bool,
}

impl StateEntry {
    pub(super) fn new(broker: Arc<dyn Broker>, task: &ActivityTask) -> Self {
        let key = ActivityState::key(task.run, task.call.op);
        Self { broker, key, attempt: task.attempt, known: Arc::default() }
    }

    /// For the attempt of this number.
    pub(super) fn at_attempt(self, attempt: u32) -> Self {
        Self { attempt, ..self }
    }

    /// Whether whatever is told about the activity arrives here.
    pub(super) fn is_in_process(&self) -> bool {
        self.broker.is_in_process()
    }

    /// What the entry says now.
    pub(super) fn read(&self) -> BoxFuture<'static, Result<ActivityState, Error>> {
        let this = self.clone();
        Box::pin(async move {
            let mut known = this.known.lock().await;
            this.refresh(&mut known).await?;
            Ok(known.state.clone())
        })
    }

    /// Changes the entry and returns what it says then. A later attempt's entry is left as it is: that is a
    /// [`ErrorKind::Conflict`].
    pub(super) fn update(
        &self,
        change: impl Fn(&mut ActivityState) + Send + 'static,
    ) -> BoxFuture<'static, Result<ActivityState, Error>> {
        let this = self.clone();
        Box::pin(async move {
            let mut known = this.known.lock().await;
            for _ in 0..CONFLICTS_MAX {
                let revision = match known.revision {
                    Some(revision) => revision,
                    None => this.refresh(&mut known).await?,
                };
                if known.state.attempt > this.attempt {
                    let text = format!("attempt {} has begun meanwhile", known.state.attempt);
                    return Err(Error::new(ErrorKind::Conflict, text));
                }
                let mut state = known.state.clone();
                change(&mut state);
                state.attempt = this.attempt;
                // Not known until the answer is there.
                known.revision = None;
                known.touched = true;
                let (key, value) = (this.key.clone(), wire::encode(&state));
                match this.broker.kv_put(Bucket::Activities, key, value, Some(revision)).await {
                    Ok(revision) => {
                        *known = Known { state, revision: Some(revision), touched: true };
                        return Ok(known.state.clone());
                    }
                    Err(error) if error.kind == ErrorKind::Conflict => {}
                    Err(error) => return Err(error),
                }
            }
            Err(Error::new(ErrorKind::Unavailable, "others write the activity's entry all the time"))
        })
    }

    /// Whether there may be an entry. `exists` tells that somebody else wrote it.
    pub(super) async fn may_exist(&self, exists: bool) -> bool {
        exists || self.known.lock().await.touched
    }

    /// Clears the entry of an activity that has its outcome, when there is one as far as is known. `exists` tells that
    /// somebody else wrote it.
    ///
    /// Who decided about the start in time stays until it expires or the owner deletes it: the owner may yet ask, if
    /// its timer fires before it reads the outcome.
    pub(super) async fn clear(&self, exists: bool) {
        let (touched, start, heavy) = {
            let known = self.known.lock().await;
            let state = &known.state;
            (known.touched, state.start, state.heartbeat.is_some() || state.last_failure.is_some())
        };
        let cleared = if start.is_some() {
            if !heavy {
                return;
            }
            let change =
                |state: &mut ActivityState| *state = ActivityState { start: state.start, ..Default::default() };
            self.update(change).await.map(drop)
        } else if exists || touched {
            self.broker.kv_delete(Bucket::Activities, self.key.clone()).await
        } else {
            return;
        };
        if let Err(error) = cleared {
            tracing::debug!(%error, "cannot clear the activity's entry; it expires");
        }
    }

    async fn refresh(&self, known: &mut Known) -> Result<u64, Error> {
        known.revision = None;
        let (state, revision) = match self.broker.kv_get(Bucket::Activities, self.key.clone()).await? {
            None => (ActivityState::default(), 0),
            Some(entry) => {
                let state = wire::decode(&entry.value).unwrap_or_else(|error| {
                    tracing::error!(key = self.key, %error, "the activity's entry cannot be read; going on without it");
                    ActivityState::default()
                });
                (state, entry.revision)
            }
        };
        let touched = known.touched || revision > 0;
        *known = Known { state, revision: Some(revision), touched };
        Ok(revision)
    }
}
