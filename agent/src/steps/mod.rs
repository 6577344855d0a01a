//! From what is and what shall be to the next step; pure.
