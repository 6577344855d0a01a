//! Planning from files, without a coordinator.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Deserialize;
use tfleet_compat::{
    Assignment, Catalog, Compatibility, HostFacts, PlanDiff, Question, RecipeId, ReleaseSpec, Stock,
};
use tfleet_proto::convert::WhatIf;
use tfleet_proto::model::inventory::{Driver, Engine, Gpu, Inventory, Machine};
use tfleet_proto::model::name::HostName;
use tfleet_proto::model::selector::Subject;

use super::Plan;
use crate::command::Context;
use crate::error::{Error, ExitStatus};
use crate::view::explanation::Explanation;
use crate::view::plan::{Plan as PlanTable, WhatIf as WhatIfTable};

/// Any TensorFlow that programs of today run on.
const ANY: &str = ">=2,<3";

impl Plan {
    pub(super) fn run_offline(self, context: &Context) -> Result<ExitStatus, Error> {
        let path = self.hosts_file.as_deref();
        let path = path.ok_or_else(|| Error::Usage("--offline needs --hosts FILE".to_owned()))?;
        if self.additions.are_any() {
            return Err(Error::Usage(
                "what images get beside TensorFlow (--python, --base, --dockerfile, …) changes no plan, and nothing is built \
                 offline: leave it out here, and give it to `tfleet release create`"
                    .to_owned(),
            ));
        }
        let mut hosts = read_hosts(path)?;
        self.keep_selected(&mut hosts)?;
        let catalog = catalog(&self.catalog)?;
        let policy = self.policy.policy()?;
        let name = self.name.as_ref().map_or("offline", |name| name.as_str());
        let tensorflow = self.tensorflow.as_deref().unwrap_or(ANY);
        let tensorflow = tensorflow.parse().map_err(usage)?;
        let release = ReleaseSpec {
            spans_majors: self.policy.span_majors,
            ..ReleaseSpec::new(name, tensorflow)
        };
        let question = Question {
            catalog: &catalog,
            release: &release,
            policy: &policy,
            stock: &Stock::default(),
            gate: None,
        };
        let running = self.running.as_deref().map(read_running).transpose()?;
        let plan = question.plan(&hosts, running.as_ref()).map_err(usage)?;
        let mut table = PlanTable::from(&plan);
        if let Some(running) = &running {
            table.changes = Some(PlanDiff::between(&running.assigned(), &plan.assigned()));
        }
        for text in &self.what_if {
            let what_if: WhatIf = text.parse().map_err(usage)?;
            let (changed, count) = changed(&hosts, &what_if)?;
            let then = question.plan(&changed, running.as_ref()).map_err(usage)?;
            let then = PlanTable::from(&then);
            table.what_if.push(WhatIfTable::between(
                what_if.text,
                count,
                &table.assigned(),
                &then,
            ));
        }
        match &self.explain {
            None => context.output.print(&table)?,
            Some(name) => {
                let host = hosts
                    .iter()
                    .find(|host| host.name.as_str() == name.as_str());
                let host = host.ok_or_else(|| {
                    Error::Usage(format!("{} has no host {name}", path.display()))
                })?;
                let considered = question.explain(host).map_err(usage)?;
                let explanation = Explanation::new(
                    name.to_string(),
                    &table,
                    considered.iter().collect::<Vec<_>>(),
                );
                context.output.print(&explanation)?;
            }
        }
        Ok(ExitStatus::Ok)
    }

    /// Without a selection all hosts of the file are planned for.
    fn keep_selected(&self, hosts: &mut Vec<HostFacts>) -> Result<(), Error> {
        let selection = &self.selection;
        if selection.is_empty() || selection.all {
            return Ok(());
        }
        for name in &selection.hosts {
            if !hosts.iter().any(|host| host.name.as_str() == name.as_str()) {
                return Err(Error::Usage(format!("the file has no host {name}")));
            }
        }
        let expression = selection.expression.as_deref();
        let expression = expression.map(str::parse).transpose().map_err(usage)?;
        let mut kept = Vec::new();
        for host in hosts.drain(..) {
            let is_named = selection
                .hosts
                .iter()
                .any(|name| name.as_str() == host.name.as_str());
            let is_meant = match &expression {
                Some(expression) => {
                    let takes = matches(expression, &host)?;
                    takes && (selection.hosts.is_empty() || is_named)
                }
                None => is_named,
            };
            if is_meant {
                kept.push(host);
            }
        }
        *hosts = kept;
        Ok(())
    }
}

/// The built-in facts with an operator's files on top.
///
/// # Errors
/// If a file cannot be read, or is no catalog.
pub fn catalog(files: &[PathBuf]) -> Result<Cow<'static, Catalog>, Error> {
    let mut catalog = Cow::Borrowed(Catalog::builtin());
    for path in files {
        let text = std::fs::read_to_string(path).map_err(Error::file("read", path))?;
        let name = path.display().to_string();
        let with = catalog.with_overlay(&name, &text).map_err(|error| {
            let why = std::error::Error::source(&error).map(|why| format!(": {why}"));
            Error::Usage(format!("{error}{}", why.unwrap_or_default()))
        })?;
        catalog = Cow::Owned(with);
    }
    Ok(catalog)
}

