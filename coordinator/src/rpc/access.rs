//! Which artifacts a host may fetch: those in its desired state.

use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::name::HostName;
use tonic::{Extensions, Status};

use crate::distribute::Access;
use crate::fleet::Fleet;
use crate::listener::{Caller, Peer};

impl Access for Fleet {
    fn check(&self, peer: &Extensions, artifact: &Digest) -> Result<(), Status> {
        let (host, _) = host(peer)?;
        if self.may_fetch(&host, artifact) {
            Ok(())
        } else {
            Err(Status::not_found(format!(
                "there is no artifact {artifact} for {host}"
            )))
        }
    }
}

/// The host that calls, and where from. The interceptor let only hosts through.
pub(super) fn host(peer: &Extensions) -> Result<(HostName, std::net::SocketAddr), Status> {
    match peer.get::<Caller>() {
        Some(Caller {
            peer: Peer::Host { name, .. },
            address,
        }) => Ok((name.clone(), *address)),
        _ => Err(Status::permission_denied("this is for hosts")),
    }
}

/// The operator that calls.
pub(super) fn operator(peer: &Extensions) -> Result<String, Status> {
    match peer.get::<Caller>().map(|caller| &caller.peer) {
        Some(Peer::Operator { name, .. }) => Ok(name.clone()),
        _ => Err(Status::permission_denied("this is for operators")),
    }
}
