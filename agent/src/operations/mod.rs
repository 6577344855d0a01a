//! What an operator does inside a container while watching: commands and logs.
