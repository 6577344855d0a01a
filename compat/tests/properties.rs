//! What must hold for every driver, GPU and fleet.

#![expect(clippy::unwrap_used, reason = "a test stops where it cannot go on")]

mod fleet;
mod one_host;

use std::collections::{BTreeMap, BTreeSet};

use fleet::{plan, question, spec};
use one_host::{gpu_host, host};
use proptest::prelude::*;
use tfleet_compat::levels::levels;
use tfleet_compat::{
    Architecture, Assignment, Catalog, Compatibility, Consideration, DriverVersion, Gpu, HostFacts,
    MixedGpus, Policy, Preference, PtxReading, TensorflowVersion, Verdict, check_on, rules,
};

/// Drivers as they were really released, old to new, with some betas between.
const DRIVERS: [&str; 34] = [
    "367.48",
    "375.26",
    "384.81",
    "390.46",
    "390.48",
    "396.26",
    "410.48",
    "418.39",
    "418.87.01",
    "440.33.01",
    "440.100",
    "450.36.06",
    "450.51.06",
    "450.80.02",
    "460.27.03",
    "465.19.01",
    "470.57.02",
    "470.256.02",
    "495.29.05",
    "510.47.03",
    "515.65.01",
    "520.61.05",
    "525.60.13",
    "530.30.02",
    "535.43.02",
    "535.54.03",
    "535.183.01",
    "545.23.06",
    "550.54.15",
    "560.35.05",
    "570.124.06",
    "580.95.05",
    "590.48.01",
    "610.43.02",
];

const GPUS: [&str; 15] = [
    "Tesla K80",
    "Tesla M40",
    "Tesla P100-PCIE-16GB",
    "Tesla V100-SXM2-16GB",
    "Tesla T4",
    "NVIDIA A100-SXM4-40GB",
    "NVIDIA A10",
    "NVIDIA L4",
    "NVIDIA H100 PCIe",
    "NVIDIA B200",
    "GeForce GTX 680",
    "GeForce GTX 1080 Ti",
    "NVIDIA GeForce RTX 3090",
    "NVIDIA GeForce RTX 4090",
    "NVIDIA GeForce RTX 5090",
];

fn driver() -> impl Strategy<Value = DriverVersion> {
    prop_oneof![
        proptest::sample::select(&DRIVERS[..]).prop_map(|text| text.parse().unwrap()),
        (300..640_u32, 0..200_u32, 0..30_u32).prop_map(|(branch, minor, patch)| format!(
            "{branch}.{minor:02}.{patch:02}"
        )
        .parse()
        .unwrap()),
    ]
}

fn gpu() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(&GPUS[..])
}

fn constraint() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(
        &[
            ">=2.5",
            ">=2.14,<2.16",
            "<2.12,>=2",
            "==2.15.0",
            "~=2.17.0",
            ">=2.16",
        ][..],
    )
}

fn any_host() -> impl Strategy<Value = HostFacts> {
    prop_oneof![
        1 => Just(host("x")),
        6 => (driver(), proptest::collection::vec(gpu(), 1..3)).prop_map(|(driver, gpus)| {
            gpu_host("x", &driver.to_string(), &gpus)
        }),
        1 => gpu().prop_map(|name| {
            let mut host = host("x");
            host.gpus.push(Gpu::named(name));
            host
        }),
        1 => Just(host("x")).prop_map(|mut host| {
            host.architecture = Architecture::Aarch64;
            host
        }),
    ]
}

fn fleet_of(most: usize) -> impl Strategy<Value = Vec<HostFacts>> {
    proptest::collection::vec(any_host(), 0..most).prop_map(|mut hosts| {
        for (index, host) in hosts.iter_mut().enumerate() {
            host.name = format!("host-{index:03}").into();
        }
        hosts
    })
}

fn preferring(uniform: bool) -> Policy {
    let preference = if uniform {
        Preference::Uniform
    } else {
        Preference::Newest
    };
    Policy {
        preference,
        ..Policy::default()
    }
}

/// Whatever operators may decide; without `rebalance`, under which hosts move.
fn any_policy() -> impl Strategy<Value = Policy> {
    let preference = prop_oneof![
        Just(Preference::Newest),
        Just(Preference::Uniform),
        Just(Preference::Pinned("2.15".parse().unwrap())),
        Just(Preference::Pinned("2.14.0".parse().unwrap())),
    ];
    let mixed = prop_oneof![Just(MixedGpus::All), Just(MixedGpus::Some)];
    let reading = prop_oneof![Just(PtxReading::Strict), Just(PtxReading::Lenient)];
    (preference, mixed, reading, any::<bool>(), any::<bool>()).prop_map(
        |(preference, mixed_gpus, intermediate_code, cpu_fallback, forward_compatibility)| Policy {
            preference,
            rebalance: false,
            cpu_fallback,
            forward_compatibility,
            mixed_gpus,
            intermediate_code,
        },
    )
}

