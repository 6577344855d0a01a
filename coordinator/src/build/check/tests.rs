//! Judging facts.

use tfleet_compat::CudaStack;
use tfleet_proto::model::digest::Digest;

use super::expectation::ExpectedTensorflow;
use super::*;
use crate::build::lock::{Finish, LockFormat, LockedBase, LockedWheel, TEMPLATE};
use crate::build::{Group, GroupKind, Lock};

fn expectation() -> Expectation {
    Expectation {
        python: "3.11".to_owned(),
        distributions: [("six", "1.17.0"), ("tensorflow", "2.15.1")]
            .map(|(name, version)| (name.to_owned(), version.to_owned()))
            .into(),
        tensorflow: Some(ExpectedTensorflow {
            version: "2.15.1".to_owned(),
            built_for: Some("12.2".to_owned()),
            needs_driver: false,
        }),
        hosts: vec![("a package index", "mirror.example:8080".to_owned())],
        asked_variables: ["ASKED".to_owned()].into(),
        base_environment: ["HTTP_PROXY=of-the-base".to_owned()].into(),
        base_history: ["RUN http_proxy=of-the-base".to_owned()].into(),
        base_files: [(
            "/etc/pip.conf".to_owned(),
            Digest::of(b"index-url = of the base"),
        )]
        .into(),
        bashrc: Some(Digest::of(b"export http_proxy=of-the-site")),
        ..Expectation::default()
    }
}

fn versions(versions: &[(&str, &str)]) -> Fact {
    Fact::Distributions {
        versions: versions
            .iter()
            .map(|(name, version)| ((*name).to_owned(), (*version).to_owned()))
            .collect(),
    }
}

fn tensorflow(version: &str, is_cuda_build: bool, cuda_version: Option<&str>) -> Fact {
    Fact::Tensorflow {
        version: version.to_owned(),
        is_cuda_build,
        cuda_version: cuda_version.map(str::to_owned),
        seconds: 2.5,
    }
}

fn library(name: &str, error: Option<&str>) -> Fact {
    Fact::Library {
        name: name.to_owned(),
        path: format!("/lib/{name}"),
        error: error.map(str::to_owned),
    }
}

fn good() -> Vec<Fact> {
    vec![
        Fact::Python {
            version: "3.11.2".to_owned(),
        },
        versions(&[("six", "1.17.0"), ("tensorflow", "2.15.1"), ("more", "1")]),
        tensorflow("2.15.1", true, Some("12.2")),
        library("libcudart.so.12", None),
        Fact::End,
    ]
}

