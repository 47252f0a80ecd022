//! Reading a run: all of its records, by what the last one carries.

use std::vec;

use futures_util::StreamExt;
use highwater_protocol::{
    RunId,
    record::{COPIES_EVERY, COPIES_FROM},
};

use super::{HistoryError, StoredRecord, runs};
use crate::{BoxStream, Broker, Error, Message, Stream};

/// The same as an index.
const EVERY: usize = COPIES_EVERY as usize;

/// All records of the run that `last` belongs to, up to and including it, in order: in ⌈n/64⌉ rounds of parallel reads,
/// each of which begins when the first answer of the one before it is there. Of eight records one is read, where that
/// carries copies of the others.
pub async fn read_run(broker: &dyn Broker, last: StoredRecord) -> Result<Vec<StoredRecord>, HistoryError> {
    let mut records = read_before(Round::before(broker, last.frame.run, &last)).await?;
    records.push(last);
    Ok(records)
}

/// The records of a run before the one with this ordinal, which carries the sequences `back`, in order.
pub async fn read_back(
    broker: &dyn Broker,
    run: RunId,
    ordinal: u64,
    back: Vec<u64>,
) -> Result<Vec<StoredRecord>, HistoryError> {
    let back = Back::of(ordinal, back);
    read_before(Round::begin(broker, run, back, Vec::new())).await
}

/// The records of a round and of all before it, in order.
async fn read_before(mut round: Round<'_>) -> Result<Vec<StoredRecord>, HistoryError> {
    let (broker, run) = (round.broker, round.run);
    let mut rounds = Vec::new();
    let mut ordinal = u64::MAX;
    while let Some(earliest) = round.first().await? {
        if earliest.frame.run != run || earliest.frame.ordinal >= ordinal {
            return Err(runs::damaged(run, earliest.seq, runs::NOT_EARLIER));
        }
        ordinal = earliest.frame.ordinal;
        // It tells what is before it, so that is on its way while the others come in.
        let before = Round::before(broker, run, earliest);
        rounds.push(round.finish().await?);
        round = before;
    }
    Ok(rounds.into_iter().rev().flatten().collect())
}

/// The records of a run at the sequences that the record with this ordinal carries, the latest first.
pub async fn read_round(
    broker: &dyn Broker,
    run: RunId,
    ordinal: u64,
    back: &[u64],
) -> Result<Vec<StoredRecord>, HistoryError> {
    let back = Back::of(ordinal, back.to_vec());
    let mut records = Round::begin(broker, run, back, Vec::new()).finish().await?;
    records.reverse();
    Ok(records)
}

/// One record of a run. A replica may not have it yet, so a miss is asked of the leader before it counts.
pub async fn read_one(broker: &dyn Broker, run: RunId, seq: u64) -> Result<StoredRecord, HistoryError> {
    let found = broker.get(Stream::History, seq).await;
    record_of(broker, run, seq, found).await
}

/// A record of a run by what any replica said to its sequence.
async fn record_of(
    broker: &dyn Broker,
    run: RunId,
    seq: u64,
    found: Result<Option<Message>, Error>,
) -> Result<StoredRecord, HistoryError> {
    let message = match found {
        Ok(Some(message)) => Some(message),
        Ok(None) | Err(_) => broker.get_from_leader(Stream::History, seq).await?,
    };
    StoredRecord::from_message(message.ok_or(HistoryError::Missing { run, seq })?)
}

/// The sequences that a record carries, and the ordinal of the first.
struct Back {
    start: u64,
    seqs: Vec<u64>,
}

impl Back {
    /// Those of the record with this ordinal.
    fn of(ordinal: u64, seqs: Vec<u64>) -> Self {
        Self { start: ordinal.saturating_sub(seqs.len() as u64), seqs }
    }
}

/// The records that one carries the sequences of. The first of them has an ordinal that is a multiple of 64, so that of
/// every eighth is one of 8.
struct Round<'a> {
    broker: &'a dyn Broker,
    run: RunId,
    seqs: Vec<u64>,
    /// What is there of them.
    records: Vec<Option<StoredRecord>>,
    /// Which of them are on their way, the earliest first.
    asked: vec::IntoIter<usize>,
    found: BoxStream<Result<Option<Message>, Error>>,
}

