//! Ids, events, records, wire format and subject names of Highwater.
