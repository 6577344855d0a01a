//! What works without a coordinator, by the real program: `tfleet compat`, `tfleet plan --offline`, `tfleet schema`. Whatever
//! is printed as JSON is held against the schema that the program ships.

#![expect(clippy::unwrap_used, reason = "a test stops where it cannot go on")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

fn tfleet(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tfleet"))
        .args(arguments)
        .env_remove("TFLEET_CREDENTIALS")
        .output()
        .unwrap()
}

/// The command's JSON, which its schema describes.
fn answer(schema: &str, arguments: &[&str]) -> Value {
    let output = tfleet(&[arguments, &["--output", "json"]].concat());
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let value = serde_json::from_slice(&output.stdout).unwrap();
    assert_valid(schema, &value);
    value
}

fn refusal(arguments: &[&str]) -> String {
    let output = tfleet(arguments);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn assert_valid(schema: &str, value: &Value) {
    let faults = faults(schema, value);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn faults(schema: &str, value: &Value) -> Vec<String> {
    let schema = tfleet(&["schema", schema]);
    let schema: Value = serde_json::from_slice(&schema.stdout).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    validator
        .iter_errors(value)
        .map(|fault| format!("{}: {fault}", fault.instance_path()))
        .collect()
}

fn fleet_of_400() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../compat/tests/fixtures/fleet-400.json")
}

fn file(folder: &tempfile::TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn compat_answers_for_a_t4_on_r470() {
    let answer = answer(
        "compat",
        &["compat", "--driver", "470.82.01", "--gpu", "Tesla T4"],
    );
    assert_eq!(answer["gpu_supported_by_driver"], true);
    assert_eq!(
        answer["cuda"],
        json!({"native": "11.4", "native_release": "11.4.4", "minor": "11.8", "forward": "12.8"})
    );
    let tensorflow = &answer["tensorflow"];
    assert_eq!(tensorflow["newest"], "2.14.1");
    assert_eq!(tensorflow["newest_strict"], "2.14.1");
    assert_eq!(tensorflow["newest_forward"], "2.21.0");
    assert_eq!(tensorflow["supported"][0], "2.14.1");
    assert_eq!(answer["cudnn_below"], Value::Null);
    assert_eq!(answer["image"], Value::Null);
    let reasons = answer["reasons"].as_array().unwrap();
    assert!(reasons.iter().any(|reason| {
        let fact = reason["fact"].as_str().unwrap();
        fact.contains("470.82.01 < 525.60.13")
    }));
}

#[test]
fn where_the_driver_has_dropped_the_gpu_everything_else_is_null() {
    let answer = answer(
        "compat",
        &["compat", "--driver", "590.48.01", "--gpu", "V100"],
    );
    assert_eq!(answer["gpu_supported_by_driver"], false);
    for key in ["cuda", "tensorflow", "cudnn_below", "image"] {
        assert_eq!(answer[key], Value::Null, "{key}");
    }
    let why = answer["reasons"][0]["fact"].as_str().unwrap();
    assert!(why.contains("R580 is the last branch"), "{why}");
}

#[test]
fn compat_takes_what_the_name_does_not_say() {
    let unknown = ["compat", "--driver", "535.183.01", "--gpu", "Quantum 9000"];
    assert!(refusal(&unknown).contains("no GPU called \"Quantum 9000\" is known"));
    let of_class = |class: &str| {
        let more = ["--compute-capability", "8.6", "--class", class];
        answer("compat", &[&unknown[..], &more].concat())["cuda"].clone()
    };
    assert_eq!(of_class("datacenter")["native"], "12.2");
    assert_eq!(of_class("datacenter")["forward"], "13.4");
    // A consumer's board has no forward compatibility, whatever it is.
    assert_eq!(of_class("consumer")["forward"], Value::Null);
}

#[test]
fn where_no_wheel_computes_on_gpus_the_newest_says_so() {
    let gpu = ["compat", "--driver", "570.124.06", "--gpu", "GH200"];
    let answer = answer("compat", &[&gpu[..], &["--arch", "aarch64"]].concat());
    assert_eq!(answer["tensorflow"]["supported"], json!([]));
    let reasons = answer["reasons"].as_array().unwrap();
    let last = reasons.last().unwrap();
    assert_eq!(last["rule"], "architecture");
    assert!(
        last["fact"].as_str().unwrap().contains("TensorFlow 2.21"),
        "{last}"
    );
}

#[test]
fn a_cpu_without_avx_is_told_beforehand() {
    let newest = |flags: &str| {
        let base = ["compat", "--driver", "535.183.01", "--gpu", "T4"];
        let answer = answer("compat", &[&base[..], &["--cpu-flags", flags]].concat());
        answer["tensorflow"]["newest"].as_str().unwrap().to_owned()
    };
    // AVX is needed from 1.6 on.
    assert!(newest("fpu,sse4_2").starts_with("1.5"));
    assert_eq!(newest("fpu sse4_2 avx"), "2.21.0");
}

#[test]
fn bad_input_ends_with_2_and_says_what_is_wrong() {
    let t4 = ["compat", "--driver", "470.82.01", "--gpu", "T4"];
    for (arguments, why) in [
        (
            &["compat", "--driver", "new", "--gpu", "T4"][..],
            "is not a driver version",
        ),
        (
            &["compat", "--driver", "470.82.01", "--gpu", "RTX 4000"],
            "could be any of",
        ),
        (&[&t4[..], &["--class", "toy"]].concat(), "is not a class"),
        (&[&t4[..], &["--arch", "sparc"]].concat(), "x86_64"),
        (&["compat", "--gpu", "T4"], "--driver"),
        (&["plan", "--offline"], "--hosts"),
        (&["plan", "train", "--hosts", "x.json"], "--offline"),
        (&["plan"], "--tensorflow"),
    ] {
        let said = refusal(arguments);
        assert!(said.contains(why), "{arguments:?}: {said}");
    }
}

#[test]
fn a_fleet_of_400_is_planned_from_its_file() {
    let hosts = fleet_of_400();
    let text = std::fs::read_to_string(&hosts).unwrap();
    assert_valid("hosts", &serde_json::from_str(&text).unwrap());
    let hosts = hosts.to_str().unwrap();
    let arguments = [
        "plan",
        "--offline",
        "--hosts",
        hosts,
        "--tensorflow",
        ">=2.12",
    ];
    let plan = answer("plan", &arguments);
    let count = |key: &str| plan[key].as_array().unwrap().len();
    assert_eq!(count("assignments") + count("unplaced"), 400);
    assert_eq!(plan["exact"], true);
    for variant in plan["variants"].as_array().unwrap() {
        for key in [
            "id",
            "tensorflow",
            "cuda",
            "cudnn",
            "python",
            "base",
            "architecture",
        ] {
            assert!(variant.get(key).is_some(), "{key} in {variant}");
        }
    }
    let table = String::from_utf8(tfleet(&arguments).stdout).unwrap();
    assert!(
        table.lines().count() < 120,
        "400 hosts fit some screens:\n{table}"
    );
}

#[test]
fn a_saved_plan_is_what_runs_and_what_changes_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let hosts = |driver: &str| {
        let gpus = json!([{"name": "Tesla T4"}]);
        json!([
            {"name": "a", "driver_version": driver, "gpus": gpus, "labels": {"rack": "7"}},
            {"name": "b", "driver_version": "470.82.01", "gpus": gpus},
        ])
        .to_string()
    };
    let old = file(&folder, "old.json", &hosts("470.82.01"));
    let new = file(&folder, "new.json", &hosts("535.183.01"));
    let plan = |hosts: &str, more: &[&str]| {
        let base = ["plan", "--offline", "--tensorflow", ">=2.14,<2.16"];
        answer("plan", &[&base[..], &["--hosts", hosts], more].concat())
    };
    let saved = file(&folder, "plan.json", &plan(&old, &[]).to_string());
    let kept = plan(&new, &["--running", &saved]);
    assert_eq!(kept["changes"]["moves"], json!([]));
    let moved = plan(&new, &["--running", &saved, "--rebalance"]);
    assert_eq!(
        moved["changes"]["moves"],
        json!([{"from": "tf2.14.1-cuda11.8", "to": "tf2.15.1-cuda12.2", "hosts": ["a"]}])
    );
    let change = "driver=535.183.01 on label.rack=7";
    let what_if = plan(&old, &["--rebalance", "--what-if", change]);
    let what_if = &what_if["what_if"][0];
    assert_eq!(what_if["hosts"], 1);
    assert_eq!(what_if["changes"]["added"], json!(["tf2.15.1-cuda12.2"]));
}

#[test]
fn a_policy_file_decides_and_a_flag_wins_over_it() {
    let folder = tempfile::tempdir().unwrap();
    let hosts = json!([
        {"name": "a100", "driver_version": "470.82.01", "gpus": [{"name": "A100-SXM4-40GB"}]},
        {"name": "mixed", "driver_version": "525.85.12", "gpus": [{"name": "RTX 5090"}, {"name": "Tesla T4"}]},
        {"name": "none", "driver_version": null},
    ]);
    let hosts = file(&folder, "hosts.json", &hosts.to_string());
    let policy = "forward_compatibility = true\nmixed_gpus = \"some\"\n";
    let policy = file(&folder, "policy.toml", policy);
    let plan = |more: &[&str]| {
        let base = ["plan", "--offline", "--hosts", &hosts];
        let base = [&base[..], &["--tensorflow", ">=2.15"]].concat();
        answer("plan", &[&base[..], more].concat())
    };
    assert_eq!(plan(&[])["unplaced"].as_array().unwrap().len(), 2);
    let with = plan(&["--policy", &policy]);
    assert_eq!(with["unplaced"], json!([]));
    let assigned = |host: &str| {
        let all = with["assignments"].as_array().unwrap();
        all.iter().find(|one| one["host"] == host).unwrap()
    };
    assert_eq!(assigned("a100")["compatibility"], "forward");
    assert_eq!(assigned("mixed")["left_out_gpus"][0]["gpu"], "RTX 5090");
    let variants = with["variants"].as_array().unwrap();
    assert!(variants.iter().any(|one| one["compat_package"].is_string()));
    let pinned = plan(&["--policy", &policy, "--prefer", "2.16.2"]);
    for assignment in pinned["assignments"].as_array().unwrap() {
        let variant = assignment["variant"].as_str().unwrap();
        assert!(variant.starts_with("tf2.16.2"), "{assignment}");
    }
    let misspelt = file(&folder, "misspelt.toml", "forward = true\n");
    let said = refusal(&[
        "plan",
        "--offline",
        "--hosts",
        &hosts,
        "--policy",
        &misspelt,
    ]);
    assert!(said.contains("unknown field"), "{said}");
}

#[test]
fn one_host_is_explained() {
    let hosts = fleet_of_400();
    let plan = ["plan", "--offline", "--hosts", hosts.to_str().unwrap()];
    let explain = ["--explain", "lyon-001"];
    let explanation = answer("explanation", &[&plan[..], &explain].concat());
    assert_eq!(explanation["host"], "lyon-001");
    let considered = explanation["considered"].as_array().unwrap();
    assert!(considered.iter().any(|one| one["compatibility"] == "minor"));
    let refused = considered
        .iter()
        .find(|one| one["refusal"].is_object())
        .unwrap();
    for key in ["rule", "fact", "source"] {
        assert!(
            !refused["refusal"][key].as_str().unwrap().is_empty(),
            "{key}"
        );
    }
    assert!(refused["remedy"].is_string());
}

#[test]
fn a_list_that_is_none_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    for (text, why) in [
        ("{}", "is not a list of hosts"),
        (r#"[{"name": "a"}]"#, "missing field `driver_version`"),
        (
            r#"[{"name": "a", "driver_version": null, "gpu": []}]"#,
            "unknown field `gpu`",
        ),
        (
            r#"[{"name": "a", "driver_version": "x"}]"#,
            "is not a driver version",
        ),
        (
            r#"[{"name": "a", "driver_version": "535.1", "gpus": [{"name": "T4", "health": {"failed": {}}}]}]"#,
            "missing field `reason`",
        ),
        (
            r#"[{"name": "a", "driver_version": "535.1", "driver_health": {"state": "failed"}}]"#,
            "missing field `reason`",
        ),
    ] {
        let hosts = file(&folder, "hosts.json", text);
        let said = refusal(&["plan", "--offline", "--hosts", &hosts]);
        assert!(said.contains(why) && said.contains("line 1"), "{said}");
        let value = serde_json::from_str(text).unwrap();
        assert!(
            !faults("hosts", &value).is_empty(),
            "the schema takes {text}"
        );
    }
}

#[test]
fn a_file_that_is_not_there_is_bad_input() {
    let missing = ["plan", "--offline", "--hosts", "/nowhere/hosts.json"];
    assert!(refusal(&missing).contains("/nowhere/hosts.json"));
}
