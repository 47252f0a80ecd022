//! What workflow code tells to `tracing`.

use std::{
    io,
    sync::{Arc, Mutex, Once},
    time::Duration,
};

use highwater_core::{Ctx, Exit};
use highwater_macros::workflow;
use tracing::{Instrument, info, info_span, subscriber::DefaultGuard};
use tracing_subscriber::fmt::MakeWriter;

use crate::play::{Mode, Play, registry};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Log {
    fn lines(&self) -> Vec<String> {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap().lines().map(str::to_owned).collect()
    }

    /// What is told meanwhile.
    fn of<T>(&self, act: impl FnOnce() -> T) -> Vec<String> {
        let before = self.lines().len();
        act();
        self.lines().split_off(before)
    }

    /// Hears what this thread tells, as long as what it returns is there.
    fn hear(&self) -> DefaultGuard {
        // As long as there is one subscriber only, `tracing` asks whichever thread comes first to an event whether
        // anybody wants it, and remembers the answer: tests beside this one, on threads without a subscriber, would say
        // no.
        static EVERYWHERE: Once = Once::new();
        EVERYWHERE.call_once(|| {
            let nowhere = tracing_subscriber::fmt().with_writer(io::sink).finish();
            tracing::subscriber::set_global_default(nowhere).expect("no other test sets one");
        });
        let subscriber = tracing_subscriber::fmt().with_writer(self.clone()).without_time().with_ansi(false).finish();
        tracing::subscriber::set_default(subscriber)
    }
}

#[derive(Default)]
struct Talks;

#[workflow(name = "talks")]
impl Talks {
    #[run]
    async fn run(ctx: Ctx<Self>) -> Result<(), Exit> {
        info!("begins");
        async {
            ctx.sleep(Duration::from_secs(1)).await.ok();
            info!("slept");
        }
        .instrument(info_span!("night"))
        .await;
        ctx.cancelled().await;
        Ok(())
    }

    #[signal]
    fn knock(&mut self) {
        info!("who is there?");
    }
}

#[test]
fn what_code_tells_is_heard_once_with_the_ids_of_its_run() {
    let log = Log::default();
    let _subscribed = log.hear();
    for mode in [Mode::Kept, Mode::Evicted] {
        log.0.lock().unwrap().clear();
        let mut play = Play::new(&registry(Talks::run), mode);
        let heard = ["start", "signal knock", "fire 1", "signal knock"].map(|line| log.of(|| play.line(line)));
        let span = "workflow{workflow_id=order-17 workflow_type=talks run=";
        for (lines, told) in heard.iter().zip(["begins", "who is there?", "slept", "who is there?"]) {
            let [line] = &lines[..] else { panic!("not one line for {told:?}, played {mode:?}: {lines:?}") };
            assert!(line.contains(span) && line.ends_with(told), "{line}");
        }
    }
}

#[test]
fn a_signal_that_nothing_takes_is_told_once_and_one_that_the_code_receives_later_is_not() {
    #[workflow]
    async fn listens(ctx: Ctx) -> Result<(), Exit> {
        ctx.signals::<()>("knock").recv().await?;
        ctx.cancelled().await;
        Ok(())
    }
    let log = Log::default();
    let _subscribed = log.hear();
    for mode in [Mode::Kept, Mode::Evicted] {
        let mut play = Play::new(&registry(listens), mode);
        let told = ["start", "signal knock", "signal ring", "signal knock", "signal ring"]
            .map(|line| log.of(|| play.line(line)));
        assert_eq!(told.each_ref().map(Vec::len), [0, 0, 1, 0, 1], "played {mode:?}: {told:?}");
        assert!(told[2][0].contains("run=") && told[2][0].contains("signal=ring"), "{told:?}");
    }
}
