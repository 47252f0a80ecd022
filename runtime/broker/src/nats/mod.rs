//! The mapping to NATS JetStream.
