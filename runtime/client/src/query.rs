//! Asking the worker that runs a workflow for something it knows.

use std::time::Duration;

use futures_util::future::join;
use highwater_broker::{
    BoxFuture, Error, ErrorKind, PlainMessage,
    history::{self, Freshness, HistoryError, StoredRecord},
};
use highwater_core::run::Limits;
use highwater_protocol::{
    Headers, InvalidId, Payload, QueueName, TypeName, WorkflowId, header, payload, query::QueryRejected,
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::{Instant, sleep};

use crate::{
    handle::{Located, Target, WorkflowHandle},
    intercept::QueryCall,
    pace::{PATIENCE, Pauses, Retryable, persist},
    run,
};

/// How long a worker may take to answer a query. A run that is not in its memory is rebuilt first.
pub const QUERY_WAIT: Duration = Duration::from_secs(10);

/// How long nobody may be listening before it counts as nobody being there: a partition that moves from one worker to
/// another has no listener for a moment.
const LISTENER_WAIT: Duration = Duration::from_secs(1);

/// How long one asking waits. A worker that has just lost the run, or is just getting it, does not answer; who has it
/// then hears the next one.
const ASK_AGAIN: Pauses = Pauses::new(Duration::from_millis(500), Duration::from_secs(4));

/// A query has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The query's name is none.
    #[error("cannot query: {0}")]
    Name(#[from] InvalidId),
    /// The argument cannot be encoded.
    #[error("cannot query, the argument does not encode: {0}")]
    Argument(#[source] payload::Error),
    /// The argument is larger than the server takes.
    #[error("cannot query workflow {id}: {reason}")]
    TooLarge {
        /// The workflow id.
        id: WorkflowId,
        /// How large it is and may be.
        reason: String,
    },
    /// There is no such run.
    #[error("there is no workflow {id} to query; check the id and the namespace")]
    NotFound {
        /// The workflow id.
        id: WorkflowId,
    },
    /// No worker serves the run's queue.
    #[error("workflow {id} cannot be queried: no worker serves queue {queue}; start one")]
    NoWorker {
        /// The workflow id.
        id: WorkflowId,
        /// The run's queue.
        queue: QueueName,
    },
    /// A worker listens and did not answer.
    #[error(
        "the worker that serves queue {queue} did not answer the query of workflow {id} within {QUERY_WAIT:?}: {source}; it may be overloaded, or just have lost the run to another worker; try again"
    )]
    NoAnswer {
        /// The workflow id.
        id: WorkflowId,
        /// The run's queue.
        queue: QueueName,
        /// What the broker says.
        source: Error,
    },
    /// The worker has no answer.
    #[error("workflow {id} does not answer the query: {rejected} ({code})", code = rejected.code)]
    Rejected {
        /// The workflow id.
        id: WorkflowId,
        /// Why.
        rejected: QueryRejected,
    },
    /// The answer is not of the type that was asked for.
    #[error("the answer of workflow {id} is of another type: {source}")]
    Decode {
        /// The workflow id.
        id: WorkflowId,
        /// What does not fit.
        source: payload::Error,
    },
    /// The history cannot be read.
    #[error("cannot query workflow {id}: {source}")]
    History {
        /// The workflow id.
        id: WorkflowId,
        /// Why.
        source: HistoryError,
    },
    /// The broker failed.
    #[error("cannot query workflow {id}: {source}")]
    Broker {
        /// The workflow id.
        id: WorkflowId,
        /// Why.
        source: Error,
    },
}

impl QueryError {
    /// Whether the same query may do better later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NoWorker { .. } | Self::NoAnswer { .. } => true,
            Self::Rejected { rejected, .. } => rejected.code == "blocked",
            Self::History { source, .. } => source.is_retryable(),
            Self::Broker { source, .. } => source.is_retryable(),
            Self::Name(_) | Self::Argument(_) | Self::TooLarge { .. } | Self::NotFound { .. } | Self::Decode { .. } => {
                false
            }
        }
    }
}

impl<W> WorkflowHandle<W> {
    /// Asks the run for something, without changing it. A worker must be alive; nothing is stored.
    pub async fn query<A, R>(&self, name: impl Into<String>, argument: &A) -> Result<R, QueryError>
    where
        A: Serialize + ?Sized,
        R: DeserializeOwned,
    {
        let answer = self.target().query(name.into(), Payload::encode(argument)).await?;
        self.target().read_answer(&answer)
    }

    /// Asks the run for something, argument and answer encoded.
    pub async fn query_payload(&self, name: impl Into<String>, argument: Payload) -> Result<Payload, QueryError> {
        self.target().query(name.into(), Ok(argument)).await
    }
}

