//! Releases: planned, made, shown.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use tfleet_compat::require::changes;
use tfleet_compat::{Architecture, HostFacts, ImageGate, Plan, PlanError};
use tfleet_proto::convert::{WhatIf, wire_timestamp};
use tfleet_proto::model::name::{HostName, ReleaseQuery};
use tfleet_proto::model::selector::Subject;
use tfleet_proto::wire;
use tracing::info;

use super::declined::Declined;
use super::selection::Selection;
use super::{OperatorService, planned, spec};
use crate::fleet::HostView;
use crate::rollout::{Candidate, Planning};
use crate::store::{BuildPhase, Created, Origin, Release, ReleaseRequest, VariantBuild};

impl OperatorService {
    /// Plans, tells what the newest revision's plan is, thinks changes through, and explains a host.
    pub(super) async fn plan(
        &self,
        request: wire::PlanRequest,
    ) -> Result<wire::PlanResponse, Declined> {
        let what_if = request
            .what_if
            .iter()
            .enumerate()
            .map(|(index, text)| {
                text.parse::<WhatIf>().map_err(|error| {
                    Declined::field(&format!("what_if[{index}]"), format!("{error}"))
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let explain = request.explain.clone();
        let asked = self.asked(request).await?;
        let planning = self.planning(&asked);
        let running = asked.running();
        let plan = self.plan_of(&asked, &planning)?;
        let subjects: HashMap<&str, Subject<'_>> = asked
            .hosts
            .iter()
            .map(|host| (host.name.as_str(), host.subject()))
            .collect();
        let what_if = what_if
            .into_iter()
            .map(|what_if| {
                let change = |facts: &mut HostFacts| {
                    let subject = subjects.get(facts.name.as_str());
                    let is_meant = subject.is_some_and(|subject| what_if.on.matches(*subject));
                    if is_meant {
                        what_if.change.apply(facts);
                    }
                    is_meant
                };
                let (plan, hosts) = planning.plan_if(change, running)?;
                Ok(wire::WhatIf {
                    change: what_if.text.clone(),
                    hosts,
                    plan: Some(planned::wire(&plan)),
                })
            })
            .collect::<Result<_, PlanError>>()
            .map_err(not_planned)?;
        let considered = match explain.as_str() {
            "" => Vec::new(),
            host => {
                let considered = planning.explain(host).map_err(not_planned)?;
                let known = || asked.hosts.iter().map(|host| host.name.as_str());
                considered.ok_or_else(|| Declined::unknown("host", host, known()))?
            }
        };
        Ok(wire::PlanResponse {
            plan: Some(planned::wire(&plan)),
            running: running.map(planned::wire),
            what_if,
            considered: considered.iter().map(planned::consideration).collect(),
        })
    }

    pub(super) async fn create_release(
        &self,
        request: wire::PlanRequest,
        by: String,
    ) -> Result<wire::Release, Declined> {
        let anew = request.anew;
        let asked = self.asked(request).await?;
        let plan = self.plan_of(&asked, &self.planning(&asked))?;
        let request = ReleaseRequest { anew, ..asked.spec };
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
        let release = self.release("release", &request.release).await?;
        let mut told = wire_release(&release);
        self.tell_sharing(&release, &mut told).await?;
        Ok(told)
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

    /// Reads what is asked, and looks up what it is asked about.
    async fn asked(&self, request: wire::PlanRequest) -> Result<Asked, Declined> {
        let policy = request.spec.as_ref().and_then(|spec| spec.policy.as_ref());
        let rebalance = policy.is_some_and(|policy| policy.rebalance);
        let spec = spec::read(request.spec)?;
        let (hosts, elsewhere) = if request.hosts.is_empty() {
            let hosts = Selection::read(request.selector)?.hosts(&self.fleet)?;
            (hosts, Vec::new())
        } else if request.selector.is_some() {
            return Err(Declined::field(
                "hosts",
                "are given in place of a selector, not beside one",
            ));
        } else {
            (Vec::new(), elsewhere(&request.hosts)?)
        };
        let newest = ReleaseQuery::Newest(spec.name.clone());
        let newest = self.store.release(newest).await?;
        Ok(Asked {
            spec,
            rebalance,
            hosts,
            elsewhere,
            newest,
        })
    }

    fn planning<'a>(&'a self, asked: &'a Asked) -> Planning<'a> {
        let candidates = asked.hosts.iter().map(|host| Candidate {
            name: &host.name,
            inventory: host.inventory.as_ref(),
            desired: &host.desired,
        });
        Planning::new(
            &self.catalog,
            &asked.spec,
            asked.rebalance,
            candidates,
            asked.newest.as_ref(),
            self.builds.architectures(),
        )
        .with_hosts(asked.elsewhere.iter().cloned())
        .with_gate(self.gate(&asked.spec))
    }

    /// The plan. What of it does not go together is told now, and not when it is built.
    fn plan_of(&self, asked: &Asked, planning: &Planning<'_>) -> Result<Plan, Declined> {
        let plan = planning.plan(asked.running()).map_err(not_planned)?;
        for variant in &plan.variants {
            self.order(&asked.spec, &variant.recipe)?;
        }
        Ok(plan)
    }

    /// What the release's base requires of a host by itself: as it is stored here, or, before it is, as NVIDIA's tags of
    /// that name are known to. With a note where the two differ.
    fn gate(&self, spec: &ReleaseRequest) -> (Option<ImageGate>, Option<String>) {
        let Some(base) = spec.base.as_deref() else {
            return (None, None);
        };
        let published = self.catalog.image(base).ok();
        let published =
            published.and_then(|tag| tag.image.gate(&self.catalog, Architecture::X86_64));
        let Some(environment) = self.builds.base_environment(base) else {
            return (published, None);
        };
        let stored = ImageGate::from_environment(environment.iter().map(String::as_str));
        let note = published.and_then(|published| changed(base, &stored, &published));
        (Some(stored), note)
    }
}

/// What a tag requires otherwise than the image that is stored under its name.
fn changed(base: &str, stored: &ImageGate, published: &ImageGate) -> Option<String> {
    let (pinned, found) = (stored.requirements(), published.requirements());
    let changes = changes(&pinned.first()?.requirement, &found.first()?.requirement);
    (!changes.is_empty()).then(|| {
        format!(
            "{base} is stored here as it was pinned, and its tag requires otherwise since: {}",
            changes.join("; ")
        )
    })
}

/// What is asked of planning.
struct Asked {
    spec: ReleaseRequest,
    rebalance: bool,
    hosts: Vec<Arc<HostView>>,
    /// Instead: hosts that another coordinator knows.
    elsewhere: Vec<HostFacts>,
    newest: Option<Release>,
}

impl Asked {
    /// The newest revision's plan.
    fn running(&self) -> Option<&Plan> {
        match &self.newest.as_ref()?.origin {
            Origin::Planned { plan, .. } => Some(plan),
            Origin::Added { .. } => None,
        }
    }
}

fn not_planned(error: PlanError) -> Declined {
    Declined::field("spec.tensorflow", error.to_string())
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
        shared_content_bytes: 0,
        shared_stored_bytes: 0,
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
