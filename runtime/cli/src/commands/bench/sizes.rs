//! How many there are of what a row is about.

use clap::{Args, builder::RangedU64ValueParser};
use serde_json::{Value, json};

/// The most of anything.
const MAX: u64 = 100_000_000;

fn number() -> RangedU64ValueParser<u64> {
    RangedU64ValueParser::new().range(1..=MAX)
}

/// How many runs, messages or activities a row has to do with. A row whose full size takes minutes is smaller when
/// nobody asked for it by name.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Sizes {
    /// Runs in rows timer-cached, timer-evicted, cold-resume, takeover, cached-run, wear and full-stream [default: each
    /// row has its own]
    #[arg(long, value_name = "N", value_parser = number())]
    runs: Option<u64>,
    /// Runs that sleep in row `sleeping`, beside as many that wait [default: 1000000, or 20000 unless the row is named]
    #[arg(long, value_name = "N", value_parser = number())]
    sleeping: Option<u64>,
    /// Messages that fill the stream in row `full-stream` [default: 10000000, or 100000 unless the row is named]
    #[arg(long, value_name = "N", value_parser = number())]
    stream_messages: Option<u64>,
    /// Activities that a run asks for at once in row `noisy-neighbour`
    #[arg(long, value_name = "N", value_parser = number(), default_value_t = 10_000)]
    pub(crate) fan_out: u64,
    /// The rows were named.
    #[arg(skip)]
    pub(crate) named: bool,
}

impl Sizes {
    /// Runs, in a row that has so many unless something else was asked for.
    pub(crate) fn runs(&self, usual: u64) -> u64 {
        self.runs.unwrap_or(usual)
    }

    /// Runs, in a row that has `full` of them when it is named and `small` otherwise.
    pub(crate) fn runs_of(&self, full: u64, small: u64) -> u64 {
        self.runs(self.by_name(full, small))
    }

    /// Runs that sleep.
    pub(crate) fn sleeping(&self) -> u64 {
        self.sleeping.unwrap_or(self.by_name(1_000_000, 20_000))
    }

    /// Messages that fill the stream.
    pub(crate) fn stream_messages(&self) -> u64 {
        self.stream_messages.unwrap_or(self.by_name(10_000_000, 100_000))
    }

    /// For programs. What each row chooses is null.
    pub(super) fn json(&self) -> Value {
        json!({
            "runs": self.runs,
            "sleeping": self.sleeping(),
            "stream_messages": self.stream_messages(),
            "fan_out": self.fan_out,
        })
    }

    fn by_name(&self, full: u64, small: u64) -> u64 {
        if self.named { full } else { small }
    }
}
