//! What a life of the agent finds that an earlier one left in the middle.

use super::world::*;

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
        start_serial: 0,
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
        start_serial: 0,
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
fn a_death_around_a_start_of_one_that_had_ended_neither_loses_nor_repeats_it() {
    let mut world = World::default();
    let mut state = one_container();
    world.settle(&state);
    world.found("train").life = Life::Exited;
    state.containers[0].start_serial = 1;
    let before = world.found("train").started_at;
    world.deed("train").starting = Some(PastStart {
        restart_serial: 0,
        start_serial: 1,
        before,
    });
    let mut before_the_act = world.clone();
    assert_eq!(before_the_act.settle(&state), ["start"]);
    world.run("train");
    world.found("train").life = Life::Exited;
    assert_eq!(world.settle(&state), ["note started"]);
    assert_eq!(world.starts, 2);
}

#[test]
fn a_death_around_a_stop_loses_no_later_start() {
    let mut world = World::default();
    let mut state = one_container();
    world.settle(&state);
    world.deed("train").stopping = true;
    // Asked of the engine or not: it is brought to its end, and not left to a signal that may be on its way.
    let mut before_the_end = world.clone();
    assert_eq!(
        before_the_end.settle(&state),
        ["stop", "note stopped", "start"]
    );
    assert_eq!(before_the_end.starts, 2);
    world.found("train").life = Life::Exited;
    let mut still_unwanted = world.clone();
    assert_eq!(world.settle(&state), ["note stopped", "start"]);
    assert_eq!(world.starts, 2);
    state.containers[0].phase = DesiredPhase::Stopped;
    assert_eq!(still_unwanted.settle(&state), ["note stopped"]);
    assert_eq!(still_unwanted.settle(&one_container()), ["start"]);
}

#[test]
fn a_death_around_a_stop_of_one_whose_start_was_not_noted_starts_it_again() {
    let mut world = World::default();
    let state = one_container();
    world.settle(&state);
    let deed = world.deed("train");
    (deed.started, deed.stopping) = (false, true);
    deed.starting = Some(PastStart {
        restart_serial: 0,
        start_serial: 0,
        before: None,
    });
    world.found("train").life = Life::Exited;
    assert_eq!(world.settle(&state), ["note stopped", "start"]);
    assert_eq!(world.starts, 2);
}
