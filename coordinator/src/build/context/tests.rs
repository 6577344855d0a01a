//! What the engine is given, read back.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use futures::TryStreamExt as _;
use tfleet_compat::Architecture;
use tfleet_proto::model::digest::Digest;

use super::*;
use crate::build::lock::{Finish, LockFormat, LockedBase, LockedCompat, LockedWheel, TEMPLATE};

fn wheel(name: &str) -> LockedWheel {
    LockedWheel {
        name: name.to_owned(),
        version: "1.0".to_owned(),
        file: String::new(),
        sha256: Digest::of(b"wheel"),
        size_bytes: 1,
        url: None,
    }
}

fn lock() -> Lock {
    Lock {
        format: LockFormat::V1,
        template: TEMPLATE,
        recipe: "tf2.10.1-cuda11.8".to_owned(),
        architecture: Architecture::X86_64,
        python: "3.9".to_owned(),
        base: LockedBase {
            artifact: Digest::of(b"base"),
            diff_ids: Vec::new(),
            packages: BTreeMap::new(),
        },
        groups: vec![
            Group {
                kind: GroupKind::Cuda,
                wheels: vec![
                    wheel("nvidia-cublas-cu11"),
                    wheel("nvidia-cuda-runtime-cu11"),
                ],
            },
            Group {
                kind: GroupKind::Tensorflow,
                wheels: vec![wheel("tensorflow")],
            },
        ],
        environment: [("GREETING".to_owned(), "a \"b\" $c \\d".to_owned())].into(),
        ports: vec![22, 8888],
        bashrc: Some("alias ll='ls -l'\n".to_owned()),
        library_path: true,
        finish: Finish::default(),
        compat: None,
    }
}

/// The context's files with their contents, made of what lies in `folder`.
async fn files(lock: &Lock, folder: &Path) -> BTreeMap<String, String> {
    let on_disk = |name: &str, content: &str| {
        let path = folder.join(Digest::of(name.as_bytes()).hex());
        std::fs::write(&path, content).unwrap();
        OnDisk {
            name: name.to_owned(),
            path,
            size_bytes: content.len() as u64,
        }
    };
    let survey = Survey {
        pythons: [("3.9".to_owned(), "/usr/bin/python3.9".to_owned())].into(),
        ..Survey::default()
    };
    let supplies = Supplies {
        wheels: [
            (GroupKind::Cuda, vec![on_disk(&long_name(), "libraries")]),
            (
                GroupKind::Tensorflow,
                vec![on_disk("tensorflow-1.0-cp39-cp39-linux_x86_64.whl", "")],
            ),
        ]
        .into(),
        uv: on_disk("uv", "the program"),
    };
    let context = context(lock, &stages(), &survey, &supplies).unwrap();
    let pieces: Vec<Bytes> = context.stream().try_collect().await.unwrap();
    let bytes = pieces.concat();
    assert_eq!(bytes.len() % BLOCK, 0);
    let mut archive = tar::Archive::new(bytes.as_slice());
    let mut files = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        files.insert(entry.path().unwrap().display().to_string(), text);
    }
    files
}

fn stages() -> Stages {
    Stages {
        base: "tfleet/base:1".to_owned(),
        compat: Some("tfleet/base:2".to_owned()),
    }
}

/// A wheel for many platforms has a name that no field of a tar header holds.
fn long_name() -> String {
    let platforms = "manylinux2014_x86_64.manylinux_2_17_x86_64.manylinux_2_28_x86_64";
    format!("nvidia_cublas_cu11-1.0-cp39-cp39-{platforms}.manylinux_2_34_x86_64.whl")
}

#[tokio::test]
async fn each_group_is_a_step_and_the_image_gets_what_was_asked() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(&lock(), folder.path()).await;
    let steps: Vec<_> = files["Dockerfile"].lines().collect();
    let packages = "/opt/tfleet/lib/python3.9/site-packages/nvidia";
    assert_eq!(steps[0], "FROM tfleet/base:1");
    assert_eq!(steps[1], "ENV PATH=/opt/tfleet/bin:$PATH");
    assert_eq!(
        steps[2],
        format!("ENV LD_LIBRARY_PATH={packages}/cublas/lib:{packages}/cuda_runtime/lib")
    );
    assert!(steps[3].ends_with("/run/tfleet/tools/install cuda /usr/bin/python3.9 /opt/tfleet"));
    assert!(
        steps[4].ends_with("/run/tfleet/tools/install tensorflow /usr/bin/python3.9 /opt/tfleet")
    );
    assert_eq!(
        steps[5..],
        [
            "COPY bashrc /root/.bashrc",
            r#"ENV GREETING="a \"b\" \$c \\d""#,
            "EXPOSE 22",
            "EXPOSE 8888"
        ]
    );
    assert_eq!(files["bashrc"], "alias ll='ls -l'\n");
    assert_eq!(files["tools/uv"], "the program");
    assert_eq!(files[&format!("wheels/cuda/{}", long_name())], "libraries");
    assert_eq!(
        files["wheels/tensorflow/tensorflow-1.0-cp39-cp39-linux_x86_64.whl"],
        ""
    );
    assert!(files["groups/cuda"].starts_with("nvidia-cublas-cu11==1.0 --hash=sha256:"));
}

