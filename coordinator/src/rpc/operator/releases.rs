//! Releases: planned, made, shown.

use std::collections::BTreeSet;

use tfleet_compat::{HostFacts, Plan};
use tfleet_proto::convert::wire_timestamp;
use tfleet_proto::model::name::{HostName, ReleaseName, ReleaseQuery};
use tfleet_proto::wire;
use tracing::info;

use super::declined::Declined;
use super::selection::Selection;
use super::{OperatorService, planned, spec};
use crate::rollout::{self, Candidate};
use crate::store::{BuildPhase, Created, Origin, Release, ReleaseRequest, VariantBuild};

impl OperatorService {
    pub(super) async fn plan(
        &self,
        request: wire::PlanRequest,
    ) -> Result<wire::PlanResponse, Declined> {
        let (_, plan) = self.planned(request).await?;
        Ok(wire::PlanResponse {
            plan: Some(planned::wire(&plan)),
        })
    }

    pub(super) async fn create_release(
        &self,
        request: wire::PlanRequest,
        by: String,
    ) -> Result<wire::Release, Declined> {
        let anew = request.anew;
        let (mut request, plan) = self.planned(request).await?;
        request.anew = anew;
        if plan.assignments.is_empty() {
            return Err(Declined::First(match plan.unplaced.len() {
                0 => "no host was selected, so there is nothing to plan for".to_owned(),
                _ => format!(
                    "no selected host can be served\n{}",
                    planned::reasons(&plan)
                ),
            }));
        }
        let builds = plan
            .variants
            .iter()
            .map(|variant| variant.recipe.id.as_str().parse())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| Declined::field("spec", format!("{error}")))?;
        let builds = builds.into_iter().map(VariantBuild::waiting).collect();
        let name = request.name.clone();
        let request = Box::new(request);
        let origin = Origin::Planned { request, plan };
        let created = if anew {
            self.store
                .create_revision(name, origin, builds, by.clone())
                .await?
        } else {
            self.store
                .create_release(name, origin, builds, by.clone())
                .await?
        };
        Ok(match created {
            Created::New(release) => {
                info!(release = %release.reference, by, "a release was planned");
                wire_release(&release)
            }
            Created::Existing(release) => wire::Release {
                existed: true,
                ..wire_release(&release)
            },
        })
    }

    pub(super) async fn get_release(
        &self,
        request: wire::GetReleaseRequest,
    ) -> Result<wire::Release, Declined> {
        Ok(wire_release(
            &self.release("release", &request.release).await?,
        ))
    }

    pub(super) async fn list_releases(&self) -> Result<wire::ListReleasesResponse, Declined> {
        let releases = self.store.releases().await?;
        Ok(wire::ListReleasesResponse {
            releases: releases.iter().map(wire_release).collect(),
        })
    }

    /// The release that an operator names in `field`.
    pub(super) async fn release(&self, field: &str, text: &str) -> Result<Release, Declined> {
        let query: ReleaseQuery = text
            .parse()
            .map_err(|error| Declined::field(field, format!("{error}")))?;
        if let Some(release) = self.store.release(query).await? {
            return Ok(release);
        }
        let releases = self.store.releases().await?;
        let mut known: Vec<String> = Vec::new();
        for release in &releases {
            known.push(release.reference.to_string());
            known.push(release.reference.name.to_string());
        }
        let known = known.iter().map(String::as_str);
        Err(Declined::unknown("release", text, known))
    }

    async fn planned(
        &self,
        request: wire::PlanRequest,
    ) -> Result<(ReleaseRequest, Plan), Declined> {
        let spec = spec::read(request.spec)?;
        let running = self.newest_plan(&spec.name).await?;
        let plan = if request.hosts.is_empty() {
            let hosts = Selection::read(request.selector)?.hosts(&self.fleet)?;
            let candidates = hosts.iter().map(|host| Candidate {
                name: &host.name,
                inventory: host.inventory.as_ref(),
            });
            rollout::plan(&self.catalog, &spec, candidates, running.as_ref())
        } else if request.selector.is_some() {
            return Err(Declined::field(
                "hosts",
                "are given in place of a selector, not beside one",
            ));
        } else {
            let hosts = elsewhere(&request.hosts)?;
            rollout::plan_for(&self.catalog, &spec, &hosts, running.as_ref())
        };
        let plan = plan.map_err(|error| Declined::field("spec.tensorflow", error.to_string()))?;
        Ok((spec, plan))
    }

    async fn newest_plan(&self, name: &ReleaseName) -> Result<Option<Plan>, Declined> {
        let newest = self
            .store
            .release(ReleaseQuery::Newest(name.clone()))
            .await?;
        Ok(newest.and_then(|release| match release.origin {
            Origin::Planned { plan, .. } => Some(plan),
            Origin::Added { .. } => None,
        }))
    }
}

/// Hosts that another coordinator knows, each once.
fn elsewhere(text: &[u8]) -> Result<Vec<HostFacts>, Declined> {
    let hosts: Vec<HostFacts> = serde_json::from_slice(text)
        .map_err(|error| Declined::field("hosts", format!("cannot be understood: {error}")))?;
    let mut seen = BTreeSet::new();
    for (index, host) in hosts.iter().enumerate() {
        let field = format!("hosts[{index}].name");
        if let Err(error) = host.name.as_str().parse::<HostName>() {
            return Err(Declined::field(&field, error.to_string()));
        }
        if !seen.insert(&host.name) {
            let why = format!("{} is there twice", host.name);
            return Err(Declined::field(&field, why));
        }
    }
    Ok(hosts)
}

pub fn wire_release(release: &Release) -> wire::Release {
    let (spec, plan) = match &release.origin {
        Origin::Planned { request, plan } => (Some(spec::wire(request)), Some(planned::wire(plan))),
        Origin::Added { .. } => (None, None),
    };
    wire::Release {
        name: release.reference.name.to_string(),
        revision: release.reference.revision.get(),
        spec,
        plan,
        builds: release.builds.iter().map(wire_build).collect(),
        created_at: Some(wire_timestamp(release.created_at)),
        created_by: release.created_by.clone(),
        existed: false,
    }
}

pub fn wire_build(build: &VariantBuild) -> wire::VariantBuild {
    let text = |digest: tfleet_proto::model::digest::Digest| digest.to_string();
    wire::VariantBuild {
        variant: build.variant.to_string(),
        phase: wire_phase(build.phase).into(),
        lock: build.lock.map(text).unwrap_or_default(),
        artifact: build.artifact.map(text).unwrap_or_default(),
        content_bytes: build.content_bytes,
        stored_bytes: build.stored_bytes,
        failure: build.failure.clone().map(Into::into),
    }
}

pub fn wire_phase(phase: BuildPhase) -> wire::BuildPhase {
    match phase {
        BuildPhase::Waiting => wire::BuildPhase::Waiting,
        BuildPhase::Locking => wire::BuildPhase::Locking,
        BuildPhase::Base => wire::BuildPhase::Base,
        BuildPhase::Building => wire::BuildPhase::Building,
        BuildPhase::Storing => wire::BuildPhase::Storing,
        BuildPhase::Done => wire::BuildPhase::Done,
        BuildPhase::Failed => wire::BuildPhase::Failed,
    }
}
