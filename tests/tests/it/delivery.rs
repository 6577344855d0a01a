//! Deliveries into real engines: of every generation, interrupted in every way, and large.

pub mod origin;
mod site;
mod synthetic;

use std::time::Duration;

use rustix::process::{Signal, kill_process};
use tfleet_agent::engine;
use tfleet_tests::lab::EngineKind;

use origin::{Asked, Fault, Origin};
pub use site::Site;
pub use synthetic::{Content, Image};

const TAG: &str = "tfleet/train:v7";

/// A base and a release on top of it.
pub fn image(version: &str) -> Image {
    Image::new(vec![
        Content::shell("base"),
        Content::file("version", version),
    ])
}

/// As `image`, with a layer of some size between.
fn large(version: &str, megabytes: u64) -> Image {
    let big = Content::Big {
        seed: 7,
        file_bytes: megabytes << 20,
    };
    Image::new(vec![
        Content::shell("base"),
        big,
        Content::file("version", version),
    ])
}

async fn a_first_and_a_second_release(kind: EngineKind) {
    let site = Site::new(kind);
    let (first, second) = (image("one"), image("two"));
    let origin = Origin::start(vec![first.clone(), second.clone()]).await;

    let (outcome, progress) = site.deliver(&origin, &first, TAG).await;
    let delivered = outcome.unwrap();
    let found = site.engine.find_image(TAG).await.unwrap().unwrap();
    assert_eq!(found.engine_id, delivered.image_id);
    assert!(found.diff_ids.iter().copied().eq(first.index.diff_ids()));
    assert_eq!(site.runs(TAG, &["cat", "/version"]), "one");
    assert_eq!(progress.content_bytes, first.index.content_bytes());
    assert_eq!(
        (progress.fetched_bytes, progress.loaded_bytes),
        (progress.content_bytes, progress.content_bytes)
    );
    assert_eq!(progress.wire_bytes, first.index.frame_bytes());
    origin.take_asked();

    let (outcome, progress) = site.deliver(&origin, &second, "tfleet/train:v8").await;
    outcome.unwrap();
    let top = &second.index.layers[1];
    assert_eq!(
        origin.take_asked(),
        [Asked {
            diff_id: top.diff_id,
            first: 0,
            count: 1
        }],
        "the base is there"
    );
    assert_eq!(progress.present_bytes, second.index.layers[0].size_bytes);
    assert_eq!(
        (progress.fetched_bytes, progress.wire_bytes),
        (top.size_bytes, top.frame_bytes())
    );
    assert_eq!(site.runs("tfleet/train:v8", &["cat", "/version"]), "two");
    assert_eq!(site.runs(TAG, &["cat", "/version"]), "one");

    let (outcome, progress) = site.deliver(&origin, &first, "tfleet/train:again").await;
    assert_eq!(outcome.unwrap(), delivered);
    assert_eq!(
        (origin.take_asked(), progress.present_bytes),
        (vec![], progress.content_bytes)
    );
    assert_eq!(
        site.tags(),
        ["tfleet/train:again", "tfleet/train:v7", "tfleet/train:v8"]
    );
    assert_eq!(site.kept_chunks(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn engine_20_10_gets_a_release_and_then_only_what_the_next_one_changes() {
    a_first_and_a_second_release(EngineKind::System).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn engine_26_1_gets_a_release_and_then_only_what_the_next_one_changes() {
    a_first_and_a_second_release(EngineKind::Trixie).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn engine_26_1_with_the_containerd_store_gets_a_release_and_then_only_what_the_next_one_changes()
 {
    a_first_and_a_second_release(EngineKind::TrixieContainerd).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn engine_28_5_gets_a_release_and_then_only_what_the_next_one_changes() {
    a_first_and_a_second_release(EngineKind::Forky).await;
}

/// The same layers, loaded by somebody else, may lie compressed in a containerd store.
#[tokio::test(flavor = "multi_thread")]
async fn on_a_containerd_store_only_layers_that_the_agent_loaded_are_left_out() {
    let site = Site::new(EngineKind::TrixieContainerd);
    let (first, second) = (image("one"), image("two"));
    let origin = Origin::start(vec![first.clone(), second.clone()]).await;
    site.deliver(&origin, &first, TAG).await.0.unwrap();
    std::fs::remove_file(site.folder.path().join("loaded.json")).unwrap();
    let (outcome, progress) = site.deliver(&origin, &second, "tfleet/train:v8").await;
    outcome.unwrap();
    assert_eq!(
        (progress.present_bytes, progress.fetched_bytes),
        (0, progress.content_bytes)
    );
    assert_eq!(site.runs("tfleet/train:v8", &["cat", "/version"]), "two");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_is_gone_on_from_and_costs_nothing_twice() {
    let site = Site::new(EngineKind::System);
    let image = large("one", 64);
    let origin = Origin::start(vec![image.clone()]).await;
    origin.order(&[
        Fault::CutAfter(0),
        Fault::CutAfter(1),
        Fault::CutAfter(5),
        Fault::CutAfter(3),
    ]);
    let (outcome, progress) = site.deliver(&origin, &image, TAG).await;
    outcome.unwrap();
    let big = image.index.layers[1].diff_id;
    let firsts: Vec<u32> = origin
        .take_asked()
        .iter()
        .filter(|asked| asked.diff_id == big)
        .map(|asked| asked.first)
        .collect();
    assert_eq!(firsts, [0, 5, 8]);
    assert_eq!(progress.fetched_bytes, progress.content_bytes);
    assert_eq!(site.runs(TAG, &["cat", "/version"]), "one");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_fetched_before_the_agent_died_is_not_fetched_again() {
    let site = Site::new(EngineKind::System);
    let image = large("one", 64);
    let origin = Origin::start(vec![image.clone()]).await;
    // The base's one chunk, then the large layer's.
    origin.order(&[Fault::CutAfter(9), Fault::SilentAfter(6)]);
    let all_that_comes = async {
        while site.kept_chunks() < 7 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        _ = site.deliver(&origin, &image, TAG) => panic!("it waits for the silent one"),
        () = all_that_comes => {}
    }
    assert_eq!(site.tags(), [""; 0], "half an image has no tag");
    assert_eq!(site.kept_chunks(), 7);
    origin.take_asked();

    let (outcome, progress) = site.deliver(&origin, &image, TAG).await;
    outcome.unwrap();
    let chunks = image.index.layers[1].chunks.len() as u32;
    let asked = origin.take_asked();
    assert_eq!(
        asked[0],
        Asked {
            diff_id: image.index.layers[1].diff_id,
            first: 6,
            count: chunks - 6
        }
    );
    assert_eq!(progress.fetched_bytes, progress.content_bytes);
    assert!(progress.wire_bytes < image.index.frame_bytes());
    assert_eq!(site.runs(TAG, &["cat", "/version"]), "one");
    assert_eq!(site.kept_chunks(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupted_chunk_is_refused_and_asked_for_again_but_not_for_ever() {
    let site = Site::new(EngineKind::System);
    let image = image("one");
    let origin = Origin::start(vec![image.clone()]).await;
    origin.order(&[Fault::Corrupted, Fault::Corrupted]);
    site.deliver(&origin, &image, TAG).await.0.unwrap();
    assert_eq!(origin.take_asked().len(), 4);

    let other = Image::new(vec![Content::shell("other")]);
    let origin = Origin::start(vec![other.clone()]).await;
    origin.order(&[Fault::Corrupted; 3]);
    let failure = site
        .deliver(&origin, &other, "tfleet/other:v1")
        .await
        .0
        .unwrap_err()
        .failure();
    assert_eq!(failure.code, "artifact-corrupted");
    assert!(failure.message.contains("chunk 0"), "{failure}");
    assert_eq!(site.tags(), [TAG], "nothing of it is in the engine");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_that_the_coordinator_does_not_have_fails_at_once() {
    let site = Site::new(EngineKind::System);
    let origin = Origin::start(Vec::new()).await;
    let failure = site
        .deliver(&origin, &image("one"), TAG)
        .await
        .0
        .unwrap_err()
        .failure();
    assert_eq!(failure.code, "artifact-missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_killed_in_a_load_fails_the_delivery_and_the_next_one_finishes_it() {
    let site = Site::new(EngineKind::System);
    let image = large("one", 64);
    let origin = Origin::start(vec![image.clone()]).await;
    origin.order(&[Fault::CutAfter(9), Fault::SilentAfter(8)]);
    let kill = async {
        while site.kept_chunks() < 9 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        site.lab_engine().kill_dockerd().unwrap();
    };
    let ((outcome, _), ()) = tokio::join!(site.deliver(&origin, &image, TAG), kill);
    assert_eq!(outcome.unwrap_err().failure().code, "engine-down");
    site.lab_engine().start().unwrap();
    site.deliver(&origin, &image, TAG).await.0.unwrap();
    assert_eq!(site.runs(TAG, &["cat", "/version"]), "one");
}

/// It keeps its socket open and takes connections, and does nothing more.
#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_hangs_in_a_load_is_given_up_and_the_next_delivery_finishes_it() {
    let patience = engine::Patience {
        answer: Duration::from_secs(2),
        load: Duration::from_secs(3),
        ..engine::Patience::default()
    };
    let site = Site::impatient(EngineKind::System, patience);
    let image = large("one", 64);
    let origin = Origin::start(vec![image.clone()]).await;
    let dockerd = site.lab_engine().dockerd().running().unwrap();
    let hang = async {
        while site.kept_chunks() < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        kill_process(dockerd, Signal::STOP).unwrap();
    };
    let ((outcome, _), ()) = tokio::join!(site.deliver(&origin, &image, TAG), hang);
    let failure = outcome.unwrap_err().failure();
    assert_eq!(failure.code, "engine-stalled", "{failure}");
    assert!(failure.message.contains("for 3 s"), "{failure}");
    assert!(failure.remedy.unwrap().contains("restart the engine"));
    // A further one is told so as well, and does not hang with it.
    let failure = site.deliver(&origin, &image, TAG).await.0.unwrap_err();
    assert_eq!(failure.failure().code, "engine-down");

    kill_process(dockerd, Signal::CONT).unwrap();
    site.deliver(&origin, &image, TAG).await.0.unwrap();
    assert_eq!(site.runs(TAG, &["cat", "/version"]), "one");
    assert_eq!(site.tags(), [TAG]);
    assert_eq!(site.kept_chunks(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_little_room_is_told_with_numbers_before_anything_is_fetched() {
    let site = Site::new(EngineKind::System);
    let mut image = image("one");
    // As large as no disk: the index is believed, because its digest is right.
    let chunk = image.index.layers[1].chunks[0];
    image.index.layers[1].chunks = vec![chunk; 0];
    let huge = tfleet_proto::model::artifact::Chunk {
        content_bytes: 4 << 20,
        frame_bytes: 4 << 20,
        ..chunk
    };
    image.index.layers[1].chunks = vec![huge; 100_000];
    image.index.layers[1].size_bytes = 100_000 * (4 << 20);
    let origin = Origin::start(vec![image.clone()]).await;
    let failure = site
        .deliver(&origin, &image, TAG)
        .await
        .0
        .unwrap_err()
        .failure();
    assert_eq!(failure.code, "disk-full");
    assert!(
        failure.message.contains("TiB") || failure.message.contains("GiB"),
        "{failure}"
    );
    assert_eq!(origin.take_asked(), []);
}
