//! What is up, for a person or a script.

use anyhow::Result;
use serde_json::{Value, json};
use tfleet_tests::lab::{Daemon, Engine, Lab};

use crate::arguments::Output;

pub fn print(lab: &Lab, output: Output) -> Result<()> {
    let status = status(lab)?;
    match output {
        Output::Json => say(&format!("{status:#}")),
        Output::Table => table(&status),
    }
    Ok(())
}

fn status(lab: &Lab) -> Result<Value> {
    let mut hosts = Vec::new();
    for host in lab.hosts() {
        let machine = host.driver().machine()?;
        hosts.push(json!({
            "name": host.name(),
            "address": host.address(),
            "imitated": {
                "driver": machine.driver_version,
                "gpus": machine.gpus.iter().map(|gpu| &gpu.name).collect::<Vec<_>>(),
            },
            "engine": engine(host.engine())?,
            "agent": { "pid": pid(host.agent().process()), "log": host.agent().supervisor().log() },
            "folder": host.folder(),
        }));
    }
    let builder = match lab.builder() {
        Ok(builder) => engine(builder)?,
        Err(_) => Value::Null,
    };
    Ok(json!({ "address": lab.address(), "hosts": hosts, "builder": builder }))
}

fn engine(engine: &Engine) -> Result<Value> {
    let version = match engine.answers() {
        true => Some(engine.version()?),
        false => None,
    };
    Ok(json!({
        "kind": engine.kind(),
        "endpoint": engine.endpoint(),
        "version": version,
        "pid": pid(engine.dockerd()),
    }))
}

fn pid(daemon: &Daemon) -> Option<i32> {
    daemon.running().map(|pid| pid.as_raw_nonzero().get())
}

fn table(status: &Value) {
    let text = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let line = |cells: [String; 6]| {
        let [host, address, driver, gpus, engine, agent] = cells;
        say(&format!(
            "{host:<12} {address:<14} {driver:<12} {gpus:<26} {engine:<24} {agent}"
        ));
    };
    line(
        [
            "HOST",
            "ADDRESS",
            "DRIVER",
            "GPUS (IMITATED)",
            "ENGINE",
            "AGENT PID",
        ]
        .map(str::to_owned),
    );
    for host in status["hosts"].as_array().into_iter().flatten() {
        let gpus = host["imitated"]["gpus"].as_array().into_iter().flatten();
        line([
            text(&host["name"]),
            text(&host["address"]),
            text(&host["imitated"]["driver"]),
            gpus.map(text).collect::<Vec<_>>().join(", "),
            text(&host["engine"]["version"]),
            text(&host["agent"]["pid"]),
        ]);
    }
    if !status["builder"].is_null() {
        say(&format!(
            "builder      {}",
            text(&status["builder"]["endpoint"])
        ));
    }
}

#[expect(clippy::print_stdout, reason = "this is what was asked for")]
fn say(line: &str) {
    println!("{line}");
}
