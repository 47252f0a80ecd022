//! What replaying led to.

use std::fmt;

use highwater_protocol::Failure;

use super::History;

/// What became of one history.
#[derive(Debug)]
pub struct Replay {
    source: String,
    history: History,
    outcome: Result<Vec<String>, Failure>,
}

/// What became of several.
#[derive(Debug, Default)]
pub struct Replays(Vec<Replay>);

impl Replay {
    pub(super) fn new(source: String, history: History, outcome: Result<Vec<String>, Failure>) -> Self {
        Self { source, history, outcome }
    }

    /// Where the history is from: a file, or the workflow id.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The history.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Whether the code does what is on record.
    pub fn fits(&self) -> bool {
        self.outcome.is_ok()
    }

    /// Why a run with this history could not go on with this code.
    pub fn failure(&self) -> Option<&Failure> {
        self.outcome.as_ref().err()
    }

    /// What the code waits for at the end of the history, in words. Nothing when the run has ended or does not fit.
    pub fn waits_for(&self) -> &[String] {
        self.outcome.as_deref().unwrap_or_default()
    }

    /// Panics with what does not fit.
    #[track_caller]
    pub fn assert_fits(&self) {
        assert!(self.fits(), "{self}\n\n{}", self.history);
    }
}

impl fmt::Display for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            Ok(_) => write!(f, "{}: fits, {} events", self.source, self.history.events().count()),
            Err(failure) => write!(f, "{}: would break: {failure}", self.source),
        }
    }
}

impl Replays {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Replay> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none: a gate that has nothing to check is most likely set up wrongly.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that would break.
    pub fn broken(&self) -> impl Iterator<Item = &Replay> {
        self.iter().filter(|replay| !replay.fits())
    }

    /// Panics with what does not fit.
    #[track_caller]
    pub fn assert_fit(&self) {
        assert!(self.broken().next().is_none(), "{self}");
    }
}

impl IntoIterator for Replays {
    type Item = Replay;
    type IntoIter = std::vec::IntoIter<Replay>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl FromIterator<Replay> for Replays {
    fn from_iter<I: IntoIterator<Item = Replay>>(replays: I) -> Self {
        Self(replays.into_iter().collect())
    }
}

/// One line for each that fits, more for each that would break, and how many of both there are.
impl fmt::Display for Replays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for replay in self.iter() {
            writeln!(f, "{replay}")?;
        }
        let broken = self.broken().count();
        write!(f, "{} fit, {broken} would break", self.len() - broken)
    }
}
