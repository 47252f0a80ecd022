use clap::Args;
use highwater_client::{
    Description,
    describe::{Progress, UnhandledSignal},
};
use highwater_protocol::Timestamp;
use serde_json::{Value, json};

use crate::{
    event::{failure_value, payloads_value},
    exit::Error,
    globals::Globals,
    input::Target,
    output::{clean, clean_lines, payload_text},
};

/// Show where a workflow stands and what it waits for
#[derive(Debug, Args)]
pub(crate) struct Describe {
    #[command(flatten)]
    target: Target,
}

impl Describe {
    pub(crate) async fn run(self, globals: &Globals) -> Result<(), Error> {
        let client = globals.client().await?;
        let description = self.target.handle(&client)?.describe().await?;
        globals.printer().print(|| text(&description), || value(&description))
    }
}

fn text(d: &Description) -> String {
    let mut lines = Vec::new();
    let mut line = |name: &str, value: String| lines.push(format!("{name:<14} {value}"));
    line("workflow", clean(d.id.as_str()));
    line("run", d.run.map_or_else(|| "not known before a worker takes it".into(), |run| run.to_string()));
    line("type", clean(d.workflow_type.as_str()));
    line("queue", clean(d.queue.as_str()));
    line("status", status(d));
    line(if d.progress == Progress::Pending { "sent" } else { "started" }, d.started_at.to_string());
    if let Some(closed_at) = d.closed_at {
        line("closed", closed_at.to_string());
    }
    line("history", format!("{} events, {} bytes", d.events, d.history_bytes));
    if let Some(run) = d.continued_from {
        line("continues", run.to_string());
    }
    if let Some(run) = d.continued_as {
        line("continued as", run.to_string());
    }
    if let Some(parent) = &d.parent {
        line("parent", format!("{} (run {})", clean(parent.workflow_id.as_str()), parent.run));
    }
    if d.attempt > 1 {
        line("attempt", d.attempt.to_string());
    }
    if let Some(until) = d.delay_until {
        line("begins", until.to_string());
    }
    if let Some(deadline) = d.deadline {
        line("deadline", deadline.to_string());
    }
    for (name, value) in d.memo.iter() {
        line("memo", format!("{}: {}", clean(name), payload_text(value)));
    }
    if !d.attributes.is_empty() {
        line("attributes", clean(&d.attributes.to_string()));
    }
    for activity in &d.pending_activities {
        let (name, queue) = (clean(activity.name.as_str()), clean(activity.queue.as_str()));
        let since = activity.scheduled_at;
        line("waits for", format!("activity #{} {name} on queue {queue}, since {since}", activity.op));
    }
    for timer in &d.pending_timers {
        line("waits for", format!("timer #{} due {}", timer.op, timer.fire_at));
    }
    for child in &d.pending_children {
        let (kind, id, queue) = (&child.workflow_type, &child.workflow_id, &child.queue);
        let (kind, id, queue) = (clean(kind.as_str()), clean(id.as_str()), clean(queue.as_str()));
        let state = if child.cancelling {
            "asked to cancel"
        } else if child.started {
            "under way"
        } else {
            "not begun"
        };
        line("child", format!("#{} {kind} {id} on queue {queue}, {state}", child.op));
    }
    for sent in &d.pending_externals {
        let what =
            sent.signal.as_ref().map_or_else(|| "cancel".into(), |name| format!("signal {}", clean(name.as_str())));
        line("waits for", format!("answer #{} of {} to {what}", sent.op, clean(sent.workflow_id.as_str())));
    }
    for update in &d.pending_updates {
        line("update", format!("{} {}, accepted", clean(update.name.as_str()), clean(update.id.as_str())));
    }
    for told in unhandled(d) {
        line("unhandled", told);
    }
    if let Some(failure) = &d.failure {
        line("failure", indented(&failure.to_string()));
    }
    if let Some(blocked) = &d.blocked {
        line("blocked by", indented(&blocked.failure.to_string()));
        line("next try", format!("{}, after {} in a row", blocked.retry_at, blocked.attempt));
    }
    line("workers", workers(d));
    lines.join("\n")
}

