//! What a container needs.

use tfleet_proto::model::desired::{DesiredContainer, DesiredPhase};
use tfleet_proto::model::failure::Failure;

use super::scene::{Deed, Found, Holding, Life, Scene, SceneContainer};
use super::{Need, Step};

pub(super) fn need(wanted: &DesiredContainer, scene: &Scene) -> Need {
    let spec = &wanted.spec;
    let holding = scene
        .containers
        .get(&spec.name)
        .map_or(Holding::Nothing, SceneContainer::holding);
    let has_image = scene.has_image(&spec.artifact);
    match holding {
        Holding::Foreign => Need::Blocked(name_taken(&spec.name)),
        Holding::Nothing | Holding::Gone if has_image => {
            Need::Step(Step::Create(Box::new(spec.clone())))
        }
        Holding::Nothing | Holding::Gone => Need::Patience,
        Holding::Ours(deed, found) if deed.id.is_none() => adopt(&spec.name, found),
        Holding::Ours(
            _,
            Found {
                life: Life::Leaving,
                ..
            },
        ) => Need::Patience,
        Holding::Ours(deed, found) if deed.spec == spec.digest() => {
            need_of_current(wanted, deed, found)
        }
        // Whether it shall run comes before how it shall be made: one that shall rest is stopped also where another
        // specification waits for its image.
        Holding::Ours(_, found)
            if wanted.phase == DesiredPhase::Stopped && found.life == Life::Running =>
        {
            take_away(&spec.name, found)
        }
        // Another one shall take its place; it goes on until that one's image is here.
        Holding::Ours(_, found) if has_image => take_away(&spec.name, found),
        Holding::Ours(..) => Need::Patience,
    }
}

/// What a container needs that stands in the scene and is wanted by nobody.
pub(super) fn need_of_unwanted(name: &str, container: &SceneContainer) -> Need {
    match container.holding() {
        Holding::Nothing => Need::Nothing,
        Holding::Gone => Need::Step(Step::ForgetContainer {
            name: name.to_owned(),
        }),
        // Ours is gone and another has its name: that one is none of our business, the note is.
        Holding::Foreign if container.deed.is_some() => Need::Step(Step::ForgetContainer {
            name: name.to_owned(),
        }),
        Holding::Foreign => Need::Nothing,
        Holding::Ours(deed, found) if deed.id.is_none() => adopt(name, found),
        Holding::Ours(_, found) => take_away(name, found),
    }
}

/// What a container needs that is made as it shall be.
fn need_of_current(wanted: &DesiredContainer, deed: &Deed, found: &Found) -> Need {
    match wanted.phase {
        DesiredPhase::Running => need_to_run(wanted, deed, found),
        DesiredPhase::Stopped => need_to_rest(&wanted.spec.name, deed, found),
    }
}

/// One that ended by itself is not started again unless somebody asks for it: its restart policy, which the engine carries
/// out, is the word on that.
fn need_to_run(wanted: &DesiredContainer, deed: &Deed, found: &Found) -> Need {
    let name = wanted.spec.name.clone();
    if deed.stopping {
        return finish_stop(name, found);
    }
    if let Some(start) = deed.start_that_happened(found) {
        return Need::Step(Step::NoteStarted {
            name,
            restart_serial: start.restart_serial,
            start_serial: start.start_serial,
        });
    }
    let (id, before) = (found.id.clone(), found.started_at);
    let restart_serial = wanted.restart_serial.max(deed.restart_serial);
    let start_serial = wanted.start_serial.max(deed.start_serial);
    let is_behind = wanted.restart_serial > deed.restart_serial;
    let starts = wanted.start_serial > deed.start_serial;
    match (found.life, deed.started) {
        (Life::Running, started) if !is_behind && (starts || !started) => {
            Need::Step(Step::NoteStarted {
                name,
                restart_serial,
                start_serial,
            })
        }
        (Life::Running, _) | (Life::Exited, true) if is_behind => Need::Step(Step::Restart {
            name,
            id,
            restart_serial,
            start_serial,
            before,
        }),
        (Life::Exited, true) if starts => Need::Step(Step::Start {
            name,
            id,
            restart_serial,
            start_serial,
            before,
        }),
        (Life::Running | Life::Exited, true) | (Life::Leaving, _) => Need::Nothing,
        (Life::Created, _) | (Life::Exited | Life::Running, false) => Need::Step(Step::Start {
            name,
            id,
            restart_serial,
            start_serial,
            before,
        }),
    }
}

fn need_to_rest(name: &str, deed: &Deed, found: &Found) -> Need {
    match found.life {
        Life::Running => Need::Step(Step::Stop {
            name: name.to_owned(),
            id: found.id.clone(),
        }),
        _ if deed.started || deed.starting.is_some() || deed.stopping => {
            Need::Step(Step::NoteStopped {
                name: name.to_owned(),
            })
        }
        Life::Created | Life::Exited | Life::Leaving => Need::Nothing,
    }
}

/// A stop of ours was cut off. The container may be on its way down, and one that is found down went down for us and not by
/// itself: the stop is brought to its end, and what comes after starts from there.
fn finish_stop(name: String, found: &Found) -> Need {
    match found.life {
        Life::Running => Need::Step(Step::Stop {
            name,
            id: found.id.clone(),
        }),
        Life::Created | Life::Exited => Need::Step(Step::NoteStopped { name }),
        Life::Leaving => Need::Patience,
    }
}

fn adopt(name: &str, found: &Found) -> Need {
    Need::Step(Step::Adopt {
        name: name.to_owned(),
        id: found.id.clone(),
    })
}

fn take_away(name: &str, found: &Found) -> Need {
    let (name, id) = (name.to_owned(), found.id.clone());
    match found.life {
        Life::Running => Need::Step(Step::Stop { name, id }),
        Life::Created | Life::Exited => Need::Step(Step::Remove { name, id }),
        Life::Leaving => Need::Patience,
    }
}

fn name_taken(name: &str) -> Failure {
    Failure::new(
        "name-taken",
        format!("a container named {name} exists that this fleet did not make"),
    )
    .with_remedy("rename or remove that container, or run under another name")
}