impl Target {
    pub(crate) fn query(
        &self,
        name: String,
        argument: Result<Payload, payload::Error>,
    ) -> BoxFuture<'_, Result<Payload, QueryError>> {
        Box::pin(async move {
            let argument = argument.map_err(QueryError::Argument)?;
            let call = QueryCall { workflow_id: self.id().clone(), name: TypeName::new(name)?, argument };
            self.client().ask(call, &|call| Box::pin(self.ask_query(call))).await
        })
    }

    pub(crate) fn read_answer<R: DeserializeOwned>(&self, answer: &Payload) -> Result<R, QueryError> {
        answer.decode().map_err(|source| QueryError::Decode { id: self.id().clone(), source })
    }

    pub(crate) async fn ask_query(&self, call: QueryCall) -> Result<Payload, QueryError> {
        let QueryCall { name, argument, .. } = call;
        let id = || self.id().clone();
        let broker = self.client().broker();
        let limits = Limits::for_message_max(broker.payload_max());
        if let Some(failure) = limits.check("the query's argument", &argument) {
            return Err(QueryError::TooLarge { id: id(), reason: failure.message });
        }
        let answer = match self.queue() {
            None => {
                let queue = self.queue_to_query().await?;
                self.answer(&queue, &name, &argument).await
            }
            // A query changes nothing, so it need not wait until it is clear that it goes to the right run.
            Some(queue) => {
                let (now, answer) = join(self.queue_to_query(), self.answer(&queue, &name, &argument)).await;
                let now = now?;
                if now == queue { answer } else { self.answer(&now, &name, &argument).await }
            }
        }?;
        match QueryRejected::from_headers(&answer.headers) {
            Some(rejected) => Err(QueryError::Rejected { id: id(), rejected }),
            None => Ok(Payload::with_content_type(answer.payload, answer.headers.get(header::CONTENT_TYPE))),
        }
    }

    /// Asks the workers of a queue until one answers.
    async fn answer(&self, queue: &QueueName, name: &TypeName, argument: &Payload) -> Result<PlainMessage, QueryError> {
        let id = || self.id().clone();
        let broker = self.client().broker();
        let message = PlainMessage {
            subject: broker.subjects().query(queue, name, self.key()),
            reply: None,
            headers: Headers::new().with_opt(header::CONTENT_TYPE, argument.content_type.as_deref()),
            payload: argument.data.clone(),
        };
        let asked = Instant::now();
        let mut pauses = Pauses::between_attempts();
        let mut ask_again = ASK_AGAIN;
        loop {
            let wait = ask_again.next().min(QUERY_WAIT.saturating_sub(asked.elapsed()));
            match broker.request(message.clone(), wait).await {
                Ok(answer) => return Ok(answer),
                Err(error) if error.kind == ErrorKind::NoResponders => {
                    let pause = pauses.next();
                    if asked.elapsed() + pause >= LISTENER_WAIT {
                        return Err(QueryError::NoWorker { id: id(), queue: queue.clone() });
                    }
                    sleep(pause).await;
                }
                Err(source) if source.kind == ErrorKind::Unavailable => {
                    if asked.elapsed() >= QUERY_WAIT {
                        return Err(QueryError::NoAnswer { id: id(), queue: queue.clone(), source });
                    }
                }
                Err(source) => return Err(QueryError::Broker { id: id(), source }),
            }
        }
    }

    /// The queue whose worker answers for the run. A closed run can be queried as long as it is the latest of its id.
    async fn queue_to_query(&self) -> Result<QueueName, QueryError> {
        let unreadable = |source| QueryError::History { id: self.id().clone(), source };
        // The queue of a run never changes, so any replica's word will do.
        let hint = persist(PATIENCE, || history::last(self.client().broker(), self.key(), Freshness::Any));
        if let Some(last) = hint.await.map_err(unreadable)?
            && self.wanted().is_none_or(|run| run == last.frame.run)
        {
            let queue = run::queue_of(&last).map_err(unreadable)?;
            self.served_by(&queue);
            return Ok(queue);
        }
        match self.locate().await.map_err(unreadable)? {
            Located::Open(last) => run::queue_of(&last).map_err(unreadable),
            Located::Pending(pending) => Err(QueryError::NoWorker { id: self.id().clone(), queue: pending.queue }),
            Located::Closed { run, .. } => match self.last_if(run).await.map_err(unreadable)? {
                Some(last) => run::queue_of(&last).map_err(unreadable),
                None => Err(QueryError::NotFound { id: self.id().clone() }),
            },
            Located::Unknown => Err(QueryError::NotFound { id: self.id().clone() }),
        }
    }

    /// The last record of the id, if it is of this run.
    async fn last_if(&self, run: highwater_protocol::RunId) -> Result<Option<StoredRecord>, HistoryError> {
        let last = persist(PATIENCE, || run::last_of(self.client().broker(), self.key())).await?;
        Ok(last.filter(|last| last.frame.run == run))
    }
}
