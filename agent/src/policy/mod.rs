//! The host owner's last word.
