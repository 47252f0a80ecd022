//! What keeps the owner from reading on, and what must not.

use super::*;

impl Fixture {
    /// Answers everything that is to be sent.
    fn answer_sends(&mut self, actions: &[Action], answer: impl Fn(&Send) -> Sent) {
        let generation = self.engine.slots[&self.key].generation;
        for action in actions {
            if let Action::Send { send, .. } = action {
                let (key, sent) = (self.key.clone(), answer(send));
                self.feed(Input::Sent { key, generation, sent });
            }
        }
    }
}

#[test]
fn a_run_that_waits_for_what_is_still_to_be_read_keeps_nobody_from_reading_it() {
    let mut fixture = Fixture::new();
    let run = fixture.run;
    // Read again after a crash: whether the task was sent is not known.
    let actions = fixture.fire(5, 1);
    let loaded = fixture.history_of(|_| (), vec![called()], (7, 7));
    let actions = fixture.load(&actions, loaded);
    assert!(fixture.engine.backlog() > 0, "what is being sent counts");
    // The task is gone, and an outcome waits further on in the inbox.
    fixture.answer_sends(&actions, |send| match send {
        Send::Task { verify: true, task, .. } => Sent::Waits { run, op: task.call.op, seq: 90 },
        other => panic!("nothing else is to be sent: {other:?}"),
    });
    assert_eq!(fixture.engine.backlog(), 0);
    assert!(!fixture.engine.is_quiet(SHOP), "its event is not done");
}

#[test]
fn the_backlog_is_what_is_at_work() {
    let mut fixture = Fixture::new();
    let actions = fixture.signal(SHOP, 8);
    assert_eq!(fixture.engine.backlog(), 2, "one event, and a history that is being read");
    let loaded = fixture.history(7, 0);
    let actions = fixture.load(&actions, loaded);
    let generation = generation_of_job(&actions);
    assert_eq!(fixture.engine.backlog(), 2, "the code has the event");
    fixture.code_asks_for_nothing(generation);
    fixture.appended(Ok(Appended::Stored(2)));
    assert_eq!(fixture.engine.backlog(), 0);
    fixture.signal(SHOP, 9);
    assert!(fixture.engine.backlog() > 0);
    fixture.feed(Input::Lost { unit: SHOP });
    assert_eq!(fixture.engine.backlog(), 0, "what is lost is not at work");
}
