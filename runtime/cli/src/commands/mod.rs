//! The commands, one file each. A new one is a file, a `mod` and a line in the list below.

mod bench;
mod cancel;
mod describe;
mod dev;
mod lints;
mod namespace;
mod query;
mod replay;
mod result;
mod show;
mod signal;
mod start;
mod terminate;
mod update;

use crate::{exit::Error, globals::Globals};

macro_rules! commands {
    ($($name:ident = $command:ty),+ $(,)?) => {
        /// What is to be done.
        #[derive(Debug, clap::Subcommand)]
        pub(crate) enum Command { $($name($command)),+ }

        impl Command {
            pub(crate) async fn run(self, globals: &Globals) -> Result<(), Error> {
                match self { $(Self::$name(command) => command.run(globals).await),+ }
            }
        }
    };
}

commands! {
    Dev = dev::Dev,
    Namespace = namespace::Namespace,
    Start = start::Start,
    Signal = signal::Signal,
    Query = query::Query,
    Update = update::Update,
    Cancel = cancel::Cancel,
    Terminate = terminate::Terminate,
    Result = result::ResultOf,
    Describe = describe::Describe,
    Show = show::Show,
    Replay = replay::Replay,
    Lints = lints::Lints,
    Bench = bench::Bench,
    BenchWorker = bench::BenchWorker,
}
