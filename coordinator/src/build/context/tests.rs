//! What the engine is given, read back.

use std::collections::BTreeMap;
use std::io::Read as _;

use futures::TryStreamExt as _;
use tfleet_compat::Architecture;
use tfleet_proto::model::digest::Digest;

use super::*;
use crate::build::lock::{Finish, LockFormat, LockedBase, LockedWheel, TEMPLATE};
use crate::build::sources::Index;

fn wheel(name: &str) -> LockedWheel {
    LockedWheel {
        name: name.to_owned(),
        version: "1.0".to_owned(),
        file: String::new(),
        sha256: Digest::of(b"wheel"),
        size_bytes: 1,
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
        finish: Finish::default(),
    }
}

/// The context's files with their contents.
async fn files(lock: &Lock, sources: &Sources) -> BTreeMap<String, String> {
    let program = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(program.path(), b"the program").unwrap();
    let survey = Survey {
        pythons: [("3.9".to_owned(), "/usr/bin/python3.9".to_owned())].into(),
        ..Survey::default()
    };
    let context = context(
        lock,
        "tfleet/base:1",
        &survey,
        true,
        sources,
        program.path(),
    )
    .unwrap();
    let pieces: Vec<Bytes> = context.stream().await.unwrap().try_collect().await.unwrap();
    let bytes = pieces.concat();
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

fn sources(indexes: Vec<Index>, ca_bundle: Option<PathBuf>, proxy: Option<String>) -> Sources {
    Sources {
        indexes,
        debian_mirrors: Vec::new(),
        ca_bundle,
        proxy,
        stall_seconds: 30,
        network: "host".to_owned(),
        secrets: crate::artifact::Secrets::default(),
    }
}

#[tokio::test]
async fn each_group_is_a_step_and_the_image_gets_what_was_asked() {
    let index = Index {
        url: None,
        extra_urls: Vec::new(),
    };
    let files = files(&lock(), &sources(vec![index], None, None)).await;
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
    assert!(files["groups/cuda"].starts_with("nvidia-cublas-cu11==1.0 --hash=sha256:"));
}

#[tokio::test]
async fn credentials_are_in_mounted_files_and_nowhere_else() {
    let bundle = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(bundle.path(), b"-----BEGIN CERTIFICATE-----").unwrap();
    let url = "https://robot:s3cret-s3cret@m.example/it's".to_owned();
    let indexes = vec![
        Index {
            url: Some(url),
            extra_urls: Vec::new(),
        },
        Index {
            url: None,
            extra_urls: Vec::new(),
        },
    ];
    let proxy = Some("http://u:hunter2@proxy.example:3128".to_owned());
    let sources = sources(indexes, Some(bundle.path().to_owned()), proxy);
    let files = files(&lock(), &sources).await;
    for (path, text) in &files {
        let may = path.starts_with("tools/index.");
        assert_eq!(
            text.contains("s3cret-s3cret"),
            may && path.ends_with("000"),
            "{path}"
        );
        assert_eq!(text.contains("hunter2"), may, "{path}");
        assert_eq!(
            text.contains("BEGIN CERTIFICATE"),
            path == "tools/ca.crt",
            "{path}"
        );
    }
    assert!(files["tools/index.000"].contains(r"it'\''s'"));
    assert!(files["tools/index.000"].contains("export SSL_CERT_FILE='/run/tfleet/tools/ca.crt'\n"));
    for step in files["Dockerfile"]
        .lines()
        .filter(|step| step.starts_with("RUN"))
    {
        assert!(
            step.contains("--mount=type=tmpfs,target=/run --mount=type=bind,source=tools"),
            "{step}"
        );
    }
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
