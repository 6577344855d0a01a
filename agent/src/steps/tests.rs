//! A small engine in memory carries the steps out, and the tests look at where that leads.

use std::num::NonZeroU16;

use tfleet_proto::model::desired::{
    DesiredContainer, DesiredPhase, GpuRequest, PortBinding, PortProtocol, RestartPolicy,
};

use super::*;

const FIRST: &[u8] = b"first artifact";
const SECOND: &[u8] = b"second artifact";

fn image(artifact: &[u8], tag: &str) -> DesiredImage {
    DesiredImage {
        artifact: Digest::of(artifact),
        release: "train:v7".parse().unwrap(),
        variant: "tf2.15.1-cpu".parse().unwrap(),
        tags: vec![tag.to_owned()],
    }
}

fn container(name: &str, artifact: &[u8]) -> DesiredContainer {
    let spec = ContainerSpec {
        name: name.to_owned(),
        artifact: Digest::of(artifact),
        release: "train:v7".parse().unwrap(),
        variant: "tf2.15.1-cpu".parse().unwrap(),
        command: Vec::new(),
        environment: BTreeMap::new(),
        ports: Vec::new(),
        binds: Vec::new(),
        gpus: GpuRequest::None,
        user: None,
        working_directory: None,
        shm_bytes: 0,
        restart_policy: RestartPolicy::No,
        privileged: false,
        host_namespaces: Vec::new(),
        capabilities: Vec::new(),
        tty: false,
        stop_grace_seconds: 0,
    };
    DesiredContainer {
        spec,
        phase: DesiredPhase::Running,
        restart_serial: 0,
    }
}

fn desired(images: &[DesiredImage], containers: &[DesiredContainer]) -> DesiredState {
    DesiredState {
        incarnation: 1,
        generation: 1,
        images: images.to_vec(),
        containers: containers.to_vec(),
    }
}

fn one_container() -> DesiredState {
    desired(
        &[image(FIRST, "tfleet/train:v7")],
        &[container("train", FIRST)],
    )
}

/// Engine and ledger. Its clock moves by a second with each start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct World {
    scene: Scene,
    clock: i64,
    starts: u32,
    made: u32,
}

impl World {
    fn plan(&self, desired: &DesiredState) -> Plan {
        next(desired, &self.scene, &BTreeSet::new())
    }

    /// Steps until there is none left; the names of those done.
    fn settle(&mut self, desired: &DesiredState) -> Vec<&'static str> {
        let mut done = Vec::new();
        while let Some(step) = self.plan(desired).step {
            done.push(name(&step));
            self.carry_out(&step);
            assert!(done.len() < 50, "no end: {done:?}");
        }
        done
    }

    fn carry_out(&mut self, step: &Step) {
        match step {
            Step::Deliver(wanted) => {
                let tags: BTreeSet<String> = wanted.tags.iter().cloned().collect();
                self.move_tags(&tags);
                let engine_id = format!("image-{}", wanted.artifact.short());
                let image = SceneImage {
                    engine_id,
                    given: tags.clone(),
                    present: Some(tags),
                };
                self.scene.images.insert(wanted.artifact, image);
            }
            Step::Tag {
                artifact,
                references,
                ..
            } => {
                let tags: BTreeSet<String> = references.iter().cloned().collect();
                self.move_tags(&tags);
                let image = self.scene.images.get_mut(artifact).unwrap();
                image.given.extend(tags.clone());
                image.present.as_mut().unwrap().extend(tags);
            }
            Step::ForgetImage { artifact, .. } => drop(self.scene.images.remove(artifact)),
            Step::Create(spec) => {
                self.intend(spec);
                let id = self.make(spec);
                self.deed(&spec.name).id = Some(id);
            }
            Step::Adopt { name, id } => self.deed(name).id = Some(id.clone()),
            Step::Start {
                name,
                restart_serial,
                before,
                ..
            }
            | Step::Restart {
                name,
                restart_serial,
                before,
                ..
            } => {
                self.deed(name).starting = Some(PastStart {
                    restart_serial: *restart_serial,
                    before: *before,
                });
                self.run(name);
                self.note_started(name, *restart_serial);
            }
            Step::NoteStarted {
                name,
                restart_serial,
            } => self.note_started(name, *restart_serial),
            Step::Stop { name, .. } => self.found(name).life = Life::Exited,
            Step::NoteStopped { name } => {
                self.deed(name).started = false;
                self.deed(name).starting = None;
            }
            Step::Remove { name, .. } | Step::ForgetContainer { name } => {
                drop(self.scene.containers.remove(name))
            }
        }
    }

    fn intend(&mut self, spec: &ContainerSpec) {
        self.scene
            .containers
            .entry(spec.name.clone())
            .or_default()
            .deed = Some(Deed {
            spec: spec.digest(),
            artifact: spec.artifact,
            id: None,
            started: false,
            starting: None,
            restart_serial: 0,
        });
    }

    fn make(&mut self, spec: &ContainerSpec) -> String {
        self.made += 1;
        let id = format!("container-{}", self.made);
        self.scene.containers.get_mut(&spec.name).unwrap().found = Some(Found {
            id: id.clone(),
            spec: Some(spec.digest()),
            life: Life::Created,
            started_at: None,
        });
        id
    }

    fn run(&mut self, name: &str) {
        self.clock += 1;
        self.starts += 1;
        let now = Timestamp::from_second(self.clock).unwrap();
        let found = self.found(name);
        (found.life, found.started_at) = (Life::Running, Some(now));
    }

    fn note_started(&mut self, name: &str, serial: u64) {
        let deed = self.deed(name);
        (deed.started, deed.starting, deed.restart_serial) = (true, None, serial);
    }

    fn move_tags(&mut self, tags: &BTreeSet<String>) {
        for image in self.scene.images.values_mut() {
            image
                .present
                .iter_mut()
                .for_each(|present| present.retain(|tag| !tags.contains(tag)));
        }
    }

    fn deed(&mut self, name: &str) -> &mut Deed {
        self.scene
            .containers
            .get_mut(name)
            .unwrap()
            .deed
            .as_mut()
            .unwrap()
    }

    fn found(&mut self, name: &str) -> &mut Found {
        self.scene
            .containers
            .get_mut(name)
            .unwrap()
            .found
            .as_mut()
            .unwrap()
    }
}

