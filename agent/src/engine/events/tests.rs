use std::pin::pin;

use crate::engine::stub::{Reply, StubEngine};

use super::*;

#[tokio::test]
async fn commands_in_containers_wake_nobody() {
    let stub = StubEngine::start();
    let event = |action: &str| {
        format!("{{\"Type\":\"container\",\"Action\":\"{action}\",\"Actor\":{{\"ID\":\"c1\"}}}}\n")
    };
    let said = [
        event("exec_create: python --version"),
        event("exec_start: python --version"),
        event("exec_die"),
        event("start"),
        event("exec_die"),
        event("die"),
        event("exec_die"),
    ];
    stub.on("GET /events", Reply::Lines(said.into()));
    let engine = stub.engine();
    let mut events = pin!(engine.events());
    for _ in 0..2 {
        events.next().await;
    }
    // The stub's stream stays open, so a third would be one of the commands.
    let third = tokio::time::timeout(Duration::from_millis(200), events.next()).await;
    assert!(third.is_err(), "nothing else has happened");
}
