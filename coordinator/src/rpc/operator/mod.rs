//! What operators can ask. One file per noun; here is only which call goes where.

mod accounts;
mod builds;
mod containers;
mod declined;
mod hosts;
mod images;
mod incoming;
mod operations;
mod overview;
mod planned;
mod policy;
mod releases;
mod sbom;
mod selection;
mod service;
mod sharing;
mod site;
mod spec;
mod tokens;
mod vault;

use std::pin::Pin;
use std::sync::Arc;

use futures::Stream;
use tfleet_compat::Catalog;
use tfleet_proto::wire;
use tfleet_proto::wire::operator_server::Operator;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};

use super::{Foresight, access};
use crate::artifact::Artifacts;
use crate::build::Builds;
use crate::ca::Authority;
use crate::fleet::Fleet;
use crate::store::Store;
use crate::vault::Vault;

pub use builds::RunningBuilds;
pub use site::Endpoints;

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

pub struct OperatorService {
    pub authority: Arc<Authority>,
    pub store: Store,
    pub fleet: Fleet,
    pub builds: Builds,
    /// What plans are made from.
    pub catalog: Arc<Catalog>,
    pub artifacts: Artifacts,
    pub vault: Vault,
    pub endpoints: Endpoints,
    /// Owns what goes on when a caller has left.
    pub tasks: TaskTracker,
    pub stop: CancellationToken,
    pub running_builds: RunningBuilds,
    pub foresight: Foresight,
}

#[tonic::async_trait]
impl Operator for OperatorService {
    type WatchHostsStream = Answers<wire::HostEvent>;
    type BuildStream = Answers<wire::BuildEvent>;
    type BuildLogStream = Answers<wire::BuildLogLine>;
    type AddImageStream = Answers<wire::AddImageEvent>;
    type ImportBaseStream = Answers<wire::AddImageEvent>;
    type ExecStream = Answers<wire::OperationOutput>;
    type LogsStream = Answers<wire::OperationOutput>;
    type ListHaveStream = Answers<wire::BundlePiece>;
    type ExportBundleStream = Answers<wire::BundlePiece>;
    type ImportBundleStream = Answers<wire::ImportBundleEvent>;

    async fn list_hosts(
        &self,
        request: Request<wire::ListHostsRequest>,
    ) -> Result<Response<wire::ListHostsResponse>, Status> {
        answer(self.list_hosts(request.into_inner()))
    }

    async fn watch_hosts(
        &self,
        request: Request<wire::ListHostsRequest>,
    ) -> Result<Response<Self::WatchHostsStream>, Status> {
        answer(self.watch_hosts(request.into_inner()))
    }

    async fn remove_host(
        &self,
        request: Request<wire::RemoveHostRequest>,
    ) -> Result<Response<wire::RemoveHostResponse>, Status> {
        let by = access::operator(request.extensions())?;
        answer(self.remove_host(request.into_inner(), &by).await)
    }

    async fn create_tokens(
        &self,
        request: Request<wire::CreateTokensRequest>,
    ) -> Result<Response<wire::CreateTokensResponse>, Status> {
        let by = access::operator(request.extensions())?;
        answer(self.create_tokens(request.into_inner(), &by).await)
    }

    async fn issue_operator(
        &self,
        request: Request<wire::IssueOperatorRequest>,
    ) -> Result<Response<wire::IssueOperatorResponse>, Status> {
        let by = access::operator(request.extensions())?;
        answer(self.issue_operator(request.into_inner(), &by).await)
    }

    async fn list_operators(
        &self,
        _: Request<wire::ListOperatorsRequest>,
    ) -> Result<Response<wire::ListOperatorsResponse>, Status> {
        answer(self.list_operators().await)
    }

    async fn revoke_operator(
        &self,
        request: Request<wire::RevokeOperatorRequest>,
    ) -> Result<Response<wire::RevokeOperatorResponse>, Status> {
        let by = access::operator(request.extensions())?;
        answer(self.revoke_operator(request.into_inner(), &by).await)
    }

    async fn plan(
        &self,
        request: Request<wire::PlanRequest>,
    ) -> Result<Response<wire::PlanResponse>, Status> {
        answer(self.plan(request.into_inner()).await)
    }

    async fn create_release(
        &self,
        request: Request<wire::PlanRequest>,
    ) -> Result<Response<wire::Release>, Status> {
        let by = access::operator(request.extensions())?;
        answer(self.create_release(request.into_inner(), by).await)
    }