/// The signals that nothing takes, in words.
fn unhandled(d: &Description) -> Vec<String> {
    let Some(unhandled) = &d.unhandled_signals else {
        let unknown = d.run.map(|_| "not known, as the run is blocked or no worker answers for it".to_owned());
        return unknown.into_iter().collect();
    };
    let one = |signal: &UnhandledSignal| {
        let problem = signal.problem.as_ref().map_or_else(|| "nothing takes it".to_owned(), |problem| clean(problem));
        format!("signal {}: {problem}", clean(signal.name.as_str()))
    };
    let more = (unhandled.more > 0).then(|| format!("and {} more signals", unhandled.more));
    unhandled.signals.iter().map(one).chain(more).collect()
}

fn status(d: &Description) -> String {
    match d.progress {
        Progress::Pending => {
            format!("pending: no worker has taken it from queue {} yet", clean(d.queue.as_str()))
        }
        begun @ Progress::Begun(_) => begun.to_string(),
    }
}

fn workers(d: &Description) -> String {
    if d.workers.is_empty() {
        return format!("none alive that serves queue {}", clean(d.queue.as_str()));
    }
    let one = |worker: &highwater_client::describe::LiveWorker| {
        let unknown = if worker.knows_type { "" } else { " (does not know the type)" };
        format!("{}{unknown}", clean(&worker.name))
    };
    d.workers.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Further lines stand below the first.
fn indented(text: &str) -> String {
    clean_lines(text).replace('\n', &format!("\n{:<15}", ""))
}

fn value(d: &Description) -> Value {
    let activities = d.pending_activities.iter().map(|activity| {
        json!({
            "op": activity.op,
            "name": activity.name,
            "queue": activity.queue,
            "scheduled_at": activity.scheduled_at.to_rfc3339(),
        })
    });
    let timers = d.pending_timers.iter().map(|timer| json!({ "op": timer.op, "fire_at": timer.fire_at.to_rfc3339() }));
    let children = d.pending_children.iter().map(|child| {
        json!({
            "op": child.op,
            "id": child.workflow_id,
            "type": child.workflow_type,
            "queue": child.queue,
            "run": child.run.to_string(),
            "started": child.started,
            "cancelling": child.cancelling,
        })
    });
    let externals =
        d.pending_externals.iter().map(|sent| json!({ "op": sent.op, "id": sent.workflow_id, "signal": sent.signal }));
    let updates = d.pending_updates.iter().map(|update| json!({ "id": update.id, "name": update.name }));
    let unhandled = d.unhandled_signals.as_ref().map(|unhandled| {
        let one = |signal: &UnhandledSignal| json!({ "name": signal.name, "problem": signal.problem });
        json!({ "signals": unhandled.signals.iter().map(one).collect::<Vec<_>>(), "more": unhandled.more })
    });
    let parent = d.parent.as_ref().map(|parent| {
        json!({ "id": parent.workflow_id, "run": parent.run.to_string(), "queue": parent.queue, "op": parent.op })
    });
    let workers = d.workers.iter().map(|worker| json!({ "name": worker.name, "knows_type": worker.knows_type }));
    let blocked = d.blocked.as_ref().map(|blocked| {
        json!({
            "failure": failure_value(&blocked.failure),
            "attempt": blocked.attempt,
            "retry_at": blocked.retry_at.to_rfc3339(),
        })
    });
    json!({
        "id": d.id,
        "run": d.run.map(|run| run.to_string()),
        "type": d.workflow_type,
        "queue": d.queue,
        "status": d.progress.to_string(),
        "started_at": d.started_at.to_rfc3339(),
        "closed_at": d.closed_at.map(Timestamp::to_rfc3339),
        "events": d.events,
        "history_bytes": d.history_bytes,
        "continued_from": d.continued_from.map(|run| run.to_string()),
        "continued_as": d.continued_as.map(|run| run.to_string()),
        "pending_activities": activities.collect::<Vec<_>>(),
        "pending_timers": timers.collect::<Vec<_>>(),
        "pending_children": children.collect::<Vec<_>>(),
        "pending_externals": externals.collect::<Vec<_>>(),
        "pending_updates": updates.collect::<Vec<_>>(),
        "unhandled_signals": unhandled,
        "first_run": d.first_run.map(|run| run.to_string()),
        "attempt": d.attempt,
        "parent": parent,
        "delay_until": d.delay_until.map(Timestamp::to_rfc3339),
        "deadline": d.deadline.map(Timestamp::to_rfc3339),
        "memo": payloads_value(&d.memo),
        "attributes": d.attributes,
        "failure": d.failure.as_ref().map(failure_value),
        "blocked": blocked,
        "workers": workers.collect::<Vec<_>>(),
    })
}