#[tokio::test]
async fn xla_is_told_where_the_compilers_wheel_lies() {
    let folder = tempfile::tempdir().unwrap();
    let mut lock = lock();
    let nvcc = wheel("nvidia-cuda-nvcc-cu11");
    lock.groups[0].wheels.push(nvcc);
    let files = files(&lock, folder.path()).await;
    let told = "ENV XLA_FLAGS=--xla_gpu_cuda_data_dir=/opt/tfleet/lib/python3.9/site-packages/nvidia/cuda_nvcc";
    let steps: Vec<_> = files["Dockerfile"].lines().collect();
    assert_eq!(steps[3], told);
    // What the operator asks for stands below, and wins.
    assert!(
        steps
            .iter()
            .position(|step| step.starts_with("ENV GREETING"))
            .unwrap()
            > 3
    );
}

#[tokio::test]
async fn the_compat_package_lies_on_what_is_installed_and_comes_first_for_the_loader() {
    let folder = tempfile::tempdir().unwrap();
    let plain = files(&lock(), folder.path()).await;
    let lock = Lock {
        compat: Some(LockedCompat {
            package: "cuda-compat-12-8".to_owned(),
            driver: "570.124.06".parse().unwrap(),
            artifact: Digest::of(b"compat"),
            diff_ids: Vec::new(),
            folder: "/usr/local/cuda-12.8/compat".to_owned(),
        }),
        ..lock()
    };
    let with = files(&lock, folder.path()).await;
    let plain: Vec<_> = plain["Dockerfile"].lines().collect();
    let with: Vec<_> = with["Dockerfile"].lines().collect();
    // The layers before it are those of the image without it.
    assert_eq!(with[..5], plain[..5]);
    assert_eq!(
        with[5..7],
        [
            "COPY --from=tfleet/base:2 /usr/local/cuda-12.8/compat /usr/local/cuda-12.8/compat",
            "ENV LD_LIBRARY_PATH=/usr/local/cuda-12.8/compat${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}",
        ]
    );
    assert_eq!(with[7..], plain[5..]);
}

#[tokio::test]
async fn steps_mount_what_they_need_and_nothing_else_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(&lock(), folder.path()).await;
    let steps = files["Dockerfile"]
        .lines()
        .filter(|step| step.starts_with("RUN"));
    for (step, kind) in steps.zip(["cuda", "tensorflow"]) {
        let mounts = format!(
            "RUN --mount=type=tmpfs,target=/run --mount=type=bind,source=tools,target=/run/tfleet/tools \
             --mount=type=bind,source=groups/{kind},target=/run/tfleet/requirements.txt \
             --mount=type=bind,source=wheels/{kind},target=/run/tfleet/wheels /run/tfleet/tools/install"
        );
        assert!(step.starts_with(&mounts), "{step}");
    }
    let folders = ["groups", "tools", "wheels"];
    let plain = ["Dockerfile", "bashrc"];
    for path in files.keys() {
        let folder = path.split('/').next().unwrap_or_default();
        assert!(
            folders.contains(&folder) || plain.contains(&path.as_str()),
            "{path}"
        );
    }
    assert!(files["tools/install"].contains("--no-index"));
}

#[tokio::test]
async fn a_file_that_went_away_breaks_the_archive_off() {
    let folder = tempfile::tempdir().unwrap();
    let gone = OnDisk {
        name: "uv".to_owned(),
        path: folder.path().join("gone"),
        size_bytes: 1,
    };
    let supplies = Supplies {
        wheels: BTreeMap::new(),
        uv: gone,
    };
    let survey = Survey {
        pythons: [("3.9".to_owned(), "/usr/bin/python3.9".to_owned())].into(),
        ..Survey::default()
    };
    let context = context(&lock(), &stages(), &survey, &supplies).unwrap();
    let pieces: Result<Vec<Bytes>, _> = context.stream().try_collect().await;
    assert_eq!(pieces.unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[tokio::test]
async fn a_variable_that_cannot_stand_in_a_dockerfile_is_refused() {
    for (name, value) in [
        ("A B", "x"),
        ("1A", "x"),
        ("", "x"),
        ("A", "two\nRUN lines"),
    ] {
        assert!(dockerfile_word(name, value).is_err(), "{name:?}={value:?}");
    }
}