fn name(step: &Step) -> &'static str {
    match step {
        Step::Deliver(_) => "deliver",
        Step::Tag { .. } => "tag",
        Step::ForgetImage { .. } => "forget image",
        Step::Create(_) => "create",
        Step::Adopt { .. } => "adopt",
        Step::Start { .. } => "start",
        Step::Restart { .. } => "restart",
        Step::NoteStarted { .. } => "note started",
        Step::Stop { .. } => "stop",
        Step::NoteStopped { .. } => "note stopped",
        Step::Remove { .. } => "remove",
        Step::ForgetContainer { .. } => "forget container",
    }
}

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
fn one_that_ended_by_itself_is_left_to_its_restart_policy() {
    let mut world = World::default();
    world.settle(&one_container());
    world.found("train").life = Life::Exited;
    assert_eq!(world.settle(&one_container()), [""; 0]);
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
fn a_death_between_intention_and_creation_creates() {
    let mut world = World::default();
    let state = one_container();
    world.carry_out(&Step::Deliver(state.images[0].clone()));
    world.intend(&state.containers[0].spec);
    assert_eq!(world.settle(&state), ["create", "start"]);
    assert_eq!(world.made, 1);
}

#[test]
fn a_death_between_creation_and_its_note_adopts() {
    let mut world = World::default();
    let state = one_container();
    world.carry_out(&Step::Deliver(state.images[0].clone()));
    world.intend(&state.containers[0].spec);
    world.make(&state.containers[0].spec);
    assert_eq!(world.settle(&state), ["adopt", "start"]);
    assert_eq!(world.made, 1);
}

#[test]
fn a_death_around_a_start_neither_loses_nor_repeats_it() {
    let mut world = World::default();
    let state = one_container();
    world.carry_out(&Step::Deliver(state.images[0].clone()));
    world.carry_out(&Step::Create(Box::new(state.containers[0].spec.clone())));
    world.deed("train").starting = Some(PastStart {
        restart_serial: 0,
        before: None,
    });
    let mut before_the_act = world.clone();
    assert_eq!(before_the_act.settle(&state), ["start"]);
    world.run("train");
    world.found("train").life = Life::Exited;
    assert_eq!(
        world.settle(&state),
        ["note started"],
        "a job that is over is not run a second time"
    );
    assert_eq!(world.starts, 1);
}

#[test]
fn a_death_around_a_restart_neither_loses_nor_repeats_it() {
    let mut world = World::default();
    let mut state = one_container();
    world.settle(&state);
    state.containers[0].restart_serial = 1;
    let before = world.found("train").started_at;
    world.deed("train").starting = Some(PastStart {
        restart_serial: 1,
        before,
    });
    let mut before_the_act = world.clone();
    assert_eq!(before_the_act.settle(&state), ["restart"]);
    world.run("train");
    assert_eq!(world.settle(&state), ["note started"]);
    assert_eq!(world.starts, 2);
    assert_eq!(world.deed("train").restart_serial, 1);
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