fn read_hosts(path: &Path) -> Result<Vec<HostFacts>, Error> {
    let text = read(path)?;
    serde_json::from_str(&text).map_err(|error| {
        Error::Usage(format!(
            "{} is not a list of hosts (`tfleet schema hosts` describes it): {error}",
            path.display()
        ))
    })
}

/// "-" is standard input.
fn read(path: &Path) -> Result<String, Error> {
    if path.as_os_str() == "-" {
        return std::io::read_to_string(std::io::stdin()).map_err(Error::file("read", path));
    }
    std::fs::read_to_string(path).map_err(Error::file("read", path))
}

/// Of a plan from before only who has what counts.
fn read_running(path: &Path) -> Result<tfleet_compat::Plan, Error> {
    #[derive(Deserialize)]
    struct Saved {
        assignments: Vec<SavedAssignment>,
    }
    #[derive(Deserialize)]
    struct SavedAssignment {
        host: String,
        variant: RecipeId,
    }
    let saved: Saved = serde_json::from_str(&read(path)?).map_err(|error| {
        Error::Usage(format!(
            "{} is not a plan (`tfleet schema plan` describes it): {error}",
            path.display()
        ))
    })?;
    let mut assignments: Vec<Assignment> = saved
        .assignments
        .into_iter()
        .map(|saved| Assignment {
            host: saved.host.into(),
            variant: saved.variant,
            compatibility: Compatibility::Native,
            reason: "".into(),
            left_out_gpus: Vec::new(),
        })
        .collect();
    assignments.sort_by(|a, b| a.host.cmp(&b.host));
    Ok(tfleet_compat::Plan {
        release: String::new(),
        variants: Vec::new(),
        assignments,
        unplaced: Vec::new(),
        upgrades: Vec::new(),
        notes: Vec::new(),
        exact: true,
    })
}

/// The hosts after a change, and how many it was made to.
fn changed(hosts: &[HostFacts], what_if: &WhatIf) -> Result<(Vec<HostFacts>, usize), Error> {
    let mut hosts = hosts.to_vec();
    let mut count = 0;
    for host in &mut hosts {
        if matches(&what_if.on, host)? {
            what_if.change.apply(host);
            count += 1;
        }
    }
    Ok((hosts, count))
}

/// What an expression can see of a host of a file: no engine, no disk, no kernel.
fn matches(
    expression: &tfleet_proto::model::selector::Expression,
    host: &HostFacts,
) -> Result<bool, Error> {
    let name: HostName = host.name.as_str().parse().map_err(|error| {
        Error::Usage(format!(
            "{} cannot be selected by an expression: {error}",
            host.name
        ))
    })?;
    let inventory = as_inventory(host);
    Ok(expression.matches(Subject {
        name: &name,
        connected: false,
        inventory: Some(&inventory),
    }))
}

fn as_inventory(host: &HostFacts) -> Inventory {
    let catalog = Catalog::builtin();
    let gpus = host.gpus.iter().zip(0..).map(|(gpu, index)| Gpu {
        uuid: String::new(),
        index,
        name: gpu.name.clone(),
        compute_capability: gpu
            .compute_capability
            .or_else(|| Some(catalog.gpu(&gpu.name).ok()?.capability))
            .map(|capability| capability.to_string()),
        memory_bytes: gpu.memory_bytes,
        memory_used_bytes: None,
        mig_enabled: None,
        ecc_enabled: None,
        temperature_celsius: None,
        utilisation_percent: None,
        processes: Vec::new(),
        pci_bus_id: None,
        fault: None,
    });
    Inventory {
        observed_at: Timestamp::UNIX_EPOCH,
        machine: Machine {
            architecture: host.architecture.to_string(),
            distribution: None,
            kernel_release: None,
            cpu_model: None,
            cpu_count: 0,
            cpu_flags: host.cpu_flags.iter().flatten().cloned().collect(),
            memory_bytes: None,
        },
        driver: host.driver_version.as_ref().map(|driver| Driver {
            version: driver.to_string(),
            kernel_module_version: None,
            cuda_version: catalog.cuda_level_of(driver).map(|level| level.to_string()),
            fault: None,
        }),
        gpus: gpus.collect(),
        engine: Engine {
            endpoint: String::new(),
            version: None,
            api_version: None,
            storage_driver: None,
            image_store: None,
            runtimes: Vec::new(),
            data_root: None,
            data_root_free_bytes: None,
            fault: None,
        },
        gpu_modes: Vec::new(),
        runtime_mode: None,
        images: Vec::new(),
        labels: host.labels.clone(),
        warnings: Vec::new(),
        sources: Vec::new(),
    }
}

fn usage(error: impl std::fmt::Display) -> Error {
    Error::Usage(error.to_string())
}
