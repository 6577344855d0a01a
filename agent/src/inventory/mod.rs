//! What this host has, and who said so.
