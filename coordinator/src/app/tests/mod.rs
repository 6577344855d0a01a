//! The whole coordinator over loopback, with real TLS: what hosts and operators can do, and what they cannot.

mod agent;
mod enrolment;
mod host;
mod life;
mod operators;
mod releases;
mod served;
mod sessions;
