//! Which TensorFlow image runs on which host, and why not the others.
//!
//! Facts live in data files with a source per row ([`Catalog`]); each rule is one function that returns the fact that
//! decided ([`rules`]); [`check`] asks every rule about one host and one [`Recipe`]; [`plan`] chooses a recipe for
//! every host of a fleet. The coordinator plans with it, the agent asks the same [`check`] before it creates a
//! container, and the command line answers offline. Nothing here does I/O or reads a clock: equal inputs, equal answers.

pub mod answer;
pub mod catalog;
pub mod change;
pub mod gate;
pub mod host;
pub mod levels;
pub mod planner;
pub mod policy;
pub mod recipe;
pub mod release;
pub mod require;
pub mod rules;
pub mod schema;
pub mod stock;
pub mod verdict;
pub mod version;

pub use answer::{Answer, CudaLevels};
pub use catalog::{Catalog, CatalogError, GpuClass, GpuLookupError, ImageLookupError};
pub use change::{HostChange, HostChangeError};
pub use gate::{GateAnswer, ImageGate, gate_answer};
pub use host::{
    Architecture, DriverHealth, Gpu, GpuHealth, GpuMode, HostFacts, HostName, RuntimeMode,
};
pub use planner::{
    Assigned, Assignment, Consideration, Effect, LeftOutGroup, LeftOutHost, Move, Plan, PlanDiff,
    PlanError, Question, Serving, Unplaced, Upgrade, Variant, drivers_that_do,
};
pub use policy::{MixedGpus, Policy, Preference, Terms};
pub use recipe::{BaseImage, CompatPackage, CudaStack, Device, Recipe, RecipeGap, RecipeId};
pub use release::{ReleaseSpec, TensorflowConstraint};
pub use require::{Requirement, RequirementError};
pub use rules::{Finding, PtxReading, Refusal, Rule};
pub use stock::Stock;
pub use verdict::{Compatibility, GpuLeftOut, Verdict, check, check_on};
pub use version::{
    ComputeCapability, CudaRelease, CudaVersion, CudnnVersion, DriverVersion, GlibcVersion,
    PythonVersion, TensorflowMinor, TensorflowVersion, VersionError,
};