    async fn get_release(
        &self,
        request: Request<wire::GetReleaseRequest>,
    ) -> Result<Response<wire::Release>, Status> {
        answer(self.get_release(request.into_inner()).await)
    }

    async fn list_releases(
        &self,
        _: Request<wire::ListReleasesRequest>,
    ) -> Result<Response<wire::ListReleasesResponse>, Status> {
        answer(self.list_releases().await)
    }

    async fn build(
        &self,
        request: Request<wire::BuildRequest>,
    ) -> Result<Response<Self::BuildStream>, Status> {
        answer(self.build(request.into_inner()).await)
    }

    async fn build_log(
        &self,
        request: Request<wire::BuildLogRequest>,
    ) -> Result<Response<Self::BuildLogStream>, Status> {
        answer(self.build_log(request.into_inner()).await)
    }

    async fn get_sbom(
        &self,
        request: Request<wire::GetSbomRequest>,
    ) -> Result<Response<wire::GetSbomResponse>, Status> {
        answer(self.get_sbom(request.into_inner()).await)
    }

    async fn add_image(
        &self,
        request: Request<Streaming<wire::AddImageRequest>>,
    ) -> Result<Response<Self::AddImageStream>, Status> {
        let by = access::operator(request.extensions())?;
        answer(self.add_image(request.into_inner(), by).await)
    }

    async fn import_base(
        &self,
        request: Request<Streaming<wire::AddImageRequest>>,
    ) -> Result<Response<Self::ImportBaseStream>, Status> {
        let by = access::operator(request.extensions())?;
        answer(self.import_base(request.into_inner(), by).await)
    }

    async fn rollout(
        &self,
        request: Request<wire::RolloutRequest>,
    ) -> Result<Response<wire::ChangeResponse>, Status> {
        let by = access::operator(request.extensions())?;
        answer(self.rollout(request.into_inner(), &by).await)
    }

    async fn run_container(
        &self,
        request: Request<wire::RunContainerRequest>,
    ) -> Result<Response<wire::ChangeResponse>, Status> {
        let by = access::operator(request.extensions())?;
        answer(self.run_container(request.into_inner(), &by).await)
    }

    async fn change_containers(
        &self,
        request: Request<wire::ChangeContainersRequest>,
    ) -> Result<Response<wire::ChangeResponse>, Status> {
        let by = access::operator(request.extensions())?;
        answer(self.change_containers(request.into_inner(), &by).await)
    }

    async fn exec(
        &self,
        request: Request<Streaming<wire::ExecRequest>>,
    ) -> Result<Response<Self::ExecStream>, Status> {
        let by = access::operator(request.extensions())?;
        answer(self.exec(request.into_inner(), &by).await)
    }

    async fn logs(
        &self,
        request: Request<wire::LogsRequest>,
    ) -> Result<Response<Self::LogsStream>, Status> {
        answer(self.logs(request.into_inner()))
    }

    async fn get_fleet(
        &self,
        _: Request<wire::GetFleetRequest>,
    ) -> Result<Response<wire::Fleet>, Status> {
        answer(self.get_fleet().await)
    }

    async fn list_vault(
        &self,
        _: Request<wire::ListVaultRequest>,
    ) -> Result<Response<wire::ListVaultResponse>, Status> {
        answer(self.list_vault().await)
    }

    async fn list_have(
        &self,
        _: Request<wire::ListHaveRequest>,
    ) -> Result<Response<Self::ListHaveStream>, Status> {
        answer(self.list_have().await)
    }

    async fn export_bundle(
        &self,
        request: Request<Streaming<wire::ExportBundleRequest>>,
    ) -> Result<Response<Self::ExportBundleStream>, Status> {
        let by = access::operator(request.extensions())?;
        answer(self.export_bundle(request.into_inner(), by).await)
    }

    async fn import_bundle(
        &self,
        request: Request<Streaming<wire::ImportBundleRequest>>,
    ) -> Result<Response<Self::ImportBundleStream>, Status> {
        let by = access::operator(request.extensions())?;
        answer(self.import_bundle(request.into_inner(), by).await)
    }
}

fn answer<T>(outcome: Result<T, declined::Declined>) -> Result<Response<T>, Status> {
    outcome.map(Response::new).map_err(Status::from)
}
