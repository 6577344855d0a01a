//! What images get.

use super::world::*;

#[test]
fn an_empty_host_gets_image_then_container_and_then_rest() {
    let mut world = World::default();
    assert_eq!(
        world.settle(&one_container()),
        ["deliver", "create", "start"]
    );
    assert_eq!(world.plan(&one_container()), Plan::default());
}

#[test]
fn while_one_image_is_on_its_way_no_other_begins_and_containers_go_on() {
    let mut world = World::default();
    world.settle(&one_container());
    let mut state = desired(
        &[
            image(FIRST, "tfleet/train:v7"),
            image(SECOND, "tfleet/serve:v1"),
        ],
        &[container("train", FIRST), container("serve", SECOND)],
    );
    world.scene.delivering = Some(Digest::of(b"something else"));
    assert_eq!(world.plan(&state).step, None);
    state.containers[0].phase = DesiredPhase::Stopped;
    assert!(matches!(world.plan(&state).step, Some(Step::Stop { .. })));
}

#[test]
fn an_image_that_somebody_removed_is_brought_again() {
    let mut world = World::default();
    let state = desired(&[image(FIRST, "tfleet/train:v7")], &[]);
    world.settle(&state);
    world
        .scene
        .images
        .get_mut(&Digest::of(FIRST))
        .unwrap()
        .present = None;
    assert_eq!(world.settle(&state), ["deliver"]);
}

#[test]
fn a_tag_that_is_missing_is_given_and_one_that_two_claim_goes_to_the_first() {
    let mut world = World::default();
    let state = desired(&[image(FIRST, "tfleet/train:v7")], &[]);
    world.settle(&state);
    world
        .scene
        .images
        .get_mut(&Digest::of(FIRST))
        .unwrap()
        .present = Some(BTreeSet::new());
    assert_eq!(world.settle(&state), ["tag"]);
    let both = desired(
        &[
            image(FIRST, "tfleet/train:v7"),
            image(SECOND, "tfleet/train:v7"),
        ],
        &[],
    );
    assert_eq!(world.settle(&both), ["deliver", "tag"]);
}

#[test]
fn an_unwanted_image_goes_after_the_last_container_that_used_it() {
    let mut world = World::default();
    world.settle(&one_container());
    let nothing = desired(&[], &[]);
    assert_eq!(world.settle(&nothing), ["stop", "remove", "forget image"]);
    assert_eq!(world.scene, Scene::default());
}

#[test]
fn an_image_whose_successor_is_on_its_way_keeps_its_layers_for_it() {
    let mut world = World::default();
    world.settle(&desired(&[image(FIRST, "tfleet/train:v1")], &[]));
    let next = desired(&[image(SECOND, "tfleet/train:v2")], &[]);
    assert_eq!(world.settle(&next), ["deliver", "forget image"]);
}

#[test]
fn only_tags_that_we_gave_and_that_are_still_its_own_are_taken_from_an_image() {
    let mut world = World::default();
    world.settle(&desired(&[image(FIRST, "tfleet/train:v7")], &[]));
    let tags = world.scene.images.get_mut(&Digest::of(FIRST)).unwrap();
    tags.present
        .as_mut()
        .unwrap()
        .insert("mine:latest".to_owned());
    let step = world.plan(&desired(&[], &[])).step;
    assert!(
        matches!(&step, Some(Step::ForgetImage { names, .. }) if names == &["tfleet/train:v7"]),
        "{step:?}"
    );
}

#[test]
fn another_specification_takes_the_place_once_its_image_is_here() {
    let mut world = World::default();
    world.settle(&one_container());
    let state = desired(
        &[image(SECOND, "tfleet/train:v8")],
        &[container("train", SECOND)],
    );
    world.scene.delivering = Some(Digest::of(SECOND));
    assert_eq!(
        world.plan(&state).step,
        None,
        "the old one runs on until the new image is here"
    );
    world.scene.delivering = None;
    assert_eq!(
        world.settle(&state),
        [
            "deliver",
            "stop",
            "remove",
            "create",
            "start",
            "forget image"
        ]
    );
}
