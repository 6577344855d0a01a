//! A small engine in memory carries the steps out, and the tests look at where that leads.

pub(super) use std::num::NonZeroU16;

pub(super) use tfleet_proto::model::desired::{
    DesiredContainer, DesiredPhase, GpuRequest, PortBinding, PortProtocol, RestartPolicy,
};

pub(super) use std::collections::{BTreeMap, BTreeSet};

pub(super) use jiff::Timestamp;
pub(super) use tfleet_proto::model::desired::{ContainerSpec, DesiredImage, DesiredState};
pub(super) use tfleet_proto::model::digest::Digest;

pub(super) use crate::steps::*;

pub(super) const FIRST: &[u8] = b"first artifact";
pub(super) const SECOND: &[u8] = b"second artifact";

pub(super) fn image(artifact: &[u8], tag: &str) -> DesiredImage {
    DesiredImage {
        artifact: Digest::of(artifact),
        release: "train:v7".parse().unwrap(),
        variant: "tf2.15.1-cpu".parse().unwrap(),
        tags: vec![tag.to_owned()],
    }
}

pub(super) fn container(name: &str, artifact: &[u8]) -> DesiredContainer {
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
        trusts_intermediate_code: false,
    };
    DesiredContainer {
        spec,
        phase: DesiredPhase::Running,
        restart_serial: 0,
        start_serial: 0,
    }
}

pub(super) fn desired(images: &[DesiredImage], containers: &[DesiredContainer]) -> DesiredState {
    DesiredState {
        incarnation: 1,
        generation: 1,
        images: images.to_vec(),
        containers: containers.to_vec(),
    }
}

pub(super) fn one_container() -> DesiredState {
    desired(
        &[image(FIRST, "tfleet/train:v7")],
        &[container("train", FIRST)],
    )
}

/// Engine and ledger. Its clock moves by a second with each start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct World {
    pub(super) scene: Scene,
    pub(super) clock: i64,
    pub(super) starts: u32,
    pub(super) made: u32,
}

impl World {
    pub(super) fn plan(&self, desired: &DesiredState) -> Plan {
        next(desired, &self.scene, &BTreeSet::new())
    }

    /// Steps until there is none left; the names of those done.
    pub(super) fn settle(&mut self, desired: &DesiredState) -> Vec<&'static str> {
        let mut done = Vec::new();
        while let Some(step) = self.plan(desired).step {
            done.push(name(&step));
            self.carry_out(&step);
            assert!(done.len() < 50, "no end: {done:?}");
        }
        done
    }

    pub(super) fn carry_out(&mut self, step: &Step) {
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
                start_serial,
                before,
                ..
            }
            | Step::Restart {
                name,
                restart_serial,
                start_serial,
                before,
                ..
            } => {
                self.deed(name).starting = Some(PastStart {
                    restart_serial: *restart_serial,
                    start_serial: *start_serial,
                    before: *before,
                });
                self.run(name);
                self.note_started(name, *restart_serial, *start_serial);
            }
            Step::NoteStarted {
                name,
                restart_serial,
                start_serial,
            } => self.note_started(name, *restart_serial, *start_serial),
            Step::Stop { name, .. } => self.found(name).life = Life::Exited,
            Step::NoteStopped { name } => {
                self.deed(name).started = false;
                self.deed(name).starting = None;
                self.deed(name).stopping = false;
            }
            Step::Remove { name, .. } | Step::ForgetContainer { name } => {
                drop(self.scene.containers.remove(name))
            }
        }
    }

    pub(super) fn intend(&mut self, spec: &ContainerSpec) {
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
            stopping: false,
            restart_serial: 0,
            start_serial: 0,
        });
    }

    pub(super) fn make(&mut self, spec: &ContainerSpec) -> String {
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

    pub(super) fn run(&mut self, name: &str) {
        self.clock += 1;
        self.starts += 1;
        let now = Timestamp::from_second(self.clock).unwrap();
        let found = self.found(name);
        (found.life, found.started_at) = (Life::Running, Some(now));
    }

    pub(super) fn note_started(&mut self, name: &str, restart_serial: u64, start_serial: u64) {
        let deed = self.deed(name);
        (deed.started, deed.starting) = (true, None);
        (deed.restart_serial, deed.start_serial) = (restart_serial, start_serial);
    }

    pub(super) fn move_tags(&mut self, tags: &BTreeSet<String>) {
        for image in self.scene.images.values_mut() {
            image
                .present
                .iter_mut()
                .for_each(|present| present.retain(|tag| !tags.contains(tag)));
        }
    }

    pub(super) fn deed(&mut self, name: &str) -> &mut Deed {
        self.scene
            .containers
            .get_mut(name)
            .unwrap()
            .deed
            .as_mut()
            .unwrap()
    }

    pub(super) fn found(&mut self, name: &str) -> &mut Found {
        self.scene
            .containers
            .get_mut(name)
            .unwrap()
            .found
            .as_mut()
            .unwrap()
    }
}

pub(super) fn name(step: &Step) -> &'static str {
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
