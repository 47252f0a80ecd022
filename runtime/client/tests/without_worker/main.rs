//! The client on a real NATS server while no worker is alive.

mod early;
mod faults;
mod faulty;
mod history;
mod requests;
mod result;
mod start;
mod support;
mod terminate;
