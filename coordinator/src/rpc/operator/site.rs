//! What operators are told about this coordinator.

/// Names and addresses that go into tokens and answers.
#[derive(Debug, Clone)]
pub struct Endpoints {
    /// The fleet's name.
    pub name: String,
    /// Where hosts enrol, `HOST:PORT`.
    pub enrolment: String,
    /// Where hosts and operators connect, `HOST:PORT`.
    pub fleet: String,
    pub operator_life_days: u32,
}
