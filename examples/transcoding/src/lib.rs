//! A film in two hundred pieces, transcoded sixteen at a time, with a progress that can be asked for.
//!
//! - [`Transcoding`]: the workflow.
//! - [`Studio`]: its activities, which tell how far they are.

use std::{collections::BTreeSet, time::Duration};

use highwater::{buffered, prelude::*};
use serde::{Deserialize, Serialize};

/// A film to be transcoded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Film {
    /// Its title.
    pub title: String,
    /// How many pieces it has.
    pub pieces: u32,
}

/// One piece of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Piece {
    /// The film's title.
    pub title: String,
    /// Which piece, from 0.
    pub number: u32,
}

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Pieces that are ready.
    pub ready: u32,
    /// All pieces.
    pub of: u32,
}

/// How many pieces are worked on at once: what the studio's machines can bear, whatever the number of workers.
pub const AT_ONCE: usize = 16;

/// A film under way.
#[derive(Debug)]
pub struct Transcoding {
    progress: Progress,
}

#[workflow]
impl Transcoding {
    #[init]
    fn new(film: &Film) -> Self {
        Self { progress: Progress { ready: 0, of: film.pieces } }
    }

    #[run]
    pub async fn run(ctx: Ctx<Self>, film: Film) -> Result<String, Exit> {
        let pieces = (0..film.pieces).map(|number| {
            let (ctx, piece) = (ctx.clone(), Piece { title: film.title.clone(), number });
            async move {
                let bytes = ctx.run(Studio::transcode, piece).await?;
                ctx.update(|film| film.progress.ready += 1);
                Ok::<u64, Exit>(bytes)
            }
        });
        // A piece is asked for when its turn comes, so no more than these are ever under way; should one fail for good,
        // the others are cancelled.
        let sizes: Vec<u64> = buffered(AT_ONCE, pieces).try_collect().await?;
        let title = ctx.run(Studio::join, (film.title, sizes)).await?;
        Ok(title)
    }

    /// How far it is.
    #[query]
    pub fn progress(&self) -> Progress {
        self.progress
    }
}

/// Why a piece cannot be transcoded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Broken {
    /// The data is no film: no machine will ever read it.
    #[error("piece {0} cannot be read")]
    Unreadable(u32),
    /// Nobody wants it any more.
    #[error("piece {0} is not wanted any more")]
    NotWanted(u32),
}

/// The machines. `slices` is how many parts of a piece are done one after the other, each in `work`.
#[derive(Clone, Debug)]
pub struct Studio {
    /// Parts of a piece.
    pub slices: u32,
    /// How long each takes.
    pub work: Duration,
}

#[activities]
impl Studio {
    /// Transcodes a piece, and tells after each part how far it is: a worker that takes over goes on from there.
    #[activity(start_to_close = "1h", heartbeat = "10s", non_retryable = Broken::Unreadable(_))]
    pub async fn transcode(&self, context: &ActivityContext, piece: Piece) -> Result<u64, Broken> {
        let done: u32 = context.last_heartbeat().unwrap_or(0);
        for slice in done..self.slices {
            tokio::time::sleep(self.work).await;
            context.heartbeat(&(slice + 1));
            if context.is_cancelled() {
                return Err(Broken::NotWanted(piece.number));
            }
        }
        Ok(u64::from(self.slices) * 1_000 + u64::from(piece.number))
    }

    /// Puts the pieces together.
    #[activity(start_to_close = "10m")]
    pub async fn join(&self, (title, sizes): (String, Vec<u64>)) -> Result<String, String> {
        let pieces: BTreeSet<u64> = sizes.iter().copied().collect();
        Ok(format!("{title}: {} pieces, {} bytes", pieces.len(), sizes.iter().sum::<u64>()))
    }
}
