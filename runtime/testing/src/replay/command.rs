//! The replayer as a program.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::ExitCode,
};

use super::{ReadFileError, Replayer, Replays};

/// Every history fits.
const FIT: u8 = 0;
/// Some would break, or cannot be read.
const BROKEN: u8 = 1;
/// There is nothing to replay.
const USAGE: u8 = 2;

impl Replayer {
    /// Replays the histories in the files and folders that this program's arguments name, and prints what became of
    /// each. The exit code is 0 when all fit, 1 when some would break or cannot be read, and 2 when there are none.
    ///
    /// This is what `highwater replay` runs, as the program `replay` of the package unless it is told another one. So a
    /// package with workflows has in `src/bin/replay.rs`:
    ///
    /// ```no_run
    /// use highwater::{prelude::*, testing::Replayer};
    ///
    /// # #[workflow]
    /// # pub async fn order(ctx: Ctx, cents: u64) -> Result<u64, Exit> { Ok(cents) }
    /// fn main() -> std::process::ExitCode {
    ///     Replayer::new().workflow(order).run_as_program()
    /// }
    /// ```
    pub fn run_as_program(&self) -> ExitCode {
        let (code, text) = self.run(std::env::args_os().skip(1));
        if code == FIT {
            println!("{text}");
        } else {
            eprintln!("{text}");
        }
        code.into()
    }

    fn run(&self, arguments: impl Iterator<Item = OsString>) -> (u8, String) {
        let paths: Vec<PathBuf> = arguments.map(PathBuf::from).collect();
        let replays: Result<Vec<Replays>, ReadFileError> = paths.iter().map(|path| self.replay_path(path)).collect();
        match replays {
            Err(error) => (BROKEN, error.to_string()),
            Ok(replays) => {
                let replays: Replays = replays.into_iter().flatten().collect();
                match (replays.is_empty(), replays.broken().next()) {
                    (true, _) => {
                        (USAGE, "there is no history to replay: name files, or folders with .json files".into())
                    }
                    (false, None) => (FIT, replays.to_string()),
                    (false, Some(_)) => (BROKEN, replays.to_string()),
                }
            }
        }
    }

    fn replay_path(&self, path: &Path) -> Result<Replays, ReadFileError> {
        if path.is_dir() { self.replay_dir(path) } else { Ok([self.replay_file(path)?].into_iter().collect()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_to_replay_is_no_success() {
        let (code, text) = Replayer::new().run(std::iter::empty());
        assert_eq!(code, USAGE, "{text}");
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let (code, text) = Replayer::new().run([OsString::from("nowhere/at-all.json")].into_iter());
        assert!(code == BROKEN && text.contains("at-all.json"), "{text}");
    }
}
