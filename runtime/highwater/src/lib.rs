//! Durable execution on NATS: workflows as ordinary async functions.
