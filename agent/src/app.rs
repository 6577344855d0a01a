//! The agent as a whole: makes the channels through which its parts meet, and owns their tasks.
