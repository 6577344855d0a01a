//! Being written by coordinator-core since 04:08 (it started late and took over ca, listener, store and config as they are).

#[deprecated(note = "coordinator-core is awake since 04:06 and writes fleet, rollout, rpc, app and main now: please leave these to it, or say so here")]
const CLAIM: () = ();
#[allow(unused)]
const SEEN: () = CLAIM;
