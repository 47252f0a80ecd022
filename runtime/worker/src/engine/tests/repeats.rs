//! Messages of other runs that are stored twice, as an owner that takes over sends again what it knows no answer to.

use highwater_protocol::{
    event::{Origin, Sender},
    request::RunCancel,
    subject::EngineVerb,
};

use super::*;

fn origin() -> Origin {
    Origin { workflow_id: WorkflowId::new("sender").unwrap(), run: RunId::generate(), queue: queue(SHOP), op: OpId(3) }
}

impl Fixture {
    /// Another run asks for whatever run there is to cancel itself.
    fn cancel(&mut self, seq: u64, origin: &Origin) -> Vec<Action> {
        let cancel = RunCancel { origin: Some(origin.clone()), run: None, reason: String::new() };
        let subject = self.subjects.inbox_engine(EngineVerb::Cancel, &queue(SHOP), origin.run, &self.key);
        let (headers, payload) = (Headers::new(), wire::encode(&cancel));
        self.feed(Input::Request { message: Message { subject, headers, payload, seq, time: Timestamp(seq as i64) } })
    }

    fn history_of_one_that_was_told(&self, origin: &Origin) -> Loaded {
        self.history_of(12, 6, |started| {
            started.taken_cancels = vec![Sender { run: origin.run, op: origin.op }];
        })
    }
}

#[test]
fn a_request_to_cancel_that_the_run_before_has_taken_does_not_cancel_the_one_that_follows_it() {
    let mut fixture = Fixture::new();
    let (told, new) = (origin(), origin());
    let actions = fixture.cancel(13, &told);
    let loaded = fixture.history_of_one_that_was_told(&told);
    let actions = fixture.load(&actions, loaded);
    assert!(given(&actions).is_empty(), "{actions:?}");
    // It is consumed, and whoever sent it hears so: that takes a record.
    let actions = fixture.cancel(14, &new);
    assert!(given(&actions).is_empty(), "it waits for that record");
}
