//! Which histories would break?

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use highwater_client::{Client, HistoryFilter, ReadHistoriesError};
use highwater_core::{definition::WorkflowCode, intercept::WorkflowInterceptor, run::Registry};

use super::{History, ReadError, Replay, Replays, play_all};

/// A file does not hold a history.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct ReadFileError {
    /// The file, or the folder.
    pub path: PathBuf,
    /// What is wrong with it.
    pub source: ReadError,
}

/// Replays histories against the workflow code of this program, to find out before a deploy which runs it would break.
///
/// Export histories with `highwater show <id> -o json`, keep them beside the code, and let a test replay them:
///
/// ```
/// use highwater::{prelude::*, testing::Replayer};
///
/// #[workflow]
/// pub async fn order(ctx: Ctx, cents: u64) -> Result<u64, Exit> {
///     Ok(cents)
/// }
///
/// # let folder = std::env::temp_dir().join("highwater-replayer-example");
/// # std::fs::create_dir_all(&folder).unwrap();
/// let replayer = Replayer::new().workflow(order);
/// replayer.replay_dir(folder).unwrap().assert_fit();
/// ```
#[derive(Debug, Default)]
pub struct Replayer {
    registry: Arc<Registry>,
}

impl Replayer {
    /// One that knows no workflow.
    pub fn new() -> Self {
        Self::default()
    }

    /// Knows this workflow: `.workflow(order)` or `.workflow(Order::run)`.
    ///
    /// # Panics
    ///
    /// When two workflows have one name.
    #[track_caller]
    pub fn workflow<P, W>(mut self, item: W) -> Self
    where
        W: WorkflowCode<P> + Clone + Send + Sync,
    {
        let registry = Arc::get_mut(&mut self.registry).expect("runs are dropped when they have been replayed");
        if let Err(error) = registry.add(item) {
            panic!("{error}");
        }
        self
    }

    /// Has an interceptor see what goes into and out of all workflows, as the workers have that made the histories.
    pub fn intercept_workflows(mut self, interceptor: impl WorkflowInterceptor) -> Self {
        let registry = Arc::get_mut(&mut self.registry).expect("runs are dropped when they have been replayed");
        registry.intercept(Arc::new(interceptor));
        self
    }

    /// Replays a history.
    pub fn replay(&self, history: History) -> Replay {
        let id = history.workflow_id().map_or_else(|| history.run.to_string(), ToString::to_string);
        self.replay_from(id, history)
    }

    /// Replays a history as `highwater show -o json` prints it.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn replay_json(&self, json: &str) -> Result<Replay, ReadError> {
        Ok(self.replay(History::from_json(json)?))
    }

    /// Replays the history in a file.
    ///
    /// # Errors
    ///
    /// When there is none in it.
    pub fn replay_file(&self, path: impl AsRef<Path>) -> Result<Replay, ReadFileError> {
        let path = path.as_ref();
        let named = |source| ReadFileError { path: path.to_owned(), source };
        let json = fs::read_to_string(path).map_err(|error| named(error.into()))?;
        let history = History::from_json(&json).map_err(named)?;
        Ok(self.replay_from(path.display().to_string(), history))
    }

    /// Replays the histories in the `.json` files of a folder, in the order of their names.
    ///
    /// # Errors
    ///
    /// When one of the files holds no history.
    pub fn replay_dir(&self, folder: impl AsRef<Path>) -> Result<Replays, ReadFileError> {
        let folder = folder.as_ref();
        let named = |error: std::io::Error| ReadFileError { path: folder.to_owned(), source: error.into() };
        let files = fs::read_dir(folder)
            .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>());
        let mut files = files.map_err(named)?;
        files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        files.sort();
        files.iter().map(|path| self.replay_file(path)).collect()
    }

    /// Replays the histories of the runs in a namespace that the filter lets through, the latest run of each workflow
    /// id.
    ///
    /// It goes through the whole history stream; that takes a while where the stream is large.
    ///
    /// # Errors
    ///
    /// When the broker does not answer, or a history cannot be read.
    pub async fn replay_live(&self, client: &Client, filter: &HistoryFilter) -> Result<Replays, ReadHistoriesError> {
        let histories = client.histories(filter).await?.into_iter();
        let replay = |(_, events)| Some(self.replay(History::of_events(events)?));
        Ok(histories.filter_map(replay).collect())
    }

    fn replay_from(&self, source: String, history: History) -> Replay {
        let played = play_all(&self.registry, std::slice::from_ref(&history)).pop().expect("one for each history");
        Replay::new(source, history, played.map_err(|failed| failed.failure))
    }
}
