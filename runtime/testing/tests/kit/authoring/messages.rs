//! Handlers of names that are not known beforehand, and handlers that panic.

use highwater::{FailureKind, Payload, TypeName, client::UpdateError, prelude::*, testing::TestEnv};

use crate::{Shop, days};

#[tokio::test]
async fn handlers_of_any_name_take_what_comes() {
    /// Keeps what it was signalled, tells it to queries, and greets by updates.
    #[derive(Default)]
    struct Mailbox {
        letters: Vec<String>,
    }
    #[workflow]
    impl Mailbox {
        #[run]
        async fn run(ctx: Ctx<Self>, (): ()) -> Result<Vec<String>, Exit> {
            ctx.on_any_signal(|ctx, name: TypeName, input: Payload| async move {
                let text: String = input.decode().expect("the test sends text");
                ctx.update(|mailbox| mailbox.letters.push(format!("{name}: {text}")));
            });
            let inner = ctx.clone();
            ctx.on_any_query(move |name, _| format!("{name}: {}", inner.read(|mailbox| mailbox.letters.join(", "))));
            ctx.on_any_update(|ctx, name: TypeName, input: Payload| async move {
                let whom: String = input.decode().expect("the test sends text");
                let greeting = ctx.run(Shop::greet, whom).await?;
                Ok::<_, Exit>(format!("{name}: {greeting}"))
            });
            ctx.signals::<()>("close").recv().await?;
            Ok(ctx.read(|mailbox| mailbox.letters.clone()))
        }

        #[signal]
        fn known(&mut self, text: String) {
            self.letters.push(format!("the known one: {text}"));
        }
    }
    let env = TestEnv::builder().workflow(Mailbox::run).activities(Shop).start().await;
    let run = env.client().start(Mailbox::run, ()).id("mailbox").await.unwrap();
    for (name, text) in [("letter", "hello"), ("known", "hi"), ("parcel", "heavy")] {
        run.signal(name, text).await.unwrap();
    }
    let told: String = run.query("what is there", &()).await.unwrap();
    assert_eq!(told, "what is there: letter: hello, the known one: hi, parcel: heavy");
    let greeted: String = run.update::<_, String, String>("welcome", "Ann").await.unwrap();
    assert_eq!(greeted, "welcome: Hello, Ann!");
    run.signal("close", &()).await.unwrap();
    assert_eq!(run.result().await.unwrap(), ["letter: hello", "the known one: hi", "parcel: heavy"]);
    env.finish().await;
}

#[tokio::test]
async fn an_update_handler_that_panics_fails_its_update_and_nothing_else() {
    #[derive(Default)]
    struct Till {
        cents: u64,
        closed: bool,
    }
    #[workflow]
    impl Till {
        #[run]
        async fn run(ctx: Ctx<Self>, (): ()) -> Result<u64, Exit> {
            ctx.wait_until(|till| till.closed).await?;
            Ok(ctx.read(|till| till.cents))
        }

        #[signal]
        fn close(&mut self, (): ()) {
            self.closed = true;
        }

        #[update]
        fn take(&mut self, cents: u64) -> u64 {
            assert!(cents > 0, "no money at all");
            self.cents += cents;
            self.cents
        }

        #[update]
        async fn take_later(ctx: Ctx<Self>, cents: u64) -> Result<u64, Exit> {
            ctx.sleep(days(1)).await?;
            assert!(cents > 0, "no money after a day");
            Ok(ctx.update(|till| {
                till.cents += cents;
                till.cents
            }))
        }
    }
    // Task failures are not allowed here: that the test ends well says that there was none.
    let env = TestEnv::builder().workflow(Till::run).start().await;
    let run = env.client().start(Till::run, ()).id("till").await.unwrap();
    for (name, told) in [("take", "no money at all"), ("take_later", "no money after a day")] {
        let error = run.update::<_, u64, String>(name, &0_u64).await.unwrap_err();
        let UpdateError::FailedOtherwise(failure) = &error else { panic!("{error:?}") };
        assert_eq!(failure.kind, FailureKind::Panic);
        assert!(failure.message.contains(told) && failure.message.contains("messages.rs"), "{failure}");
    }
    assert_eq!(run.update::<_, u64, String>("take", &5_u64).await.unwrap(), 5);
    assert_eq!(run.update::<_, u64, String>("take_later", &2_u64).await.unwrap(), 7);
    run.signal("close", &()).await.unwrap();
    assert_eq!(run.result().await.unwrap(), 7);
    env.finish().await;
}
