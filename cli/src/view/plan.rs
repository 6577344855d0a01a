//! A plan: which variants cover which hosts, and who is left out.

use serde::Serialize;
use tfleet_proto::wire;

use super::{Cell, Grid, Tabular, Tone};

#[derive(Debug, Clone, Default, Serialize)]
pub struct Plan {
    pub variants: Vec<PlannedVariant>,
    pub assignments: Vec<Assignment>,
    pub unplaced: Vec<Unplaced>,
}

#[derive(Debug, Clone, Serialize)]
pub struct PlannedVariant {
    pub id: String,
    pub tensorflow: String,
    /// `None`: CPU.
    pub cuda: Option<String>,
    pub cudnn: Option<String>,
    pub python: String,
    pub base: String,
    pub architecture: String,
}

#[derive(Debug, Clone, Serialize)]
pub struct Assignment {
    pub host: String,
    pub variant: String,
    pub compatibility: String,
    pub reason: String,
}

#[derive(Debug, Clone, Serialize)]
pub struct Unplaced {
    pub host: String,
    pub reason: String,
    pub remedy: String,
}

fn present(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

impl From<wire::Plan> for Plan {
    fn from(plan: wire::Plan) -> Self {
        let variant = |variant: wire::PlannedVariant| PlannedVariant {
            id: variant.id,
            tensorflow: variant.tensorflow,
            cuda: present(variant.cuda),
            cudnn: present(variant.cudnn),
            python: variant.python,
            base: variant.base,
            architecture: variant.architecture,
        };
        let assignment = |assignment: wire::Assignment| Assignment {
            host: assignment.host,
            variant: assignment.variant,
            compatibility: assignment.compatibility,
            reason: assignment.reason,
        };
        let unplaced = |unplaced: wire::Unplaced| Unplaced {
            host: unplaced.host,
            reason: unplaced.reason,
            remedy: unplaced.remedy,
        };
        Self {
            variants: plan.variants.into_iter().map(variant).collect(),
            assignments: plan.assignments.into_iter().map(assignment).collect(),
            unplaced: plan.unplaced.into_iter().map(unplaced).collect(),
        }
    }
}

impl Tabular for Plan {
    fn grids(&self) -> Vec<Grid> {
        let hosts_of = |id: &str| {
            self.assignments
                .iter()
                .filter(|assignment| assignment.variant == id)
                .count()
        };
        let variants = self.variants.iter().map(|variant| {
            vec![
                Cell::from(variant.id.as_str()),
                Cell::from(variant.tensorflow.as_str()),
                variant
                    .cuda
                    .as_ref()
                    .map_or_else(|| Cell::from("CPU"), |cuda| Cell::from(cuda.as_str())),
                Cell::maybe(variant.cudnn.as_ref()),
                Cell::from(variant.python.as_str()),
                Cell::from(variant.base.as_str()),
                Cell::from(variant.architecture.as_str()),
                Cell::from(hosts_of(&variant.id).to_string()),
            ]
        });
        let assignments = self.assignments.iter().map(|assignment| {
            vec![
                Cell::from(assignment.host.as_str()),
                Cell::from(assignment.variant.as_str()).toned(Tone::Good),
                Cell::from(assignment.compatibility.as_str()),
                Cell::from(assignment.reason.as_str()),
            ]
        });
        let unplaced = self.unplaced.iter().map(|unplaced| {
            vec![
                Cell::from(unplaced.host.as_str()).toned(Tone::Attention),
                Cell::from(unplaced.reason.as_str()),
                Cell::from(unplaced.remedy.as_str()),
            ]
        });
        let header = [
            "VARIANT",
            "TENSORFLOW",
            "CUDA",
            "CUDNN",
            "PYTHON",
            "BASE",
            "ARCHITECTURE",
            "HOSTS",
        ];
        let mut grids = vec![
            Grid::new(header)
                .when_empty("no variant fits any host")
                .with_rows(variants),
            Grid::new(["HOST", "GETS", "FIT", "BECAUSE"]).with_rows(assignments),
            Grid::new(["LEFT OUT", "BECAUSE", "REMEDY"]).with_rows(unplaced),
        ];
        let first = grids.remove(0);
        std::iter::once(first)
            .chain(grids.into_iter().filter(|grid| !grid.is_empty()))
            .collect()
    }
}
