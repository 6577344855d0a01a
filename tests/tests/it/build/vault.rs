//! The vault: what was built once is built again with no network, and is the same.

use std::path::Path;

use bytes::Bytes;
use tfleet_coordinator::build::{Additions, Built, Freshness, ImageSource, Order};
use tfleet_coordinator::config::Site;
use tfleet_proto::model::failure::Failure;
use tfleet_tests::lab::{Engine, EngineKind, run};
use tokio::sync::mpsc;

use super::images;
use super::index::{Index, Manner, wheel};
use super::workshop::{Workshop, lab, site};
use crate::variants::installer;

/// A site on an island: no index or mirror answers, and no build step has a network.
fn island() -> Site {
    Site {
        python_indexes: vec!["http://127.0.0.1:9/simple".to_owned()],
        debian_mirrors: vec!["http://127.0.0.1:9/debian".to_owned()],
        network: "none".to_owned(),
        stall_seconds: 2,
        ..Site::default()
    }
}

/// An index that has all that the builds of these tests need, and those packages.
async fn index(packages: &[&str]) -> Index {
    let index = Index::start(Manner::Serving, None).await;
    index.offer(installer().unwrap());
    index.offer(wheel("pip", "'''stands for pip'''"));
    for package in packages {
        index.offer(wheel(package, &format!("print('{package}')")));
    }
    index
}

fn with(index: &Index) -> Site {
    Site {
        python_indexes: vec![index.url()],
        stall_seconds: 5,
        ..Site::default()
    }
}

/// A root file system with a Python, as an operator has it from a registry that is no more.
async fn import_base(workshop: &Workshop, engine: &Engine, name: &str, mark: &str) {
    let base = images(engine)
        .into_iter()
        .find(|image| image.starts_with("tfleet/base:"))
        .unwrap();
    let script = format!("echo {mark} > /etc/mark");
    let container = run(engine.docker().args(["create", &base, "sh", "-c", &script])).unwrap();
    run(engine
        .docker()
        .args(["start", "--attach", container.trim()]))
    .unwrap();
    let file = tempfile::NamedTempFile::new_in("/var/tmp").unwrap();
    run(engine
        .docker()
        .args(["export", "--output"])
        .arg(file.path())
        .arg(container.trim()))
    .unwrap();
    run(engine.docker().args(["rm", container.trim()])).unwrap();
    import(workshop, name, file.path()).await;
}

async fn import(workshop: &Workshop, name: &str, file: &Path) {
    let (sender, receiver) = mpsc::channel(1);
    let bytes = Bytes::from(std::fs::read(file).unwrap());
    sender.try_send(Ok(bytes)).unwrap();
    drop(sender);
    workshop
        .builds
        .import_base(name, ImageSource::Archive(receiver), &|_| {})
        .await
        .unwrap();
}

