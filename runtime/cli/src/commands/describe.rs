use clap::Args;
use highwater_client::{Description, describe::Progress};
use highwater_protocol::Timestamp;
use serde_json::{Value, json};

use crate::{
    event::failure_value,
    exit::Error,
    globals::Globals,
    input::Target,
    output::{clean, clean_lines},
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
    for activity in &d.pending_activities {
        let (name, queue) = (clean(activity.name.as_str()), clean(activity.queue.as_str()));
        let since = activity.scheduled_at;
        line("waits for", format!("activity #{} {name} on queue {queue}, since {since}", activity.op));
    }
    for timer in &d.pending_timers {
        line("waits for", format!("timer #{} due {}", timer.op, timer.fire_at));
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
        "failure": d.failure.as_ref().map(failure_value),
        "blocked": blocked,
        "workers": workers.collect::<Vec<_>>(),
    })
}
