//! What the reply subject of a delivered message tells about it.

use highwater_protocol::Timestamp;

/// The place of a delivered message in its stream and consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Info {
    /// Its sequence in the stream.
    pub(super) seq: u64,
    /// Its sequence in the consumer.
    pub(super) consumer_seq: u64,
    /// How often it was delivered.
    pub(super) delivered: u32,
    /// When it was stored.
    pub(super) time: Timestamp,
    /// How many messages wait behind it.
    pub(super) pending: u64,
}

impl Info {
    /// Reads a subject `$JS.ACK.…` in either of its forms (ADR-15): `<stream>.<consumer>.<delivered>.<stream seq>.
    /// <consumer seq>.<nanoseconds>.<pending>`, or that behind two more tokens and with more to come.
    pub(super) fn parse(reply: &str) -> Option<Self> {
        let mut tokens = [""; 9];
        let mut count = 0;
        for token in reply.strip_prefix("$JS.ACK.")?.split('.').take(tokens.len()) {
            tokens[count] = token;
            count += 1;
        }
        let own = match count {
            7 => &tokens[2..7],
            9 => &tokens[4..9],
            _ => return None,
        };
        Some(Self {
            delivered: u32::try_from(own[0].parse::<u64>().ok()?).unwrap_or(u32::MAX),
            seq: own[1].parse().ok()?,
            consumer_seq: own[2].parse().ok()?,
            time: Timestamp::from_nanos(own[3].parse().ok()?),
            pending: own[4].parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        let info = Info { seq: 5, consumer_seq: 6, delivered: 2, time: Timestamp(1_700_000_000_000_000), pending: 7 };
        for reply in [
            "$JS.ACK.S.C.2.5.6.1700000000000000999.7",
            "$JS.ACK._.hash.S.C.2.5.6.1700000000000000999.7",
            "$JS.ACK.hub.hash.S.C.2.5.6.1700000000000000999.7.token.more",
        ] {
            assert_eq!(Info::parse(reply), Some(info), "{reply}");
        }
        for reply in ["", "$JS.ACK.S.C.2.5.6.7", "$JS.ACK.S.C.x.5.6.1.7", "_INBOX.a"] {
            assert_eq!(Info::parse(reply), None, "{reply}");
        }
    }
}
