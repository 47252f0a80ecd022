//! Subjects: where messages of a namespace go. See the table in `runtime/ARCHITECTURE.md`.
//!
//! Every token that a person chose goes through [`Key`], so nothing typed reaches a subject unescaped.

use uuid::Uuid;

use crate::{
    event::OpId,
    ids::{Namespace, QueueName, RunId, TypeName},
    key::Key,
    timer::TimerId,
};

/// The only shard there is as yet. Subjects carry it from the start.
pub const SHARD: u16 = 0;

/// Likewise, as a token.
const SHARD_TOKEN: &str = "0";

/// The priority that tasks have as yet.
pub const PRIORITY: u8 = 5;

/// Likewise, as a token.
const PRIORITY_TOKEN: &str = "5";

/// A number as a token. Subjects are made for every message, and the ways of `format!` are long.
struct Digits {
    /// The last of these, from `begin` on.
    bytes: [u8; 20],
    begin: usize,
}

impl Digits {
    fn new(mut number: u64) -> Self {
        let mut digits = Self { bytes: [b'0'; 20], begin: 20 };
        loop {
            digits.begin -= 1;
            digits.bytes[digits.begin] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                return digits;
            }
        }
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[self.begin..]).expect("digits are ASCII")
    }
}

/// Makes the subjects of one namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subjects {
    root: String,
    partitions: u16,
}

/// The public verbs: what anybody may publish to `hw.<namespace>.do.<verb>.…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Start a run; the name is the workflow type.
    Start,
    /// Signal a run; the name is the signal's.
    Signal,
    /// Ask a run to cancel itself; the name is `-`.
    Cancel,
    /// End a run; the name is `-`.
    Terminate,
    /// Ask a run to do something and to answer; the name is the update's.
    Update,
}

/// The name token of a verb that needs no name.
pub const NO_NAME: &str = "-";

/// The token that sets the engine's own requests apart: a public subject cannot have it in that place, since the
/// server's transform fills exactly four tokens.
const ENGINE: &str = "engine";

impl Verb {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Start, Self::Signal, Self::Cancel, Self::Terminate, Self::Update];

    /// The token.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Signal => "signal",
            Self::Cancel => "cancel",
            Self::Terminate => "terminate",
            Self::Update => "update",
        }
    }

    /// The verb of a token.
    pub fn from_token(token: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.as_str() == token)
    }
}

/// What the engine's own requests are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EngineVerb {
    /// The outcome of an activity, for the run that called it.
    Activity,
    /// A run starts a child.
    Start,
    /// A run signals another workflow.
    Signal,
    /// A run asks another workflow to cancel itself.
    Cancel,
    /// A run that ended ends a child.
    Terminate,
    /// How a child is getting on, for the run that started it.
    Child,
    /// Whether a message was accepted, for the run that sent it.
    External,
}

impl EngineVerb {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Activity, Self::Start, Self::Signal, Self::Cancel, Self::Terminate, Self::Child, Self::External];

    /// The token.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Activity => "activity",
            Self::Start => "start",
            Self::Signal => "signal",
            Self::Cancel => "cancel",
            Self::Terminate => "terminate",
            Self::Child => "child",
            Self::External => "external",
        }
    }

    /// The verb of a token.
    pub fn from_token(token: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.as_str() == token)
    }
}

/// A subject of the inbox, taken apart. Tokens are as they came, unchecked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxSubject<'a> {
    /// The partition.
    pub partition: u16,
    /// The queue's token.
    pub queue: &'a str,
    /// What follows.
    pub kind: InboxKind<'a>,
}

/// What an inbox subject asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InboxKind<'a> {
    /// Something anybody may ask.
    Public {
        /// The verb's token.
        verb: &'a str,
        /// The name's token.
        name: &'a str,
        /// The key's token.
        key: &'a str,
    },
    /// What only the engine may ask.
    Engine {
        /// What it is about.
        verb: EngineVerb,
        /// The run that asks, or that an outcome is for.
        run: &'a str,
        /// The key's token.
        key: &'a str,
    },
}

impl InboxKind<'_> {
    /// What is asked, in a word.
    pub fn verb(&self) -> &str {
        match self {
            Self::Public { verb, .. } => verb,
            Self::Engine { verb, .. } => verb.as_str(),
        }
    }

    /// The token of the workflow id.
    pub fn key(&self) -> &str {
        match self {
            Self::Public { key, .. } | Self::Engine { key, .. } => key,
        }
    }
}

impl Subjects {
    /// The subjects of a namespace with this many partitions.
    pub fn new(namespace: &Namespace, partitions: u16) -> Self {
        Self { root: format!("hw.{namespace}"), partitions }
    }

    /// How many partitions the namespace has.
    pub fn partitions(&self) -> u16 {
        self.partitions
    }

