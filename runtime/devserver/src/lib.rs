//! Finds or installs a NATS server and runs it privately.
