//! What containers get.

use super::world::*;

#[test]
fn each_step_done_twice_has_the_outcome_of_once() {
    let states = [
        one_container(),
        desired(
            &[image(FIRST, "a:v1"), image(SECOND, "b:v1")],
            &[container("train", SECOND)],
        ),
        desired(&[image(FIRST, "a:v2")], &[]),
    ];
    let (mut once, mut twice) = (World::default(), World::default());
    for state in &states {
        once.settle(state);
        while let Some(step) = twice.plan(state).step {
            twice.carry_out(&step);
            let after_once = twice.scene.clone();
            // What exists by that name or is gone already is what a repeated create or removal finds.
            if !matches!(
                step,
                Step::Create(_) | Step::Remove { .. } | Step::Start { .. } | Step::Restart { .. }
            ) {
                twice.carry_out(&step);
                assert_eq!(twice.scene, after_once, "{step:?}");
            }
        }
        assert_eq!(once.scene, twice.scene);
    }
}

#[test]
fn any_change_of_a_specification_makes_another_container() {
    let mut world = World::default();
    let mut state = one_container();
    world.settle(&state);
    let port = NonZeroU16::new(8888).unwrap();
    state.containers[0].spec.ports.push(PortBinding {
        host_address: None,
        host_port: port,
        container_port: port,
        protocol: PortProtocol::Tcp,
    });
    assert_eq!(world.settle(&state), ["stop", "remove", "create", "start"]);
}

#[test]
fn stopping_and_running_again_starts_it_once() {
    let mut world = World::default();
    let mut state = one_container();
    world.settle(&state);
    state.containers[0].phase = DesiredPhase::Stopped;
    assert_eq!(world.settle(&state), ["stop", "note stopped"]);
    state.containers[0].phase = DesiredPhase::Running;
    assert_eq!(world.settle(&state), ["start"]);
    assert_eq!(world.starts, 2);
}

#[test]
fn one_that_shall_rest_is_stopped_also_while_another_specification_waits_for_its_image() {
    let mut world = World::default();
    world.settle(&one_container());
    let mut state = desired(
        &[
            image(FIRST, "tfleet/train:v7"),
            image(SECOND, "tfleet/train:v8"),
        ],
        &[container("train", SECOND)],
    );
    state.containers[0].phase = DesiredPhase::Stopped;
    world.scene.delivering = Some(Digest::of(SECOND));
    assert_eq!(world.settle(&state), ["stop"]);
    world.scene.delivering = None;
    assert_eq!(world.settle(&state), ["deliver", "remove", "create"]);
    assert_eq!(world.starts, 1);
}

#[test]
fn one_that_ended_by_itself_is_left_to_its_restart_policy() {
    let mut world = World::default();
    world.settle(&one_container());
    world.found("train").life = Life::Exited;
    assert_eq!(world.settle(&one_container()), [""; 0]);
}

#[test]
fn one_that_ended_by_itself_is_started_when_it_is_asked_and_one_that_runs_is_left_alone() {
    let mut world = World::default();
    let mut state = one_container();
    world.settle(&state);
    world.found("train").life = Life::Exited;
    state.containers[0].start_serial = 1;
    assert_eq!(world.settle(&state), ["start"]);
    assert_eq!(world.starts, 2);
    state.containers[0].start_serial = 2;
    assert_eq!(world.settle(&state), ["note started"]);
    world.found("train").life = Life::Exited;
    assert_eq!(world.settle(&state), [""; 0], "that start was heeded");
    assert_eq!(world.starts, 2);
}

#[test]
fn a_restart_is_carried_out_once_for_its_number_also_for_one_that_ended() {
    let mut world = World::default();
    let mut state = one_container();
    world.settle(&state);
    state.containers[0].restart_serial = 3;
    assert_eq!(world.settle(&state), ["restart"]);
    world.found("train").life = Life::Exited;
    state.containers[0].restart_serial = 4;
    assert_eq!(world.settle(&state), ["restart"]);
    assert_eq!(world.starts, 3);
}

#[test]
fn a_new_container_has_had_the_restarts_that_were_asked_before() {
    let mut world = World::default();
    let mut state = one_container();
    state.containers[0].restart_serial = 9;
    assert_eq!(world.settle(&state), ["deliver", "create", "start"]);
    assert_eq!(world.deed("train").restart_serial, 9);
}

#[test]
fn what_is_not_ours_is_never_touched_whatever_its_labels_say() {
    let state = one_container();
    let labelled = Found {
        id: "foreign".to_owned(),
        spec: Some(state.containers[0].spec.digest()),
        life: Life::Running,
        started_at: None,
    };
    let mut world = World::default();
    world.carry_out(&Step::Deliver(state.images[0].clone()));
    world.scene.containers.insert(
        "train".to_owned(),
        SceneContainer {
            deed: None,
            found: Some(labelled.clone()),
        },
    );
    let plan = world.plan(&state);
    assert_eq!(plan.step, None);
    assert_eq!(
        plan.blocked[&Subject::Container("train".to_owned())].code,
        "name-taken"
    );
    assert_eq!(
        world.settle(&desired(&[], &[])),
        ["forget image"],
        "unwanted, and still not ours to remove"
    );

    // Ours was removed by hand and another took name and labels.
    let mut world = World::default();
    world.settle(&state);
    *world.found("train") = labelled;
    assert_eq!(world.plan(&state).step, None);
    assert_eq!(
        world.settle(&desired(&[], &[])).first(),
        Some(&"forget container")
    );
}

#[test]
fn one_that_was_removed_by_hand_is_made_again_or_forgotten() {
    let mut world = World::default();
    let state = one_container();
    world.settle(&state);
    world.scene.containers.get_mut("train").unwrap().found = None;
    let mut unwanted = world.clone();
    assert_eq!(world.settle(&state), ["create", "start"]);
    assert_eq!(
        unwanted.settle(&desired(&[], &[])),
        ["forget container", "forget image"]
    );
}

#[test]
fn what_is_held_back_holds_back_only_itself() {
    let mut world = World::default();
    let state = desired(
        &[image(FIRST, "tfleet/train:v7")],
        &[container("train", FIRST), container("serve", FIRST)],
    );
    world.carry_out(&Step::Deliver(state.images[0].clone()));
    let held = BTreeSet::from([Subject::Container("train".to_owned())]);
    let step = next(&state, &world.scene, &held).step;
    assert!(
        matches!(&step, Some(Step::Create(spec)) if spec.name == "serve"),
        "{step:?}"
    );
}

#[test]
fn what_nobody_wants_goes_before_what_is_wanted_comes() {
    let mut world = World::default();
    world.settle(&one_container());
    let state = desired(
        &[image(FIRST, "tfleet/train:v7")],
        &[container("other", FIRST)],
    );
    assert_eq!(world.settle(&state), ["stop", "remove", "create", "start"]);
}
