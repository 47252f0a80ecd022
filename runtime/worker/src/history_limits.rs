//! How long the history of a run may become.

/// The size of a history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistorySize {
    /// Events.
    pub events: u64,
    /// About how many bytes its records take in the stream.
    pub bytes: u64,
}

impl HistorySize {
    /// Whether either figure is as large as the other's.
    pub(crate) fn reaches(self, other: Self) -> bool {
        self.events >= other.events || self.bytes >= other.bytes
    }
}

/// How long the history of a run may become, and what happens on the way there. Whichever of events and bytes is
/// reached first counts.
///
/// A history is read and replayed as a whole whenever its run is not in memory, so its length is what the next event
/// after a rest costs. The three steps:
///
/// | | unless set | what happens |
/// |---|---|---|
/// | [`warn_at`](Self::warn_at) | 50,000 events, 64 MiB | the worker logs a warning, once |
/// | [`suggest_at`](Self::suggest_at) | 100,000 events, 128 MiB | the code is told by `ctx.continue_as_new_suggested()` |
/// | [`fail_at`](Self::fail_at) | 1,000,000 events, 512 MiB | the run fails with [`HistoryTooLong`] |
///
/// No run fails that has not been told before, except one that is blocked: its code takes no events. One that comes to
/// its end in one leap is told with its next event, and fails behind that if it has not ended. Workers of one queue
/// should have the same limits: those of the worker that has the run count.
///
/// ```
/// use highwater_worker::HistoryLimits;
///
/// let limits = HistoryLimits::default().suggest_at(10_000, 16 << 20).fail_at(200_000, 256 << 20);
/// ```
///
/// [`HistoryTooLong`]: highwater_protocol::FailureKind::HistoryTooLong
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryLimits {
    pub(crate) warning: HistorySize,
    pub(crate) suggestion: HistorySize,
    pub(crate) maximum: HistorySize,
}

/// Limits of a history that contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidHistoryLimits {
    /// A limit is zero.
    #[error("a limit of a history cannot be zero: every run has an event")]
    Zero,
    /// Code would not be told before its run fails.
    #[error(
        "`suggest_at` must be less than `fail_at`, in events and in bytes: code is to be told before its run fails"
    )]
    SuggestionTooLate,
    /// Nobody would be warned before the run fails.
    #[error(
        "`warn_at` must be less than `fail_at`, in events and in bytes: people are to be warned before a run fails"
    )]
    WarningTooLate,
}

impl Default for HistoryLimits {
    fn default() -> Self {
        const MIB: u64 = 1 << 20;
        Self {
            warning: HistorySize { events: 50_000, bytes: 64 * MIB },
            suggestion: HistorySize { events: 100_000, bytes: 128 * MIB },
            maximum: HistorySize { events: 1_000_000, bytes: 512 * MIB },
        }
    }
}

impl HistoryLimits {
    /// Logs a warning when a history gets as long as this.
    pub fn warn_at(mut self, events: u64, bytes: u64) -> Self {
        self.warning = HistorySize { events, bytes };
        self
    }

    /// Suggests to the code that it continues as new when its history is as long as this.
    pub fn suggest_at(mut self, events: u64, bytes: u64) -> Self {
        self.suggestion = HistorySize { events, bytes };
        self
    }

    /// Fails a run whose history is as long as this.
    pub fn fail_at(mut self, events: u64, bytes: u64) -> Self {
        self.maximum = HistorySize { events, bytes };
        self
    }

    pub(crate) fn check(&self) -> Result<(), InvalidHistoryLimits> {
        let Self { warning, suggestion, maximum } = self;
        let limits = [warning, suggestion, maximum];
        if limits.iter().any(|size| size.events == 0 || size.bytes == 0) {
            Err(InvalidHistoryLimits::Zero)
        } else if suggestion.reaches(*maximum) {
            Err(InvalidHistoryLimits::SuggestionTooLate)
        } else if warning.reaches(*maximum) {
            Err(InvalidHistoryLimits::WarningTooLate)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_contradict_each_other_are_refused() {
        let limits = HistoryLimits::default();
        assert_eq!(limits.check(), Ok(()));
        assert_eq!(limits.suggest_at(10, 10).check(), Ok(()), "it may come before the warning");
        assert_eq!(limits.warn_at(0, 1).check(), Err(InvalidHistoryLimits::Zero));
        assert_eq!(limits.suggest_at(1, 512 << 20).check(), Err(InvalidHistoryLimits::SuggestionTooLate));
        assert_eq!(limits.suggest_at(10, 10).fail_at(20, 20).check(), Err(InvalidHistoryLimits::WarningTooLate));
    }
}
