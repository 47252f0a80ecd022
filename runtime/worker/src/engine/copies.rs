//! Copies of a run's latest records, which every eighth one carries, so that the run is read in fewer messages.

use highwater_protocol::{
    Status,
    record::{self, COPIES_EVERY, COPIES_FROM, FRAME_MIN, Frame},
};

/// At most how many bytes of copies a record carries.
const SIZE_MAX: usize = 2 * 1024;

/// Copies of the records behind the last one whose ordinal is a multiple of 8. None while one of them is missing.
#[derive(Debug, Default)]
pub(super) struct Copies {
    copies: record::Copies,
    count: u64,
}

impl Copies {
    /// Notes the last record, behind which the run has this status.
    pub(super) fn note(&mut self, frame: &Frame, status: Status, body: &[u8]) {
        let place = frame.ordinal % COPIES_EVERY;
        // Each says of itself that the run is running behind it.
        let size = self.copies.as_bytes().len() + size_of::<u32>() + FRAME_MIN + body.len();
        let fits = status == Status::Running && size <= SIZE_MAX;
        if place == 0 || frame.ordinal < COPIES_FROM || self.count + 1 != place || !fits {
            *self = Self::default();
            return;
        }
        self.copies.add(frame, body);
        self.count = place;
    }

    /// What the record with this ordinal carries, if that still fits: `room` is what is left in it.
    pub(super) fn carried_by(&self, ordinal: u64, room: usize) -> &[u8] {
        // The first record of a run that follows another one is none of those behind that one's.
        let is_behind = ordinal > COPIES_FROM && ordinal.is_multiple_of(COPIES_EVERY);
        let is_whole = is_behind && self.count + 1 == COPIES_EVERY;
        let copies = self.copies.as_bytes();
        if is_whole && copies.len() <= room { copies } else { &[] }
    }
}

#[cfg(test)]
mod tests {
    use highwater_protocol::{RunId, Timestamp, ids::RecordId, record::Marks};

    use super::*;

    /// The copies behind so many records, the body of each of which and the status behind it are told by its ordinal.
    fn behind(count: u64, body: impl Fn(u64) -> usize, status: impl Fn(u64) -> Status) -> Copies {
        let mut copies = Copies::default();
        for ordinal in 0..count {
            let frame = Frame {
                run: RunId::generate(),
                record: RecordId::generate(),
                ordinal,
                first_event: ordinal + 1,
                time: Timestamp(9),
                marks: Marks::default(),
                closed: false,
                back: vec![7; (ordinal % 64) as usize],
            };
            copies.note(&frame, status(ordinal), &vec![1; body(ordinal)]);
        }
        copies
    }

    fn running(_: u64) -> Status {
        Status::Running
    }

    fn carried(copies: &Copies, ordinal: u64) -> usize {
        copies.carried_by(ordinal, SIZE_MAX).len()
    }

    #[test]
    fn every_eighth_record_from_16_on_carries_copies_of_the_seven_before_it_and_no_other_does() {
        for ordinal in 0..200 {
            let copies = behind(ordinal, |_| 10, running);
            let expected = if ordinal >= 16 && ordinal % 8 == 0 { 7 * (4 + record::FRAME_MIN + 10) } else { 0 };
            assert_eq!(carried(&copies, ordinal), expected, "{ordinal}");
        }
    }

    #[test]
    fn the_first_record_of_a_run_carries_none_of_the_run_before() {
        assert_eq!(carried(&behind(16, |_| 10, running), 0), 0);
    }

    #[test]
    fn none_are_carried_where_one_would_be_too_large_or_was_not_running() {
        assert!(carried(&behind(16, |_| 10, running), 16) > 0);
        for odd in 9..16 {
            assert_eq!(carried(&behind(16, |at| if at == odd { SIZE_MAX } else { 10 }, running), 16), 0);
            let status = |at| if at == odd { Status::Blocked } else { Status::Running };
            assert_eq!(carried(&behind(16, |_| 10, status), 16), 0);
            assert!(carried(&behind(24, |_| 10, status), 24) > 0, "the next ones are whole again");
        }
    }

    #[test]
    fn a_record_without_room_carries_none() {
        let copies = behind(16, |_| 10, running);
        assert_eq!(copies.carried_by(16, carried(&copies, 16) - 1).len(), 0);
    }

    #[test]
    fn no_more_are_kept_than_a_record_may_carry() {
        let copies = behind(16, |_| 300, running);
        assert!(copies.copies.as_bytes().len() <= SIZE_MAX && carried(&copies, 16) == 0);
    }
}
