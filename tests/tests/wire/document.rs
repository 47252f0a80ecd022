//! The commands of `highwater::wire`, run in their order as the document has them, and what it says they show.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use highwater::prelude::*;
use highwater_tests::{
    raw_nats::{RawMessage, RawNats},
    space::Running,
};
use tokio::time::timeout;

use crate::{Payment, SERVER};

const DOCUMENT: &str = include_str!("../../../runtime/highwater/src/wire.md");

/// How long the document's reader waits for what it says he will see.
const PATIENCE: Duration = Duration::from_secs(20);

/// As in the document.
#[derive(Debug, Default)]
pub(crate) struct Account {
    deposits: Vec<u32>,
    closed: bool,
}

#[workflow(name = "account")]
impl Account {
    #[run]
    async fn run(ctx: Ctx<Self>, first: Payment) -> Result<u32, Exit> {
        ctx.update(|account| account.deposits.push(first.amount));
        ctx.wait_until(|account| account.closed).await?;
        Ok(ctx.read(|account| account.deposits.iter().sum()))
    }

    #[signal]
    pub(crate) fn deposit(&mut self, payment: Payment) {
        self.deposits.push(payment.amount);
    }

    #[signal]
    pub(crate) fn close(&mut self, (): ()) {
        self.closed = true;
    }

    #[update]
    pub(crate) fn credit(&mut self, payment: Payment) -> u32 {
        self.deposits.push(payment.amount);
        self.deposits.iter().sum()
    }

    #[query]
    pub(crate) fn balance(&self) -> u32 {
        self.deposits.iter().sum()
    }
}

/// A fenced block: its language, and its lines.
fn blocks() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut blocks: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut open = false;
    for line in DOCUMENT.lines() {
        match line.strip_prefix("```") {
            Some(language) if !open => blocks.push((language, Vec::new())),
            None if open => blocks.last_mut().expect("one is open").1.push(line),
            _ => {}
        }
        open ^= line.starts_with("```");
    }
    blocks
}

/// The words of a command, quoted ones without their quotes.
fn words(command: &str) -> Vec<String> {
    let parts = command.split('\'').enumerate();
    parts
        .flat_map(|(n, part)| match n % 2 {
            0 => part.split_whitespace().map(str::to_owned).collect(),
            _ => vec![part.to_owned()],
        })
        .collect()
}

/// Does what the `nats` command would. What it would show at once comes back.
async fn run(raw: &mut RawNats, command: &str) -> Result<Option<RawMessage>> {
    let words = words(command);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (verb, rest) = match words.as_slice() {
        ["nats", "stream", "get", stream, "--last-for", subject] => {
            let body = format!("{{\"last_by_subj\": \"{subject}\"}}");
            return raw.request(&format!("$JS.API.DIRECT.GET.{stream}"), &[], body.as_bytes()).await.map(Some);
        }
        ["nats", verb, rest @ ..] => (*verb, rest),
        _ => bail!("not a command of nats"),
    };
    let (mut headers, mut rest) = (Vec::new(), rest);
    while let ["-H", header, more @ ..] = rest {
        headers.push(header.split_once(':').context("a header has a colon")?);
        rest = more;
    }
    match (verb, rest) {
        ("sub", [subject]) => raw.subscribe(subject).await.map(|()| None),
        // With a receipt, so that a later query cannot overtake it by far.
        ("pub", [subject, body]) => raw.store(subject, &headers, body.as_bytes()).await.map(|_| None),
        ("req", [subject, body]) => raw.request(subject, &headers, body.as_bytes()).await.map(Some),
        _ => bail!("the test does not know {verb} {rest:?}"),
    }
}

/// Whether the message shows the line.
fn shows(message: &RawMessage, line: &str) -> bool {
    let header = line.split_once(": ").is_some_and(|(name, value)| message.header(name) == value);
    header || std::str::from_utf8(&message.body).is_ok_and(|body| body == line || line.len() > 5 && body.contains(line))
}

/// Waits until something shows the line. A query is asked again, as it may have been faster than the signal before it.
async fn see(raw: &mut RawNats, seen: &mut Vec<RawMessage>, query: Option<&str>, line: &str) -> Result<()> {
    while !seen.iter().any(|message| shows(message, line)) {
        match query {
            Some(query) => seen.extend(run(raw, query).await?),
            None => seen.push(raw.next().await?),
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documents_commands_show_what_it_says() -> Result<()> {
    let highwater = highwater_tests::space::open(&SERVER, "default").await;
    let worker = Running::spawn(highwater.worker().queue("bank").workflow(Account::run).build()?);
    let mut raw = RawNats::connect(SERVER.port()).await?;
    let (mut seen, mut query, mut checked) = (Vec::new(), None, 0);
    for (language, lines) in blocks() {
        match language {
            "sh" => {
                seen.clear();
                query = lines.last().copied().filter(|command| command.contains(".query."));
                for command in lines {
                    let told = run(&mut raw, command).await.with_context(|| command.to_owned())?;
                    seen.extend(told);
                }
            }
            "text" if lines.first() != Some(&"authorization {") => {
                for line in lines {
                    timeout(PATIENCE, see(&mut raw, &mut seen, query, line))
                        .await
                        .unwrap_or_else(|_| panic!("{line:?} is not among {seen:#?}"))?;
                    checked += 1;
                }
            }
            _ => {}
        }
    }
    assert!(checked >= 15, "{checked}");
    worker.stop().await;
    Ok(())
}
