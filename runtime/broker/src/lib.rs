//! The broker that Highwater runs on, and its mapping to NATS JetStream.