impl<'a> Round<'a> {
    /// The records of the run that are named by one of it.
    fn before(broker: &'a dyn Broker, run: RunId, record: &StoredRecord) -> Self {
        let back = Back::of(record.frame.ordinal, record.frame.back.clone());
        Self::begin(broker, run, back, record.carried(&record.frame.back))
    }

    /// Asks for those that may carry copies, and for those that none of these and none `carried` by the record behind
    /// all is a copy of.
    fn begin(broker: &'a dyn Broker, run: RunId, back: Back, carried: Vec<StoredRecord>) -> Self {
        let Back { start, seqs } = back;
        let mut records: Vec<Option<StoredRecord>> = vec![None; seqs.len() - carried.len()];
        records.extend(carried.into_iter().map(Some));
        let behind = seqs.len().saturating_sub(1) / EVERY * EVERY;
        let is_copied = |index: usize| index < behind && start + index as u64 >= COPIES_FROM;
        let is_asked = |index: &usize| records[*index].is_none() && (index.is_multiple_of(EVERY) || !is_copied(*index));
        let asked: Vec<usize> = (0..seqs.len()).filter(is_asked).collect();
        let found = ask(broker, &seqs, &asked);
        Self { broker, run, seqs, records, asked: asked.into_iter(), found }
    }

    /// The earliest of them, if there is one.
    async fn first(&mut self) -> Result<Option<&StoredRecord>, HistoryError> {
        self.next().await?;
        Ok(self.records.first().and_then(Option::as_ref))
    }

    /// Takes in the next one that is on its way, and says whether there was one.
    async fn next(&mut self) -> Result<bool, HistoryError> {
        let Some(index) = self.asked.next() else { return Ok(false) };
        let found = self.found.next().await.unwrap_or(Ok(None));
        let record = record_of(self.broker, self.run, self.seqs[index], found).await?;
        if index > 0 {
            let carried = record.carried(&self.seqs[..index]);
            let first = index - carried.len();
            for (place, copy) in self.records[first..index].iter_mut().zip(carried) {
                place.get_or_insert(copy);
            }
        }
        self.records[index] = Some(record);
        Ok(true)
    }

    /// All of them, in order: those that nobody carries a copy of are asked for by themselves.
    async fn finish(mut self) -> Result<Vec<StoredRecord>, HistoryError> {
        while self.next().await? {}
        let missing: Vec<usize> = (0..self.seqs.len()).filter(|index| self.records[*index].is_none()).collect();
        self.found = ask(self.broker, &self.seqs, &missing);
        self.asked = missing.into_iter();
        while self.next().await? {}
        Ok(self.records.into_iter().flatten().collect())
    }
}