    /// The subject with these tokens behind the root.
    fn of(&self, tokens: &[&str]) -> String {
        let length = self.root.len() + tokens.iter().map(|token| token.len() + 1).sum::<usize>();
        let mut subject = String::with_capacity(length);
        subject.push_str(&self.root);
        for token in tokens {
            subject.push('.');
            subject.push_str(token);
        }
        subject
    }

    /// All subjects of histories.
    pub fn history_all(&self) -> String {
        format!("{}.h.>", self.root)
    }

    /// The history of a workflow id.
    pub fn history(&self, key: &Key) -> String {
        self.of(&["h", SHARD_TOKEN, key.as_str()])
    }

    /// The key of a history subject.
    pub fn history_key<'a>(&self, subject: &'a str) -> Option<&'a str> {
        subject.strip_prefix(&self.root)?.strip_prefix(".h.")?.split_once('.').map(|(_, key)| key)
    }

    /// The public subjects, before the server's transform.
    pub fn public_all(&self) -> String {
        format!("{}.do.>", self.root)
    }

    /// What anybody publishes to.
    pub fn public(&self, verb: Verb, queue: &QueueName, name: Option<&TypeName>, key: &Key) -> String {
        let name = name.map(TypeName::to_key);
        let name = name.as_ref().map_or(NO_NAME, Key::as_str);
        self.of(&["do", verb.as_str(), queue.to_key().as_str(), name, key.as_str()])
    }

    /// The source of the inbox stream's transform.
    pub fn transform_source(&self) -> String {
        format!("{}.do.*.*.*.*", self.root)
    }

    /// The destination of the inbox stream's transform: the server finds the partition.
    pub fn transform_destination(&self) -> String {
        format!(
            "{}.in.{SHARD}.{{{{partition({},4)}}}}.{{{{wildcard(2)}}}}.{{{{wildcard(1)}}}}.{{{{wildcard(3)}}}}.{{{{wildcard(4)}}}}",
            self.root, self.partitions
        )
    }

    /// All subjects of requests to runs.
    pub fn inbox_all(&self) -> String {
        format!("{}.in.>", self.root)
    }

    /// All requests of a partition and queue.
    pub fn inbox_of(&self, partition: u16, queue: &QueueName) -> String {
        format!("{}.in.{SHARD}.{partition}.{}.>", self.root, queue.to_key())
    }

    /// All requests of a queue, in any partition.
    pub fn inbox_of_queue(&self, queue: &QueueName) -> String {
        format!("{}.in.{SHARD}.*.{}.>", self.root, queue.to_key())
    }

    /// A public request as it stands in the inbox stream, after the transform.
    pub fn inbox_public(&self, verb: Verb, queue: &QueueName, name: Option<&TypeName>, key: &Key) -> String {
        let name = name.map(TypeName::to_key);
        let name = name.as_ref().map_or(NO_NAME, Key::as_str);
        let partition = Digits::new(key.partition(self.partitions).into());
        self.of(&["in", SHARD_TOKEN, partition.as_str(), queue.to_key().as_str(), verb.as_str(), name, key.as_str()])
    }

    /// Starts of a workflow id that wait in the inbox, on any queue and of any type.
    pub fn inbox_starts_of(&self, key: &Key) -> String {
        let partition = key.partition(self.partitions);
        format!("{}.in.{SHARD}.{partition}.*.{}.*.{key}", self.root, Verb::Start.as_str())
    }

    /// A request of the engine's own.
    pub fn inbox_engine(&self, verb: EngineVerb, queue: &QueueName, run: RunId, key: &Key) -> String {
        let partition = Digits::new(key.partition(self.partitions).into());
        let mut run_token = Uuid::encode_buffer();
        self.of(&[
            "in",
            SHARD_TOKEN,
            partition.as_str(),
            queue.to_key().as_str(),
            ENGINE,
            verb.as_str(),
            run.0.simple().encode_lower(&mut run_token),
            key.as_str(),
        ])
    }

    /// Takes an inbox subject apart.
    pub fn parse_inbox<'a>(&self, subject: &'a str) -> Option<InboxSubject<'a>> {
        let rest = subject.strip_prefix(&self.root)?.strip_prefix(".in.")?;
        let mut tokens = rest.split('.');
        let _shard = tokens.next()?;
        let partition = tokens.next()?.parse().ok()?;
        let queue = tokens.next()?;
        let kind = match [tokens.next(), tokens.next(), tokens.next(), tokens.next(), tokens.next()] {
            [Some(verb), Some(name), Some(key), None, _] => InboxKind::Public { verb, name, key },
            [Some(ENGINE), Some(verb), Some(run), Some(key), None] => {
                InboxKind::Engine { verb: EngineVerb::from_token(verb)?, run, key }
            }
            _ => return None,
        };
        Some(InboxSubject { partition, queue, kind })
    }

    /// All subjects of activity tasks.
    pub fn task_all(&self) -> String {
        format!("{}.act.>", self.root)
    }

    /// What the consumer of a queue takes: tasks, and not the schedules for later attempts.
    pub fn task_filter(&self, queue: &QueueName) -> String {
        format!("{}.act.{SHARD}.{}.*.*.*.*", self.root, queue.to_key())
    }

    /// One attempt of an activity.
    pub fn task(&self, queue: &QueueName, run: RunId, op: OpId, attempt: u32) -> String {
        let (op, attempt) = (Digits::new(op.0), Digits::new(attempt.into()));
        let mut run_token = Uuid::encode_buffer();
        self.of(&[
            "act",
            SHARD_TOKEN,
            queue.to_key().as_str(),
            PRIORITY_TOKEN,
            run.0.simple().encode_lower(&mut run_token),
            op.as_str(),
            attempt.as_str(),
        ])
    }

    /// The schedule that makes a later attempt of an activity.
    pub fn task_later(&self, queue: &QueueName, run: RunId, op: OpId, attempt: u32) -> String {
        format!("{}.later", self.task(queue, run, op, attempt))
    }

    /// Everything that is in the tasks stream for an activity: a task or the schedule of one.
    pub fn task_any(&self, queue: &QueueName, run: RunId, op: OpId) -> String {
        format!("{}.act.{SHARD}.{}.{PRIORITY}.{run}.{op}.>", self.root, queue.to_key())
    }

    /// All subjects of armed timers.
    pub fn timer_all(&self) -> String {
        format!("{}.tmr.>", self.root)
    }

    /// One armed timer. Never used twice.
    pub fn timer(&self, key: &Key, run: RunId, timer: TimerId) -> String {
        format!("{}.tmr.{SHARD}.{key}.{run}.{timer}", self.root)
    }

    /// All subjects of fired timers.
    pub fn fire_all(&self) -> String {
        format!("{}.fire.>", self.root)
    }

    /// Where timers of a partition and queue fire to.
    pub fn fire(&self, partition: u16, queue: &QueueName) -> String {
        format!("{}.fire.{SHARD}.{partition}.{}", self.root, queue.to_key())
    }

    /// Fired timers of a queue, in any partition.
    pub fn fire_of_queue(&self, queue: &QueueName) -> String {
        format!("{}.fire.{SHARD}.*.{}", self.root, queue.to_key())
    }

    /// The partition of a fired timer's subject.
    pub fn fire_partition(&self, subject: &str) -> Option<u16> {
        subject.strip_prefix(&self.root)?.strip_prefix(".fire.")?.split('.').nth(1)?.parse().ok()
    }

    /// All rejected requests.
    pub fn rejected_all(&self) -> String {
        format!("{}.rejected.>", self.root)
    }

    /// Rejected requests of a partition.
    pub fn rejected(&self, partition: u16, verb: &str) -> String {
        let verb = Key::escape("verb", verb).map_or_else(|_| NO_NAME.to_owned(), |verb| verb.to_string());
        format!("{}.rejected.{partition}.{verb}", self.root)
    }

    /// Core messages: a run of this workflow id closed.
    pub fn closed(&self, key: &Key) -> String {
        self.of(&["closed", SHARD_TOKEN, key.as_str()])
    }

    /// Core messages: an update of a run of this workflow id has an outcome.
    pub fn updated(&self, key: &Key) -> String {
        self.of(&["updated", SHARD_TOKEN, key.as_str()])
    }

    /// Core requests: a query for the run of a workflow id. There is no partition in it, as with requests to the inbox,
    /// so that whoever asks needs to know names only.
    pub fn query(&self, queue: &QueueName, name: &TypeName, key: &Key) -> String {
        format!("{}.query.{}.{}.{key}", self.root, queue.to_key(), name.to_key())
    }

    /// What the workers of a queue subscribe to; the owner of the partition answers.
    pub fn query_filter_of_queue(&self, queue: &QueueName) -> String {
        format!("{}.query.{}.*.*", self.root, queue.to_key())
    }

    /// The queue, name and key tokens of a query's subject.
    pub fn parse_query<'a>(&self, subject: &'a str) -> Option<(&'a str, &'a str, &'a str)> {
        let rest = subject.strip_prefix(&self.root)?.strip_prefix(".query.")?;
        match rest.split('.').collect::<Vec<_>>().as_slice() {
            [queue, name, key] => Some((queue, name, key)),
            _ => None,
        }
    }

    /// Core messages: a stream acknowledges the record that an early answer to `reply` tells of, where both who asked and
    /// the owner, by its token and its number for the record, hear it. `None` when `reply` has no two tokens.
    pub fn early_ack(&self, reply: &str, owner: &str, number: u64) -> Option<String> {
        let mut tokens = reply.rsplit('.');
        let (request, sender) = (tokens.next()?, tokens.next()?);
        Some(self.of(&["ack", sender, request, owner, Digits::new(number).as_str()]))
    }

    /// Such acknowledgements for whoever has his answers come to subjects one token below `inbox`.
    pub fn early_acks_of_sender(&self, inbox: &str) -> String {
        let sender = inbox.rsplit('.').next().unwrap_or(inbox);
        self.of(&["ack", sender, "*", "*", "*"])
    }

    /// Such acknowledgements for an owner.
    pub fn early_acks_of_owner(&self, owner: &str) -> String {
        self.of(&["ack", "*", "*", owner, "*"])
    }

    /// The last token of the reply subject that such an acknowledgement is for.
    pub fn early_ack_request<'a>(&self, subject: &'a str) -> Option<&'a str> {
        subject.strip_prefix(&self.root)?.strip_prefix(".ack.")?.split('.').nth(1)
    }

    /// Core messages: an activity of this queue shall be cancelled.
    pub fn cancel_activity(&self, queue: &QueueName) -> String {
        format!("{}.cancel.{SHARD}.{}", self.root, queue.to_key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::WorkflowId;

    fn subjects() -> Subjects {
        Subjects::new(&Namespace::new("shop").unwrap(), 64)
    }

    #[test]
    fn subjects_are_frozen() {
        let s = subjects();
        let key = WorkflowId::new("order.1").unwrap().to_key();
        let queue = QueueName::new("main").unwrap();
        let name = TypeName::new("ship").unwrap();
        let run = RunId(uuid::Uuid::from_u128(1));
        assert_eq!((SHARD_TOKEN, PRIORITY_TOKEN), (SHARD.to_string().as_str(), PRIORITY.to_string().as_str()));
        assert_eq!(s.history(&key), "hw.shop.h.0.order=2E1");
        assert_eq!(s.public(Verb::Start, &queue, Some(&name), &key), "hw.shop.do.start.main.ship.order=2E1");
        assert_eq!(s.public(Verb::Cancel, &queue, None, &key), "hw.shop.do.cancel.main.-.order=2E1");
        assert_eq!(s.query(&queue, &name, &key), "hw.shop.query.main.ship.order=2E1");
        assert_eq!(s.task(&queue, run, OpId(3), 1), "hw.shop.act.0.main.5.00000000000000000000000000000001.3.1");
        assert_eq!(
            s.transform_destination(),
            "hw.shop.in.0.{{partition(64,4)}}.{{wildcard(2)}}.{{wildcard(1)}}.{{wildcard(3)}}.{{wildcard(4)}}"
        );
    }

    #[test]
    fn an_early_acknowledgement_goes_to_who_asked_and_to_the_owner() {
        let s = subjects();
        let ack = s.early_ack("_INBOX.team.abc.7", "owner", 12).unwrap();
        assert_eq!(ack, "hw.shop.ack.abc.7.owner.12");
        assert_eq!(s.early_acks_of_sender("_INBOX.team.abc"), "hw.shop.ack.abc.*.*.*");
        assert_eq!(s.early_acks_of_owner("owner"), "hw.shop.ack.*.*.owner.*");
        assert_eq!(s.early_ack_request(&ack), Some("7"));
        assert_eq!(s.early_ack("_INBOX", "owner", 12), None);
    }

    #[test]
    fn inbox_subjects_come_apart_as_they_were_made() {
        let s = subjects();
        let key = WorkflowId::new("order-1").unwrap().to_key();
        let queue = QueueName::new("main").unwrap();
        let name = TypeName::new("ship").unwrap();
        let made = s.inbox_public(Verb::Signal, &queue, Some(&name), &key);
        let parsed = s.parse_inbox(&made).unwrap();
        assert_eq!(parsed.partition, key.partition(64));
        assert_eq!(parsed.kind, InboxKind::Public { verb: "signal", name: "ship", key: "order-1" });
        let run = RunId(uuid::Uuid::from_u128(1));
        for verb in EngineVerb::ALL {
            let made = s.inbox_engine(verb, &queue, run, &key);
            let kind = InboxKind::Engine { verb, run: &run.to_string(), key: "order-1" };
            assert_eq!(s.parse_inbox(&made).unwrap().kind, kind);
        }
    }

    #[test]
    fn a_public_subject_cannot_become_one_of_the_engines() {
        // The transform takes exactly four tokens, so what it makes has three behind the queue; the engine's have four.
        let s = subjects();
        assert!(matches!(
            s.parse_inbox("hw.shop.in.0.3.main.engine.activity.k").unwrap().kind,
            InboxKind::Public { .. }
        ));
        assert_eq!(s.parse_inbox("hw.shop.in.0.3.main.engine.other.a.k"), None);
    }
}
