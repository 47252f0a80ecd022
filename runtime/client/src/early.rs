//! Early answers: they tell of a record before it is known whether it is stored, and count once the stream says so.

use highwater_broker::nats;
use highwater_protocol::reply::Reply;

/// The early answers to one request, and the acknowledgement that came before its answer.
#[derive(Debug, Default)]
pub(crate) struct Early {
    /// By the subject that the acknowledgement comes to.
    awaiting: Vec<(String, Reply)>,
    stored: Option<String>,
}

impl Early {
    /// An answer came whose record is acknowledged at `subject`. Returns it if it counts.
    pub(crate) fn answered(&mut self, subject: String, reply: Reply) -> Option<Reply> {
        if self.stored.as_ref() == Some(&subject) {
            return Some(reply);
        }
        self.awaiting.push((subject, reply));
        None
    }

    /// A stream says at `subject` whether it has a record. Returns the answer that counts by that.
    pub(crate) fn acknowledged(&mut self, subject: String, ack: &[u8]) -> Option<Reply> {
        let is_stored = nats::stored(ack).is_some();
        let at = self.awaiting.iter().position(|(awaited, _)| *awaited == subject);
        let answer = at.map(|at| self.awaiting.swap_remove(at).1);
        if !is_stored {
            return None;
        }
        if answer.is_none() {
            self.stored = Some(subject);
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use highwater_protocol::RunId;

    use super::*;

    const STORED: &[u8] = br#"{"stream":"HW_default_HISTORY_0","seq":7}"#;
    const REFUSED: &[u8] = br#"{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 6"},"stream":"HW_default_HISTORY_0","seq":0}"#;

    fn accepted(run: u128) -> Reply {
        Reply::Accepted { run: RunId(uuid::Uuid::from_u128(run)) }
    }

    #[test]
    fn an_answer_counts_once_its_record_is_stored() {
        let mut early = Early::default();
        assert_eq!(early.answered("a".into(), accepted(1)), None);
        assert_eq!(early.acknowledged("a".into(), STORED), Some(accepted(1)));
    }

    #[test]
    fn it_counts_likewise_when_that_is_heard_first() {
        let mut early = Early::default();
        assert_eq!(early.acknowledged("a".into(), STORED), None);
        assert_eq!(early.answered("a".into(), accepted(1)), Some(accepted(1)));
    }

    #[test]
    fn an_answer_never_counts_whose_record_was_refused() {
        for refused in [REFUSED, b"", b"{}", b"null"] {
            let mut early = Early::default();
            assert_eq!(early.answered("a".into(), accepted(1)), None);
            assert_eq!(early.acknowledged("a".into(), refused), None);
            assert_eq!(early.acknowledged("a".into(), refused), None);
            let mut early = Early::default();
            assert_eq!(early.acknowledged("a".into(), refused), None);
            assert_eq!(early.answered("a".into(), accepted(1)), None);
        }
    }

    #[test]
    fn each_record_speaks_for_its_own_answer() {
        let mut early = Early::default();
        assert_eq!(early.answered("lost".into(), accepted(1)), None);
        assert_eq!(early.answered("won".into(), accepted(2)), None);
        assert_eq!(early.acknowledged("won".into(), STORED), Some(accepted(2)));
        assert_eq!(early.acknowledged("lost".into(), REFUSED), None);
    }
}
