//! Which artifacts a host may fetch: those in its desired state.

use std::net::SocketAddr;

use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::name::HostName;
use tonic::{Extensions, Status};

use crate::distribute::{Access, Participant};
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

    fn participant(&self, peer: &Extensions, port: u32) -> Result<Participant, Status> {
        let Some(Caller {
            peer: Peer::Host { name, key },
            address,
        }) = peer.get::<Caller>()
        else {
            return Err(not_a_host());
        };
        let port = u16::try_from(port)
            .map_err(|_| Status::invalid_argument(format!("{port} is not a port")))?;
        let address = SocketAddr::new(address.ip().to_canonical(), port);
        Ok(Participant {
            host: name.clone(),
            key: *key,
            address: (port > 0).then(|| address.to_string()),
            place: self.place(name),
        })
    }
}

/// The host that calls, and where from. The interceptor let only hosts through.
pub(super) fn host(peer: &Extensions) -> Result<(HostName, SocketAddr), Status> {
    match peer.get::<Caller>() {
        Some(Caller {
            peer: Peer::Host { name, .. },
            address,
        }) => Ok((name.clone(), *address)),
        _ => Err(not_a_host()),
    }
}

fn not_a_host() -> Status {
    Status::permission_denied("this is for hosts")
}

/// The operator that calls.
pub(super) fn operator(peer: &Extensions) -> Result<String, Status> {
    match peer.get::<Caller>().map(|caller| &caller.peer) {
        Some(Peer::Operator { name, .. }) => Ok(name.clone()),
        _ => Err(Status::permission_denied("this is for operators")),
    }
}