/// The problems of facts of which one is another.
fn problems(place: usize, other: Fact) -> Vec<String> {
    let mut facts = good();
    facts[place] = other;
    let problems = expectation().problems(&facts, 0);
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn an_image_that_is_what_its_lock_says_has_no_problems() {
    assert_eq!(expectation().problems(&good(), 0), []);
    // What only a host's driver has.
    let without_driver = "libcuda.so.1: cannot open shared object file: No such file or directory";
    let of_driver = library("libcudart.so.12", Some(without_driver));
    assert!(problems(3, of_driver).is_empty());
    // In cuDNN's words, which opens the driver's library by its other name.
    let of_cudnn = |library: &str| {
        format!(
            "Could not load library libcudnn_cnn_infer.so.8. Error: {library}: cannot open shared object file: No such file \
             or directory"
        )
    };
    let driver = library("libcudnn.so.8", Some(&of_cudnn("libcuda.so")));
    assert!(problems(3, driver).is_empty());
    let nvrtc = library("libcudnn.so.8", Some(&of_cudnn("libnvrtc.so")));
    assert!(problems(3, nvrtc)[0].contains("libnvrtc.so: cannot open"));
    let import = format!("ImportError: {without_driver}");
    let failed = Fact::TensorflowFailed { error: import };
    assert_eq!(problems(2, failed.clone()).len(), 1);
    let mut linked = expectation();
    linked.tensorflow.as_mut().unwrap().needs_driver = true;
    assert!(linked.problems(&[failed, Fact::End], 0).is_empty());
    // Where the lock has a compat package, the image has it itself.
    let lost = problems(3, library("libcuda.so.1", Some(without_driver)));
    assert!(
        lost[0].starts_with("libcuda.so.1, which TensorFlow opens"),
        "{lost:?}"
    );
}

#[test]
fn each_difference_is_told_with_both_sides() {
    let other_python = Fact::Python {
        version: "3.12.1".to_owned(),
    };
    assert_eq!(
        problems(0, other_python),
        ["its Python is 3.12.1, the lock says 3.11"]
    );
    assert_eq!(
        problems(1, versions(&[("six", "1.16.0")])),
        [
            "six is 1.16.0, the lock says 1.17.0",
            "tensorflow is not installed, the lock says 2.15.1"
        ]
    );
    assert_eq!(
        problems(2, tensorflow("2.14.0", false, None)),
        [
            "TensorFlow says that it is 2.14.0, the lock says 2.15.1",
            "TensorFlow was built for the CPU, the recipe is for CUDA"
        ]
    );
    assert_eq!(
        problems(2, tensorflow("2.15.1", true, Some("11.8"))),
        ["TensorFlow was built for CUDA 11.8, the recipe says 12.2"]
    );
    let missing = "libmissing.so.3: cannot open shared object file: No such file or directory";
    assert_eq!(
        problems(3, library("libcublas.so.12", Some(missing))),
        [format!(
            "libcublas.so.12, which TensorFlow opens, does not load: {missing}"
        )]
    );
}

#[test]
fn a_check_that_dies_says_where() {
    let mut facts = good();
    facts.truncate(2);
    facts.push(Fact::Begin {
        what: "importing TensorFlow".to_owned(),
    });
    let problems = expectation().problems(&facts, 132);
    let [problem] = problems.as_slice() else {
        panic!("{problems:?}");
    };
    assert_eq!(
        problem.to_string(),
        "it ended with status 132 while importing TensorFlow"
    );
    assert!(problem.remedy().contains("AVX"));
    let failure = BuildError::Check { problems }.failure();
    assert_eq!(failure.code, "check-failed");
    assert!(failure.remedy.unwrap().ends_with("then build again"));
}

fn left(facts: &[Fact], environment: &[&str], history: &[&str]) -> Vec<String> {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let remains = Remains {
        environment: texts(environment),
        history: texts(history),
    };
    let problems = expectation().leftovers(facts, &remains);
    problems.iter().map(ToString::to_string).collect()
}

fn file(path: &str, text: &str) -> Fact {
    Fact::File {
        path: path.to_owned(),
        text: text.to_owned(),
    }
}

#[test]
fn what_the_site_lent_is_found_where_programs_keep_it() {
    let files = [
        file(
            "/etc/apt/apt.conf.d/50proxy",
            "Acquire::http::Proxy \"http://p:3128\";\n",
        ),
        file(
            "/etc/environment",
            "PATH=/bin\nhttps_proxy = http://p:3128\n",
        ),
        file(
            "/root/.config/pip/pip.conf",
            "[global]\nindex-url = http://other/simple\n",
        ),
        file(
            "/etc/apt/sources.list",
            "deb http://mirror.example:8080/debian bookworm main\n",
        ),
    ];
    let places: Vec<_> = left(&files, &[], &[]);
    assert_eq!(places.len(), 4, "{places:?}");
    assert!(places[3].contains("the address of a package index is left in /etc/apt/sources.list"));
    assert_eq!(
        left(
            &[],
            &[
                "http_proxy=http://p:3128",
                "WHERE=http://mirror.example:8080/",
                "PATH=/bin"
            ],
            &["RUN |1 HTTPS_PROXY=http://p:3128 /bin/sh -c pip install six"]
        ),
        [
            "a setting for where to fetch from is left in the variable http_proxy",
            "the address of a package index is left in the variable WHERE",
            "a proxy is left in the image's history"
        ]
    );
}

#[test]
fn what_the_base_has_or_somebody_asked_for_stays() {
    let files = [
        file("/etc/pip.conf", "index-url = of the base"),
        file("/root/.bashrc", "export http_proxy=of-the-site"),
        file(
            "/etc/wgetrc",
            "# https_proxy = http://proxy.yoyodyne.com:18023/\n",
        ),
        file(
            "/etc/apt/sources.list",
            "deb http://deb.example/debian bookworm main\n",
        ),
    ];
    let environment = ["HTTP_PROXY=of-the-base", "ASKED=http://mirror.example:8080"];
    let history = [
        "RUN http_proxy=of-the-base",
        "ENV ASKED=http://mirror.example:8080",
        "RUN pip install --index-url https://wheels.example/simple six",
    ];
    assert!(left(&files, &environment, &history).is_empty());
}

#[test]
fn a_line_of_the_program_is_a_fact_and_any_other_is_not() {
    let line = r#"{"name": "libcudart.so.12", "path": "/a", "error": null, "fact": "library"}"#;
    let fact = read_fact(line).unwrap();
    assert_eq!(fact.in_words().unwrap(), "libcudart.so.12 loads, from /a");
    for line in ["", "2026-11-27 I tensorflow/core", "{\"fact\": \"other\"}"] {
        assert_eq!(read_fact(line), None, "{line}");
    }
}

#[test]
fn configuration_files_are_known_by_their_paths() {
    for path in [
        "/etc/pip.conf",
        "/etc/apt/apt.conf.d/99proxy",
        "/home/me/.netrc",
    ] {
        assert!(is_configuration(path), "{path}");
    }
    for path in [
        "/etc/pip.conf/x",
        "/etc/apt/apt.conf.d",
        "/home/.netrc",
        "/etc/passwd",
    ] {
        assert!(!is_configuration(path), "{path}");
    }
}

fn opened(built_for: &str, cudnn: &str, wheels: &[&str]) -> Vec<String> {
    let stack = CudaStack {
        installed: "11.8.0".parse().unwrap(),
        built_for: built_for.parse().unwrap(),
        cudnn: cudnn.parse().unwrap(),
        needs_library_path: true,
        compat: None,
    };
    libraries::opened(&stack, &lock(wheels))
}

fn lock(wheels: &[&str]) -> Lock {
    let wheel = |name: &&str| LockedWheel {
        name: (*name).to_owned(),
        version: "1".to_owned(),
        file: String::new(),
        sha256: Digest::of(b""),
        size_bytes: 1,
        url: None,
    };
    Lock {
        format: LockFormat::V1,
        template: TEMPLATE,
        recipe: String::new(),
        architecture: tfleet_compat::Architecture::X86_64,
        python: "3.11".to_owned(),
        base: LockedBase {
            artifact: Digest::of(b""),
            diff_ids: Vec::new(),
            packages: BTreeMap::new(),
        },
        groups: vec![Group {
            kind: GroupKind::Cuda,
            wheels: wheels.iter().map(wheel).collect(),
        }],
        environment: BTreeMap::new(),
        ports: Vec::new(),
        bashrc: None,
        library_path: false,
        finish: Finish::default(),
        compat: None,
    }
}

#[test]
fn the_libraries_are_those_of_the_cuda_that_tensorflow_was_built_for() {
    let has = |names: Vec<String>, name: &str| names.iter().any(|found| found == name);
    let new = opened("12.2", "8.9.4.25", &["nvidia-nvjitlink-cu12"]);
    assert_eq!(new[0], "libcudart.so.12");
    assert!(has(new.clone(), "libcudnn_ops_infer.so.8") && has(new.clone(), "libnvJitLink.so.12"));
    assert!(!has(new, "libcupti.so.12"), "the lock has no such wheel");
    assert!(has(opened("12.5", "9.3.0.75", &[]), "libcudnn_graph.so.9"));
    // Built for 11.2, and 11.8 is installed: the sonames are the same.
    let old = opened("11.2", "8.6.0.163", &[]);
    assert!(has(old.clone(), "libcusolver.so.11") && has(old, "libcurand.so.10"));
    assert!(has(opened("11.0", "8.0.5.39", &[]), "libcusolver.so.10"));
    assert_eq!(opened("10.1", "7.6.5", &[])[1], "libcublas.so.10");
}

#[test]
fn every_recipe_for_gpus_has_its_row() {
    let catalog = tfleet_compat::Catalog::builtin();
    let mut seen = 0;
    for release in catalog.tensorflow_releases() {
        let latest = release.latest().unwrap();
        let architecture = tfleet_compat::Architecture::X86_64;
        let recipe = tfleet_compat::Recipe::for_gpu(catalog, release, latest, architecture);
        let Some(stack) = recipe.ok().and_then(|recipe| recipe.cuda) else {
            continue;
        };
        let names = libraries::opened(&stack, &lock(&[]));
        let of = |start: &str| names.iter().any(|name| name.starts_with(start));
        assert!(of("libcudart.so") && of("libcudnn.so"), "{latest}");
        seen += 1;
    }
    assert!(seen > 10, "{seen}");
}
