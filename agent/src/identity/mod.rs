//! The host's key and certificate: made here, certified by the coordinator, renewed in time.
