//! One short-lived container of a builder's engine: run, listened to, removed.

use std::collections::HashMap;

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::models::{ContainerCreateBody, HealthConfig, HostConfig, HostConfigLogConfig};
use bollard::query_parameters::{
    ListContainersOptionsBuilder, LogsOptionsBuilder, RemoveContainerOptionsBuilder,
};

use super::{BuildError, BuilderEngine};

/// The operation that fails where an image lacks its program.
pub const START: &str = "start a container";

/// What shall run, as root and without a network.
#[derive(Debug, Clone)]
pub struct ContainerRequest {
    pub image: String,
    /// Name and value by which it is found again.
    pub label: (&'static str, String),
    pub command: Vec<String>,
    /// Over the image's own.
    pub environment: Vec<String>,
}

impl BuilderEngine {
    /// Runs a container to its end, gives each line that it writes to `observe`, removes it, and says its exit status.
    /// One that is silent for as long as any other operation may be is given up.
    ///
    /// # Errors
    /// If the engine fails, or nothing comes of it.
    pub async fn run(
        &self,
        request: &ContainerRequest,
        mut observe: impl FnMut(&str),
    ) -> Result<i64, BuildError> {
        let created = self.docker.create_container(None, body(request)).await;
        let id = created
            .map_err(|source| self.failed("create a container", source))?
            .id;
        let ended = self.run_created(&id, &mut observe).await;
        // Also one that is stuck.
        let removed = self.remove_container(&id).await;
        let status = ended?;
        removed?;
        Ok(status)
    }

    async fn run_created(
        &self,
        id: &str,
        observe: &mut impl FnMut(&str),
    ) -> Result<i64, BuildError> {
        let started = self.docker.start_container(id, None).await;
        started.map_err(|source| self.failed(START, source))?;
        let options = LogsOptionsBuilder::default()
            .follow(true)
            .stdout(true)
            .stderr(true)
            .build();
        let mut output = Box::pin(self.docker.logs(id, Some(options)));
        let mut lines = [Vec::new(), Vec::new()];
        while let Some(piece) = self.next(&mut output, "run a container").await? {
            let piece = piece.map_err(|source| self.failed("run a container", source))?;
            let line = match piece {
                LogOutput::StdErr { .. } => &mut lines[1],
                _ => &mut lines[0],
            };
            line.extend_from_slice(piece.as_ref());
            while let Some(end) = line.iter().position(|byte| *byte == b'\n') {
                let whole: Vec<u8> = line.drain(..=end).collect();
                observe(String::from_utf8_lossy(&whole).trim_end());
            }
        }
        for rest in lines.iter().filter(|rest| !rest.is_empty()) {
            observe(&String::from_utf8_lossy(rest));
        }
        let mut ends = Box::pin(self.docker.wait_container(id, None));
        match self.next(&mut ends, "run a container").await? {
            Some(Ok(end)) => Ok(end.status_code),
            Some(Err(Error::DockerContainerWaitError { code, .. })) => Ok(code),
            Some(Err(source)) => Err(self.failed("run a container", source)),
            None => Err(self.refused("run a container", "it did not say how it ended".to_owned())),
        }
    }

    /// Removes the containers that have `label`, running or not, but those whose value of it is in use.
    pub(super) async fn remove_labelled(
        &self,
        label: &str,
        is_in_use: &impl Fn(&str) -> bool,
    ) -> Result<(), BuildError> {
        let filters = HashMap::from([("label", vec![label])]);
        let options = ListContainersOptionsBuilder::default()
            .all(true)
            .filters(&filters)
            .build();
        let containers = self.docker.list_containers(Some(options)).await;
        let containers = containers.map_err(|source| self.failed("list its containers", source))?;
        for container in containers {
            let value = container.labels.and_then(|mut labels| labels.remove(label));
            let (Some(id), Some(value)) = (container.id, value) else {
                continue;
            };
            if !is_in_use(&value) {
                tracing::info!(
                    endpoint = self.endpoint,
                    label,
                    value,
                    "removing a container that a build left"
                );
                self.remove_container(&id).await?;
            }
        }
        Ok(())
    }

    async fn remove_container(&self, id: &str) -> Result<(), BuildError> {
        let options = RemoveContainerOptionsBuilder::default()
            .force(true)
            .v(true)
            .build();
        match self.docker.remove_container(id, Some(options)).await {
            Ok(())
            | Err(Error::DockerResponseServerError {
                status_code: 404, ..
            }) => Ok(()),
            Err(source) => Err(self.failed("remove a container", source)),
        }
    }
}

fn body(request: &ContainerRequest) -> ContainerCreateBody {
    let (name, value) = &request.label;
    let (program, arguments) = match request.command.split_first() {
        Some((program, arguments)) => (Some(vec![program.clone()]), Some(arguments.to_vec())),
        None => (None, None),
    };
    ContainerCreateBody {
        image: Some(request.image.clone()),
        // The image's entry point might take the words for its arguments.
        entrypoint: program,
        cmd: arguments,
        env: Some(request.environment.clone()),
        labels: Some(HashMap::from([((*name).to_owned(), value.clone())])),
        user: Some("0:0".to_owned()),
        working_dir: Some("/".to_owned()),
        network_disabled: Some(true),
        healthcheck: Some(HealthConfig {
            test: Some(vec!["NONE".to_owned()]),
            ..HealthConfig::default()
        }),
        host_config: Some(HostConfig {
            network_mode: Some("none".to_owned()),
            // Whatever the engine's own default is, this one can be read back.
            log_config: Some(HostConfigLogConfig {
                typ: Some("json-file".to_owned()),
                config: None,
            }),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}
