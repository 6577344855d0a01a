//! What the tests of the whole system share: a lab of many hosts on one machine.

pub mod harness;
pub mod lab;
