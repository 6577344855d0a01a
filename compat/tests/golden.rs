//! The worked cases of `golden.toml` against the levels that the rules give.

#![expect(clippy::unwrap_used, reason = "a test stops where it cannot go on")]

use serde::Deserialize;
use tfleet_compat::levels::{Levels, levels};
use tfleet_compat::{
    Architecture, Catalog, ComputeCapability, CudaVersion, DriverVersion, Gpu, Rule, rules,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Golden {
    case: Vec<Case>,
    /// The business of `gates.rs`.
    #[serde(rename = "image_gate_case")]
    _gates: serde::de::IgnoredAny,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    id: String,
    gpu: String,
    cc: ComputeCapability,
    driver: DriverVersion,
    datacenter: bool,
    status: String,
    native_cuda: Option<String>,
    native_release: Option<String>,
    mvc_cuda: Option<String>,
    forward_cuda: Option<String>,
    forward_cuda_min: Option<CudaVersion>,
    #[serde(rename = "forward_basis")]
    _forward_basis: Option<String>,
    newest_tf: Option<String>,
    newest_tf_strict: Option<String>,
    newest_tf_forward: Option<String>,
    #[serde(default)]
    cudnn_pin: bool,
    why: String,
    source: Vec<String>,
}

fn cases() -> Vec<Case> {
    toml::from_str::<Golden>(include_str!("golden.toml"))
        .unwrap()
        .case
}

/// The GPU as an old driver would give it: by name.
fn levels_of(case: &Case) -> Result<Levels, rules::Refusal> {
    let gpu = Gpu::named(&case.gpu);
    let known = rules::gpu_known(Catalog::builtin(), &gpu).unwrap();
    assert_eq!(known.capability(), case.cc, "{}", case.id);
    levels(
        Catalog::builtin(),
        &case.driver,
        &known,
        Architecture::X86_64,
    )
}

fn text<T: ToString>(value: Option<T>) -> Option<String> {
    value.map(|value| value.to_string())
}

#[test]
fn every_worked_case_holds() {
    for case in cases() {
        assert!(
            !case.source.is_empty(),
            "{} says where it comes from",
            case.id
        );
        let levels = match levels_of(&case) {
            Ok(levels) => levels,
            Err(refusal) => {
                assert_eq!(
                    case.status, "gpu-not-supported-by-driver",
                    "{}: {refusal}",
                    case.id
                );
                assert_eq!(refusal.rule, Rule::DriverSupportsGpu, "{}", case.id);
                continue;
            }
        };
        assert_eq!(case.status, "ok", "{}: {}", case.id, case.why);
        assert_eq!(
            text(levels.native),
            case.native_cuda,
            "{}: native, {}",
            case.id,
            case.why
        );
        assert_eq!(
            text(levels.native_release),
            case.native_release,
            "{}: release, {}",
            case.id,
            case.why
        );
        assert_eq!(
            text(levels.minor),
            case.mvc_cuda,
            "{}: minor, {}",
            case.id,
            case.why
        );
        let newest = case
            .newest_tf
            .as_deref()
            .filter(|version| *version != "none");
        let strict = case.newest_tf_strict.as_deref().or(newest);
        let tensorflow = &levels.tensorflow;
        assert_eq!(
            text(tensorflow.newest.as_ref()).as_deref(),
            newest,
            "{}: newest, {}",
            case.id,
            case.why
        );
        assert_eq!(
            text(tensorflow.newest_strict.as_ref()).as_deref(),
            strict,
            "{}: strict, {}",
            case.id,
            case.why
        );
        let cudnn_below = case.cudnn_pin.then(|| "9.11".to_owned());
        assert_eq!(
            text(levels.cudnn_below),
            cudnn_below,
            "{}: cuDNN, {}",
            case.id,
            case.why
        );
        if let Some(expected) = &case.forward_cuda {
            let expected = (expected != "n/a").then(|| expected.clone());
            assert_eq!(
                text(levels.forward),
                expected,
                "{}: forward, {}",
                case.id,
                case.why
            );
        }
        if let Some(least) = case.forward_cuda_min {
            assert!(
                levels.forward >= Some(least),
                "{}: forward {:?} < {least}",
                case.id,
                levels.forward
            );
        }
        if let Some(expected) = &case.newest_tf_forward {
            let newest = text(tensorflow.newest_forward.as_ref());
            assert_eq!(
                newest.as_ref(),
                Some(expected),
                "{}: newest by forward, {}",
                case.id,
                case.why
            );
        }
        assert_eq!(
            levels.forward.is_some(),
            case.datacenter,
            "{}: forward is for data-centre GPUs",
            case.id
        );
    }
}
