//! Brings the host to what is desired: observe, plan, one step, observe again.
