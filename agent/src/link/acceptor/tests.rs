use std::fs;

use super::*;

struct Fixture {
    acceptor: Acceptor,
    desired: watch::Receiver<Option<Arc<DesiredState>>>,
    disk: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self::on(tempfile::tempdir().unwrap())
    }

    fn on(disk: tempfile::TempDir) -> Self {
        let (sender, desired) = watch::channel(None);
        let acceptor = Acceptor::new(Accepted::open(disk.path(), None).unwrap(), sender);
        Self {
            acceptor,
            desired,
            disk,
        }
    }

    fn generation(&self) -> Option<u64> {
        self.desired
            .borrow()
            .as_ref()
            .map(|desired| desired.generation)
    }
}

fn offer(incarnation: u64, generation: u64) -> wire::DesiredState {
    wire::DesiredState::from(DesiredState {
        incarnation,
        generation,
        ..DesiredState::default()
    })
}

#[tokio::test]
async fn what_is_newer_is_passed_on_and_survives_a_restart() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.generation(), None);
    assert_eq!(fixture.acceptor.take(offer(1, 3)).await.unwrap(), None);
    assert_eq!(fixture.generation(), Some(3));
    let restarted = Fixture::on(fixture.disk);
    assert_eq!(restarted.generation(), Some(3));
}

#[tokio::test]
async fn what_is_older_changes_nothing_and_is_told() {
    let mut fixture = Fixture::new();
    fixture.acceptor.take(offer(2, 3)).await.unwrap();
    for (incarnation, generation) in [(2, 2), (1, 9)] {
        let failure = fixture
            .acceptor
            .take(offer(incarnation, generation))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(failure.code, "desired-state-older");
        assert_eq!(fixture.generation(), Some(3));
    }
}

#[tokio::test]
async fn the_same_number_with_other_content_is_an_alarm_and_changes_nothing() {
    let mut fixture = Fixture::new();
    fixture.acceptor.take(offer(1, 3)).await.unwrap();
    assert_eq!(fixture.acceptor.take(offer(1, 3)).await.unwrap(), None);
    let other = wire::DesiredState {
        images: vec![wire::DesiredImage {
            artifact: tfleet_proto::model::digest::Digest::of(b"other").to_string(),
            release: "train:v7".to_owned(),
            variant: "tf2.15.1-cpu".to_owned(),
            tags: vec!["tfleet/train:v7".to_owned()],
        }],
        ..offer(1, 3)
    };
    let failure = fixture.acceptor.take(other).await.unwrap().unwrap();
    assert_eq!(failure.code, "desired-state-conflict");
    assert!(fixture.desired.borrow().as_ref().unwrap().images.is_empty());
}

#[tokio::test]
async fn what_cannot_be_kept_is_not_acted_on() {
    let mut fixture = Fixture::new();
    fs::remove_dir_all(fixture.disk.path()).unwrap();
    assert!(fixture.acceptor.take(offer(1, 1)).await.is_err());
    assert_eq!(fixture.generation(), None);
}

#[tokio::test]
async fn what_cannot_be_kept_is_told_and_tried_again() {
    let mut fixture = Fixture::new();
    let folder = fixture.disk.path().to_owned();
    fs::remove_dir_all(&folder).unwrap();
    for attempt in 0..2 {
        let told = match attempt {
            0 => fixture.acceptor.hear(offer(1, 1)).await,
            _ => fixture.acceptor.try_again().await,
        };
        assert_eq!(told.unwrap().code, "ledger-not-written");
        assert!(fixture.acceptor.is_behind());
        assert_eq!(fixture.generation(), None);
    }
    let newer = fixture.acceptor.hear(offer(1, 2)).await;
    assert!(newer.is_some());
    fs::create_dir(&folder).unwrap();
    assert_eq!(fixture.acceptor.try_again().await, None);
    assert!(!fixture.acceptor.is_behind());
    assert_eq!(fixture.generation(), Some(2));
}

#[tokio::test]
async fn what_cannot_be_understood_is_told_with_its_field() {
    let mut fixture = Fixture::new();
    let broken = wire::DesiredState {
        images: vec![wire::DesiredImage {
            artifact: "sha256:zz".to_owned(),
            ..Default::default()
        }],
        ..offer(1, 1)
    };
    let failure = fixture.acceptor.take(broken).await.unwrap().unwrap();
    assert_eq!(failure.code, "desired-state-malformed");
    assert!(failure.message.contains("images[0]"), "{}", failure.message);
    assert_eq!(fixture.generation(), None);
}