fn accepted_tensorflow(consideration: Consideration) -> Option<TensorflowVersion> {
    match consideration {
        Consideration::Recipe {
            tensorflow,
            verdict: Verdict::Accepted { .. },
            ..
        } => Some(tensorflow),
        _ => None,
    }
}

/// R535 is a long-term branch that compat packages run on, R545 a feature branch that none does.
#[test]
fn forward_compatibility_is_the_exception_to_that_a_newer_driver_never_serves_less() {
    let catalog = Catalog::builtin();
    let gpu = Gpu::named("NVIDIA A100-SXM4-80GB");
    let known = rules::gpu_known(catalog, &gpu).unwrap();
    let of = |driver: &str| {
        levels(
            catalog,
            &driver.parse().unwrap(),
            &known,
            Architecture::X86_64,
        )
        .unwrap()
    };
    let (older, newer) = (of("535.183.01"), of("545.23.08"));
    assert!(older.forward > newer.forward);
    assert!(older.tensorflow.newest_forward > newer.tensorflow.newest_forward);
    assert!(older.native < newer.native);
    assert!(older.minor <= newer.minor);
}

proptest! {
    #[test]
    fn a_newer_driver_never_serves_less_while_it_still_drives_the_gpu(gpu in gpu(), a in driver(), b in driver()) {
        let catalog = Catalog::builtin();
        let (older, newer) = if a <= b { (a, b) } else { (b, a) };
        let gpu = Gpu::named(gpu);
        let known = rules::gpu_known(catalog, &gpu).unwrap();
        let before = levels(catalog, &older, &known, Architecture::X86_64);
        let after = levels(catalog, &newer, &known, Architecture::X86_64);
        if let (Ok(before), Ok(after)) = (before, after) {
            prop_assert!(before.native <= after.native);
            prop_assert!(before.native_release <= after.native_release);
            prop_assert!(before.minor <= after.minor);
            prop_assert!(before.tensorflow.newest <= after.tensorflow.newest);
            for tensorflow in &before.tensorflow.supported {
                prop_assert!(after.tensorflow.supported.contains(tensorflow), "{tensorflow} is lost");
            }
        }
    }

    #[test]
    fn minor_version_compatibility_never_gives_less_than_native(gpu in gpu(), driver in driver()) {
        let catalog = Catalog::builtin();
        let gpu = Gpu::named(gpu);
        let known = rules::gpu_known(catalog, &gpu).unwrap();
        if let Ok(levels) = levels(catalog, &driver, &known, Architecture::X86_64) {
            prop_assert!(levels.native <= levels.minor);
            prop_assert!(levels.tensorflow.newest_strict <= levels.tensorflow.newest);
            prop_assert!(levels.forward.is_none() || levels.forward >= levels.minor);
        }
    }

    #[test]
    fn every_assignment_passes_the_check_that_the_agent_makes(
        hosts in fleet_of(12),
        constraint in constraint(),
        policy in any_policy(),
    ) {
        let catalog = Catalog::builtin();
        let plan = plan(catalog, &spec(constraint), &hosts, &policy, None).unwrap();
        let by_name: BTreeMap<_, _> = hosts.iter().map(|host| (&host.name, host)).collect();
        for assignment in &plan.assignments {
            let variant = plan.variant(&assignment.variant).unwrap();
            prop_assert!(variant.hosts.contains(&assignment.host));
            let verdict = check_on(
                catalog,
                by_name[&assignment.host],
                &variant.recipe,
                policy.terms(),
                None,
            );
            prop_assert_eq!(verdict.compatibility(), Some(assignment.compatibility));
            prop_assert_eq!(verdict.left_out(), assignment.left_out_gpus.as_slice());
            prop_assert!(!assignment.reason.is_empty());
        }
        for unplaced in &plan.unplaced {
            prop_assert!(!unplaced.reason.is_empty() && !unplaced.remedy.is_empty());
        }
        for upgrade in &plan.upgrades {
            prop_assert!(upgrade.last_branch.is_none_or(|last| last >= upgrade.to.branch()), "{upgrade}");
        }
        prop_assert_eq!(plan.assignments.len() + plan.unplaced.len(), hosts.len());
        prop_assert!(plan.variants.iter().all(|variant| !variant.hosts.is_empty()));
    }

    #[test]
    fn a_plan_does_not_depend_on_the_order_of_the_hosts(hosts in fleet_of(12), constraint in constraint()) {
        let catalog = Catalog::builtin();
        let mut shuffled = hosts.clone();
        shuffled.reverse();
        let once = plan(catalog, &spec(constraint), &hosts, &Policy::default(), None).unwrap();
        let again = plan(catalog, &spec(constraint), &shuffled, &Policy::default(), None).unwrap();
        prop_assert_eq!(&once, &again);
        let json = serde_json::to_string(&once).unwrap();
        prop_assert_eq!(serde_json::from_str::<tfleet_compat::Plan>(&json).unwrap(), once);
    }

    #[test]
    fn changing_one_host_moves_no_other(
        hosts in fleet_of(10),
        changed in any_host(),
        constraint in constraint(),
        policy in any_policy(),
    ) {
        prop_assume!(!hosts.is_empty());
        let catalog = Catalog::builtin();
        let spec = spec(constraint);
        let before = plan(catalog, &spec, &hosts, &policy, None).unwrap();
        let mut hosts = hosts;
        let name = std::mem::replace(&mut hosts[0], changed).name;
        hosts[0].name = name;
        let after = plan(catalog, &spec, &hosts, &policy, Some(&before)).unwrap();
        for host in &hosts[1..] {
            let variant = |plan: &tfleet_compat::Plan| plan.assignment(&host.name).map(|found| found.variant.clone());
            prop_assert_eq!(variant(&before), variant(&after));
        }
    }

    #[test]
    fn upgrading_to_the_driver_of_the_remedy_places_the_host(
        gpu in gpu(),
        driver in driver(),
        constraint in constraint(),
    ) {
        let catalog = Catalog::builtin();
        let hosts = [gpu_host("left-out", &driver.to_string(), &[gpu])];
        let before = plan(catalog, &spec(constraint), &hosts, &Policy::default(), None).unwrap();
        let advice = before.unplaced.first().and_then(|unplaced| {
            unplaced.remedy.strip_prefix("upgrade the driver to ≥ ").and_then(|rest| rest.split_once(' '))
        });
        if let Some((needed, _)) = advice {
            let upgraded = [gpu_host("left-out", needed, &[gpu])];
            let after = plan(catalog, &spec(constraint), &upgraded, &Policy::default(), None).unwrap();
            prop_assert!(after.unplaced.is_empty(), "{:?}", after.unplaced);
        }
    }

    #[test]
    fn a_uniform_plan_needs_no_more_tensorflows_than_the_best_of_all_choices(hosts in fleet_of(6)) {
        let catalog = Catalog::builtin();
        let (spec, policy) = (spec(">=2.14"), preferring(true));
        let plan = plan(catalog, &spec, &hosts, &policy, None).unwrap();
        let used: BTreeSet<_> = plan.variants.iter().map(|variant| &variant.recipe.tensorflow).collect();
        let accepted: Vec<BTreeSet<TensorflowVersion>> = hosts
            .iter()
            .map(|host| question(catalog, &spec, &policy).explain(host).unwrap())
            .map(|considered| considered.into_iter().filter_map(accepted_tensorflow).collect())
            .filter(|accepted: &BTreeSet<_>| !accepted.is_empty())
            .collect();
        let all: Vec<_> = accepted.iter().flatten().collect::<BTreeSet<_>>().into_iter().collect();
        let fewest = (0..1_u32 << all.len())
            .filter(|choice| {
                let picked = |version| all.iter().position(|other| *other == version).is_some_and(|at| choice >> at & 1 == 1);
                accepted.iter().all(|versions| versions.iter().any(picked))
            })
            .map(u32::count_ones)
            .min()
            .unwrap();
        prop_assert_eq!(used.len(), fewest as usize);
        prop_assert_eq!(plan.assignments.len(), accepted.len(), "as many hosts are served as can be");
    }

    #[test]
    fn a_host_falls_back_to_the_cpu_only_if_nothing_serves_its_gpus(hosts in fleet_of(6), uniform: bool) {
        let catalog = Catalog::builtin();
        let (spec, policy) = (spec(">=2.5"), preferring(uniform));
        let without = plan(catalog, &spec, &hosts, &policy, None).unwrap();
        let fallback = Policy { cpu_fallback: true, ..policy };
        let with = plan(catalog, &spec, &hosts, &fallback, None).unwrap();
        for assignment in &without.assignments {
            let on_cpu = |found: &Assignment| found.compatibility == Compatibility::Cpu;
            prop_assert_eq!(with.assignment(&assignment.host).map(on_cpu), Some(on_cpu(assignment)));
        }
    }

    #[test]
    fn reading_a_catalog_file_never_panics(text in "\\PC{0,200}") {
        let _ = Catalog::builtin().with_overlay("site.toml", &text);
    }

    #[test]
    fn looking_up_a_gpu_by_any_text_never_panics(text in "\\PC{0,60}") {
        let _ = Catalog::builtin().gpu(&text);
    }
}