fn ask(broker: &dyn Broker, seqs: &[u64], which: &[usize]) -> BoxStream<Result<Option<Message>, Error>> {
    let seqs: Vec<u64> = which.iter().map(|index| seqs[*index]).collect();
    broker.get_each(Stream::History, &seqs)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use highwater_protocol::{
        Key, Namespace, QueueName, Record, Status, Timestamp, TypeName, WorkflowId,
        event::Attributes,
        ids::RecordId,
        record::{Body, Copies, Frame, Marks},
    };

    use super::{
        super::{Appended, Freshness, NewRecord, Summary, append, last},
        *,
    };
    use crate::memory::{MemoryBroker, MemoryOptions};

    /// A history whose records carry copies of others.
    struct History {
        broker: MemoryBroker,
        key: Key,
        next: Frame,
        copies: Copies,
        seqs: Vec<u64>,
    }

    impl History {
        fn new() -> Self {
            let next = Frame {
                run: RunId::generate(),
                record: RecordId::generate(),
                ordinal: 0,
                first_event: 1,
                time: Timestamp(9),
                marks: Marks::default(),
                closed: false,
                back: Vec::new(),
            };
            Self {
                broker: MemoryOptions::new(Namespace::new("test").unwrap()).build(),
                key: WorkflowId::new("a").unwrap().to_key(),
                next,
                copies: Copies::default(),
                seqs: Vec::new(),
            }
        }

        /// Appends a record that carries these copies.
        async fn append(&mut self, copies: &Copies) {
            let record = Record { frame: self.next.clone(), body: Body::default() };
            let summary = Summary {
                workflow_type: TypeName::new("order").unwrap(),
                queue: QueueName::new("shop").unwrap(),
                status: Status::Running,
                started_at: Timestamp(7),
                attributes: Attributes::default(),
                trace: None,
            };
            let new = NewRecord::carrying(&record, copies.as_bytes(), summary);
            let expect = self.seqs.last().copied().unwrap_or(0);
            let Ok(Appended::Stored(seq)) = append(&self.broker, &self.key, &new, expect).await else { panic!() };
            if record.frame.ordinal.is_multiple_of(COPIES_EVERY) || record.frame.ordinal < COPIES_FROM {
                self.copies = Copies::default();
            } else {
                self.copies.add(&record.frame, &new.body());
            }
            self.seqs.push(seq);
            let (ordinal, back) = (record.frame.ordinal + 1, record.frame.next_back(seq));
            self.next = Frame { record: RecordId::generate(), ordinal, back, ..record.frame };
        }

        async fn append_next(&mut self) {
            let is_carrying = self.next.ordinal > COPIES_FROM && self.next.ordinal.is_multiple_of(COPIES_EVERY);
            let copies = if is_carrying { self.copies.clone() } else { Copies::default() };
            self.append(&copies).await;
        }

        async fn read(&self) -> Result<Vec<StoredRecord>, HistoryError> {
            let last = last(&self.broker, &self.key, Freshness::Leader).await.unwrap().unwrap();
            read_run(&self.broker, last).await
        }

        async fn delete(&self, which: impl Fn(usize) -> bool) {
            for seq in (0..self.seqs.len()).filter(|index| which(*index)).map(|index| self.seqs[index]) {
                self.broker.delete(Stream::History, seq).await.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn one_of_eight_records_is_read_where_that_carries_copies_of_the_others() {
        for length in [1, 7, 8, 9, 16, 17, 64, 65, 66, 72, 73, 128, 129, 200] {
            let mut history = History::new();
            for _ in 0..length {
                history.append_next().await;
            }
            let whole: Vec<_> = history.read().await.unwrap();
            assert_eq!(whole.iter().map(|record| record.seq).collect::<Vec<_>>(), history.seqs);
            // What carries nothing and is carried by one behind it is not missed.
            let last_carrying = (length - 1) / EVERY * EVERY;
            let is_copied = |index: usize| index as u64 >= COPIES_FROM && index < last_carrying;
            history.delete(|index| !index.is_multiple_of(EVERY) && is_copied(index)).await;
            let read = history.read().await.unwrap();
            let told = |records: &[StoredRecord]| -> Vec<_> {
                let told = records.iter().map(|r| (r.seq, r.frame.record, r.body_bytes().clone(), r.status()));
                told.collect()
            };
            assert_eq!(told(&read), told(&whole), "{length}");
        }
    }

    #[tokio::test]
    async fn records_that_nobody_carries_are_read_by_themselves() {
        let mut history = History::new();
        for index in 0..150 {
            // Every third that could carry copies does.
            if index % (3 * EVERY) == 0 {
                history.append_next().await;
            } else {
                history.append(&Copies::default()).await;
            }
        }
        let read: Vec<_> = history.read().await.unwrap().iter().map(|record| record.seq).collect();
        assert_eq!(read, history.seqs);
    }

    #[tokio::test]
    async fn copies_of_other_records_than_those_before_are_not_taken() {
        let frame = |ordinal, run: Option<RunId>, history: &History| Frame {
            ordinal,
            run: run.unwrap_or(history.next.run),
            ..history.next.clone()
        };
        // Of another place, of another run, and of more than there are.
        for (run, ordinals) in [(None, 12..14), (Some(RunId::generate()), 15..16), (None, 0..16)] {
            let mut history = History::new();
            for _ in 0..16 {
                history.append_next().await;
            }
            let mut copies = Copies::default();
            for ordinal in ordinals {
                copies.add(&frame(ordinal, run, &history), &Bytes::new());
            }
            let whole = history.read().await.unwrap();
            history.append(&copies).await;
            let read = history.read().await.unwrap();
            let told = |records: &[StoredRecord]| records.iter().map(|r| (r.seq, r.frame.record)).collect::<Vec<_>>();
            assert_eq!(told(&read[..16]), told(&whole));
        }
    }
}