async fn again(workshop: &Workshop, order: &Order, of: &Built) -> Result<Built, Failure> {
    workshop.watch_as(order, Freshness::Of(of.lock)).await.1
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_built_once_is_built_again_without_a_network_and_is_the_same() {
    let lab = lab(EngineKind::System);
    let engine = lab.builder().unwrap();
    // The base comes from the machine's own mirror.
    let workshop = Workshop::new(&lab, site()).await;
    let base = workshop.order(&["six==1.17.0"], Additions::default());
    workshop.build(&base).await.unwrap();

    let index = index(&["greeting", "farewell"]).await;
    let workshop = workshop.moved(&lab, with(&index));
    let order = workshop.order(&["greeting"], Additions::default());
    let first = workshop.build(&order).await.unwrap();
    // A second variant fetches only what the first did not.
    let other = workshop.order(&["greeting", "farewell"], Additions::default());
    workshop.build(&other).await.unwrap();
    let log = workshop.log(&other).await;
    assert!(log.contains("fetching 1 of 3 wheels"), "{log}");

    // Years later: another engine, no index, and everything lost that is not in the vault.
    drop(index);
    workshop.keep_only_the_vault();
    for image in images(engine) {
        run(engine.docker().args(["rmi", "--force", &image])).unwrap();
    }
    let workshop = workshop.moved(&lab, island());
    let rebuilt = again(&workshop, &order, &first).await.unwrap();
    assert!(!rebuilt.cached);
    assert_eq!(rebuilt.artifact, first.artifact);
    let log = workshop.log(&order).await;
    assert!(log.contains("wheels are in the vault"), "{log}");

    // A wheel that the disk damaged is found, and named as long as nobody has it.
    workshop.keep_only_the_vault();
    let lock = workshop.builds.locks().unwrap();
    let lock = lock
        .iter()
        .find(|(digest, _)| *digest == first.lock)
        .unwrap();
    let greeting = lock.1.wheels().find(|wheel| wheel.name == "greeting");
    let digest = greeting.unwrap().sha256;
    let path = workshop
        .folder
        .path()
        .join("vault/wheels")
        .join(digest.hex());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[10] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let failure = again(&workshop, &order, &first).await.unwrap_err();
    assert_eq!(failure.code, "build-failed");
    assert!(
        failure.message.contains("fetching wheels failed") && failure.message.contains("greeting"),
        "{failure}"
    );
    let index = self::index(&["greeting"]).await;
    let workshop = workshop.moved(&lab, with(&index));
    let mended = again(&workshop, &order, &first).await.unwrap();
    assert_eq!(mended.artifact, first.artifact);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_keeps_no_wheels_has_none_and_builds_the_same() {
    let lab = lab(EngineKind::System);
    let workshop = Workshop::new(&lab, site()).await;
    let order = workshop.order(&["six==1.17.0"], Additions::default());
    let kept = workshop.build(&order).await.unwrap();
    assert_eq!(workshop.wheels().len(), 3, "six, pip and the installer");

    workshop.forget_builds();
    workshop.forget_wheels();
    let keeping_none = Site {
        keep_wheels: false,
        ..site()
    };
    let workshop = workshop.moved(&lab, keeping_none);
    let passed = workshop.build(&order).await.unwrap();
    assert!(!passed.cached);
    assert_eq!(passed.artifact, kept.artifact);
    assert!(workshop.wheels().is_empty(), "{:?}", workshop.wheels());
}

/// CUDA 10 and 9 stand on what only an operator has; a Debian base with its Python stands in for it here.
#[tokio::test(flavor = "multi_thread")]
async fn an_imported_base_is_pinned_by_its_content_and_its_absence_says_how_to_import_it() {
    const NAME: &str = "cuda-10.1-cudnn-7.6-python-3.11";
    let lab = lab(EngineKind::System);
    let engine = lab.builder().unwrap();
    let workshop = Workshop::new(&lab, site()).await;
    let base = workshop.order(&["six==1.17.0"], Additions::default());
    workshop.build(&base).await.unwrap();
    let index = index(&["greeting"]).await;
    let workshop = workshop.moved(&lab, with(&index));
    import_base(&workshop, engine, NAME, "the-first").await;

    let additions = Additions {
        base: Some(NAME.to_owned()),
        ..Additions::default()
    };
    let order = workshop.order(&["greeting"], additions);
    let first = workshop.build(&order).await.unwrap();
    assert!(workshop.holds(&first.artifact, "the-first"));

    // Years later its name stands for another one.
    import_base(&workshop, engine, NAME, "the-second").await;
    drop(index);
    workshop.keep_only_the_vault();
    for image in images(engine) {
        run(engine.docker().args(["rmi", "--force", &image])).unwrap();
    }
    let workshop = workshop.moved(&lab, island());
    let rebuilt = again(&workshop, &order, &first).await.unwrap();
    assert_eq!(rebuilt.artifact, first.artifact);

    // And then it is lost.
    workshop.keep_only_the_vault();
    let lock = workshop.builds.locks().unwrap();
    let lock = lock
        .iter()
        .find(|(digest, _)| *digest == first.lock)
        .unwrap();
    let artifact = lock.1.base.artifact;
    let indexes = workshop.folder.path().join("artifacts/indexes");
    std::fs::remove_file(indexes.join(artifact.hex())).unwrap();
    let failure = again(&workshop, &order, &first).await.unwrap_err();
    assert_eq!(failure.code, "base-missing");
    assert!(
        failure.message.contains(NAME) && failure.message.contains(&artifact.to_string()),
        "{failure}"
    );
    let remedy = failure.remedy.unwrap();
    assert!(
        remedy.contains(&format!("tfleet base import FILE --name {NAME}")),
        "{remedy}"
    );

    // One that was never there, by a name that no registry has either.
    let unknown = Additions {
        base: Some("cuda-9.0-cudnn-7.0-python-3.6".to_owned()),
        ..Additions::default()
    };
    let failure = workshop
        .build(&workshop.order(&["greeting"], unknown))
        .await
        .unwrap_err();
    let remedy = failure.remedy.unwrap_or_default();
    assert!(
        remedy.contains("tfleet base import"),
        "{}: {remedy}",
        failure.message
    );
}
