//! Which TensorFlow image runs on which host, and why not the others.
//!
//! Facts live in data files with a source per row ([`Catalog`]); each rule is one function that returns the fact that
//! decided ([`rules`]); [`check`] asks every rule about one host and one [`Recipe`]; [`plan`] chooses a recipe for
//! every host of a fleet. The coordinator plans with it, the agent asks the same [`check`] before it creates a
//! container, and the command line answers offline. Nothing here does I/O or reads a clock: equal inputs, equal answers.

pub mod catalog;
pub mod gate;
pub mod host;
pub mod levels;
pub mod planner;
pub mod recipe;
pub mod release;
pub mod require;
pub mod rules;
pub mod verdict;
pub mod version;

pub use catalog::{Catalog, CatalogError, GpuClass, GpuLookupError, ImageLookupError};
pub use gate::{GateAnswer, ImageGate, gate_answer};
pub use host::{
    Architecture, DriverHealth, Gpu, GpuHealth, GpuMode, HostFacts, HostName, RuntimeMode,
};
pub use planner::{
    Assignment, Consideration, Plan, PlanError, Policy, Unplaced, Variant, explain, plan,
};
pub use recipe::{BaseImage, CudaStack, Device, Recipe, RecipeGap, RecipeId};
pub use release::{Preference, ReleaseSpec, TensorflowConstraint};
pub use require::{Requirement, RequirementError};
pub use rules::{Finding, Refusal, Rule};
pub use verdict::{Compatibility, Verdict, check};
pub use version::{
    ComputeCapability, CudaRelease, CudaVersion, CudnnVersion, DriverVersion, GlibcVersion,
    PythonVersion, TensorflowMinor, TensorflowVersion, VersionError,
};
