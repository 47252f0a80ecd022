//! What becomes of a run whose thread is lost through no fault of its own.

use highwater_core::run::StepRun;

use super::*;

fn step() -> StepRun {
    let work = Box::new(|_: u32| -> highwater_core::activity::BoxFuture<'static, Outcome> {
        Box::pin(std::future::pending())
    });
    StepRun { op: OpId(5), name: TypeName::new("reserve").unwrap(), retry: RetryPolicy::default(), work }
}

fn steps_begun(actions: &[Action]) -> usize {
    actions.iter().filter(|action| matches!(action, Action::Step { .. })).count()
}

#[test]
fn a_step_under_way_is_not_begun_again_and_its_result_counts() {
    let mut fixture = Fixture::new();
    let actions = fixture.signal(SHOP, 12);
    let sleeps = || Event::TimerStarted { op: OpId(1), fire_at: Timestamp(200) };
    let loaded = fixture.history_of(|_| (), vec![sleeps()], (7, 0));
    let actions = fixture.load(&actions, loaded);
    let events = vec![Event::Signaled(deposit())];
    let transition = Transition { events, steps: vec![step()], ..Transition::default() };
    fixture.code_says(generation_of_job(&actions), transition);
    assert_eq!(steps_begun(&fixture.appended(Ok(Appended::Stored(2)))), 1);

    // The code is at work on another signal.
    assert_eq!(given(&fixture.signal(SHOP, 13)), ["Signaled"]);
    let mut actions = fixture.feed(Input::Thread(Report::ThreadLost { thread: 0, culprit: None }));
    actions.extend(fixture.engine.rebuild(|_| true, Instant::now()));
    let loaded = fixture.history_of(|_| (), vec![sleeps(), Event::Signaled(deposit())], (12, 0));
    let (key, generation) = (fixture.key.clone(), generation(&actions));
    let actions = fixture.feed(Input::Loaded { key: key.clone(), generation, loaded });
    let transition = Transition { steps: vec![step()], ..Transition::default() };
    let actions = fixture.code_says(generation_of_job(&actions), transition);
    assert_eq!((steps_begun(&actions), given(&actions)), (0, vec!["Signaled"]));

    let (run, op, name) = (fixture.run, OpId(5), TypeName::new("reserve").unwrap());
    let outcome = Outcome::Completed(Payload::null());
    fixture.feed(Input::StepDone { key, run, op, name, attempt: 1, outcome });
    let events = vec![Event::Signaled(deposit())];
    fixture.code_says(generation_of_job(&actions), Transition { events, ..Transition::default() });
    assert_eq!(given(&fixture.appended(Ok(Appended::Stored(3)))), ["StepCompleted"]);
}
