//! Which services each listener serves, and the role that each asks for.

use std::sync::Arc;

use tfleet_proto::FILE_DESCRIPTOR_SET;
use tfleet_proto::wire::artifacts_server::ArtifactsServer;
use tfleet_proto::wire::enrollment_server::EnrollmentServer;
use tfleet_proto::wire::operator_server::OperatorServer;
use tfleet_proto::wire::session_server::SessionServer;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;
use tonic::service::interceptor::InterceptedService;
use tonic_health::pb::health_server::{Health, HealthServer};

use super::{EnrollmentService, OperatorService, SessionService};
use crate::artifact::Artifacts;
use crate::distribute::ArtifactsService;
use crate::fleet::Fleet;
use crate::listener::{require_host, require_member, require_operator};
use crate::patch::Patches;

/// A host with hundreds of images and containers says some hundred KiB about itself.
const LARGEST_MESSAGE_BYTES: usize = 16 << 20;
/// A token, a certificate and a signing request are a few KiB. Whoever sends them is not known yet.
const LARGEST_ENROLMENT_BYTES: usize = 64 << 10;

/// What the fleet listener serves.
pub struct Services {
    pub session: SessionService,
    pub operator: OperatorService,
    pub artifacts: Artifacts,
    pub patches: Arc<Patches>,
    pub fleet: Fleet,
    /// Owns what goes on beside requests, until `stop`.
    pub tasks: TaskTracker,
    pub stop: CancellationToken,
}

/// The enrolment listener serves this alone.
pub fn enrolment_routes(enrollment: EnrollmentService) -> Routes {
    let enrollment =
        EnrollmentServer::new(enrollment).max_decoding_message_size(LARGEST_ENROLMENT_BYTES);
    Routes::new(enrollment).prepare()
}

impl Services {
    pub fn routes<H: Health>(
        self,
        health: HealthServer<H>,
    ) -> Result<Routes, tonic_reflection::server::Error> {
        let session =
            SessionServer::new(self.session).max_decoding_message_size(LARGEST_MESSAGE_BYTES);
        let artifacts =
            ArtifactsService::new(self.artifacts, Arc::new(self.fleet), self.tasks, self.stop);
        let artifacts = ArtifactsServer::new(artifacts.with_patches(self.patches));
        let operator =
            OperatorServer::new(self.operator).max_decoding_message_size(LARGEST_MESSAGE_BYTES);
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .build_v1()?;
        let routes = Routes::new(InterceptedService::new(session, require_host))
            .add_service(InterceptedService::new(artifacts, require_host))
            .add_service(InterceptedService::new(operator, require_operator))
            .add_service(InterceptedService::new(health, require_member))
            .add_service(InterceptedService::new(reflection, require_member));
        Ok(routes.prepare())
    }
}
