//! The Docker Engine, as far as the agent needs it.
