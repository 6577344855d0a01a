//! The coordinator's life: what is opened in which order, what runs, and how it ends.

mod credentials;
mod data;
mod restored;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tracing::{error, info, warn};

use crate::artifact::{self, Artifacts};
use crate::build::{BuildError, Builds};
use crate::ca::{Authority, AuthorityError, FileError, SERVER_LIFE};
use crate::config::{Config, ConfigError};
use crate::fleet::Fleet;
use crate::listener::{
    Allowance, Connections, Listener, ServerCertificate, TlsError, enrolment_tls, fleet_tls,
};
use crate::patch::Patches;
use crate::rpc::{
    Endpoints, EnrollmentService, Foresight, OperatorService, RunningBuilds, Services,
    SessionService, enrolment_routes,
};
use crate::store::{Store, StoreError};
use crate::vault::{Vault, VaultError};

pub use credentials::issue_operator;
pub use restored::{Restored, restored};

/// How long streams have to end by themselves when the coordinator stops.
const DRAIN: Duration = Duration::from_secs(3);
/// How often the server's certificate is looked at. Shorter than its life by far, and by the wall clock, since a machine
/// may sleep.
const LOOK_AT_CERTIFICATE: Duration = Duration::from_secs(60 * 60);
const SERVICES: [&str; 4] = [
    "",
    "tfleet.v1.Session",
    "tfleet.v1.Artifacts",
    "tfleet.v1.Operator",
];

/// A coordinator that has opened everything, and listens, but does not serve yet.
pub struct Coordinator {
    /// Held as long as the coordinator lives: one data directory, one coordinator.
    lock: data::Lock,
    config: Config,
    authority: Arc<Authority>,
    certificate: Arc<ServerCertificate>,
    fleet: Fleet,
    builds: Builds,
    health: HealthReporter,
    enrolment: Listener,
    listener: Listener,
    tasks: TaskTracker,
    /// Ends sessions, watches and new connections.
    stop: CancellationToken,
    stop_builds: CancellationToken,
}

#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("cannot make the data directory {path}")]
    DataDir { path: PathBuf, source: io::Error },
    #[error(
        "another coordinator uses the data directory {path}: stop that one, or give this one a directory of its own"
    )]
    InUse { path: PathBuf },
    #[error("the certificate authority cannot be opened")]
    Authority(#[from] AuthorityError),
    #[error("the state cannot be opened")]
    Store(#[from] StoreError),
    #[error("there is no state in {path}: restore the data directory from its backup first")]
    NothingRestored { path: PathBuf },
    #[error("the stored images cannot be opened")]
    Artifacts(#[from] artifact::StoreError),
    #[error("the vault cannot be opened")]
    Vault(#[from] VaultError),
    #[error("the builds cannot be opened")]
    Builds(#[from] BuildError),
    #[error("TLS cannot be set up, and nothing is served without it")]
    Tls(#[from] TlsError),
    #[error("cannot listen on {address} (`listen.{name}`)")]
    Listen {
        name: &'static str,
        address: SocketAddr,
        source: io::Error,
    },
    #[error("the reflection service cannot be made")]
    Reflection(#[from] tonic_reflection::server::Error),
    #[error("the credentials cannot be written")]
    Credentials(#[source] FileError),
    #[error("{path} exists already; give another file")]
    FileExists { path: PathBuf },
    #[error(
        "operator {name} has a certificate already; revoke it first: tfleet operator revoke {name}"
    )]
    OperatorExists { name: String },
    #[error("a key cannot be made")]
    Key(#[source] rcgen::Error),
    #[error("`{name}` is not an operator's name: use up to 63 letters, digits and -_.@")]
    OperatorName { name: String },
    #[error("a part of the coordinator ended that never should; its log says why")]
    Died,
}

impl Coordinator {
    /// Opens the data directory, or makes it on the first start, and begins to listen.
    pub async fn open(mut config: Config) -> Result<Self, AppError> {
        let catalog = Arc::new(config.catalog()?);
        let lock = data::Lock::take(&config.data_dir)?;
        let data = config.data_dir.clone();
        let authority = Arc::new(Authority::open(&data.join("ca"), &config.name)?);
        let store = Store::open(&data.join("state.db"))?;
        store.forget_running_builds().await?;

        let enrolment = bind("enrolment", config.listen.enrolment).await?;
        let listener = bind("fleet", config.listen.fleet).await?;
        // A port of zero was chosen by the system.
        config.listen.enrolment = address("enrolment", &enrolment)?;
        config.listen.fleet = address("fleet", &listener)?;
        credentials::first_operator(&config, &authority, &store).await?;

        let artifacts = open_artifacts(data.join("artifacts")).await?;
        let vault = Vault::open(&data.join("vault"))?;
        let stop_builds = CancellationToken::new();
        let builds = Builds::open(
            &data.join("builds"),
            config.build.clone(),
            &config.builders,
            artifacts.clone(),
            vault.clone(),
            stop_builds.clone(),
        )?;
        let connections = Connections::default();
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let fleet = Fleet::open(store.clone(), connections.clone(), tasks.clone()).await?;

        let certificate = ServerCertificate::issue(&authority, &config.advertise)?;
        let (health, health_service) = tonic_health::server::health_reporter();
        let enrollment = EnrollmentService::new(
            authority.clone(),
            store.clone(),
            fleet.clone(),
            time::Duration::hours(config.certificates.host_life_hours.into()),
        );
        let patches = Patches::new(artifacts.clone(), tasks.clone(), stop.clone());
        let foresight = Foresight {
            fleet: fleet.clone(),
            artifacts: artifacts.clone(),
            patches: Arc::new(patches),
            tasks: tasks.clone(),
        };
        let services = Services {
            patches: foresight.patches.clone(),
            session: SessionService::new(fleet.clone(), tasks.clone(), stop.clone()),
            operator: OperatorService {
                authority: authority.clone(),
                store,
                fleet: fleet.clone(),
                builds: builds.clone(),
                catalog,
                artifacts: artifacts.clone(),
                vault,
                endpoints: Endpoints {
                    name: config.name.clone(),
                    enrolment: config.enrolment_endpoint(),
                    fleet: config.fleet_endpoint(),
                    operator_life_days: config.certificates.operator_life_days,
                },
                tasks: tasks.clone(),
                stop: stop.clone(),
                running_builds: RunningBuilds::default(),
                foresight,
            },
            artifacts,
            fleet: fleet.clone(),
            tasks: tasks.clone(),
            stop: stop.clone(),
        };
        let enrolment = Listener {
            name: "enrolment",
            socket: enrolment,
            tls: enrolment_tls(certificate.clone())?,
            routes: enrolment_routes(enrollment),
            admission: Arc::new(fleet.clone()),
            connections: connections.clone(),
            allowance: Allowance::STRANGER,
        };
        let listener = Listener {
            name: "fleet",
            socket: listener,
            tls: fleet_tls(certificate.clone(), authority.certificate())?,
            routes: services.routes(health_service)?,
            admission: Arc::new(fleet.clone()),
            connections,
            allowance: Allowance::MEMBER,
        };
        Ok(Self {
            lock,
            config,
            authority,
            certificate,
            fleet,
            builds,
            health,
            enrolment,
            listener,
            tasks,
            stop,
            stop_builds,
        })
    }

    /// Where it listens, and everything else that was decided.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Serves until `stop`, then says that it does not serve any more, and lets streams end.
    pub async fn serve(self, stop: CancellationToken) -> Result<(), AppError> {
        let cut = CancellationToken::new();
        let mut parts = JoinSet::new();
        parts.spawn(self.enrolment.serve(self.stop.clone(), cut.clone()));
        parts.spawn(self.listener.serve(self.stop.clone(), cut.clone()));
        let (fleet, stopping) = (self.fleet.clone(), self.stop.clone());
        parts.spawn(async move { fleet.keep_statuses(stopping).await });
        parts.spawn(keep_certificate_fresh(
            self.certificate,
            self.authority,
            self.config.advertise.clone(),
            self.stop.clone(),
        ));
        set_health(&self.health, ServingStatus::Serving).await;
        info!(
            fleet = self.config.name,
            enrolment = %self.config.listen.enrolment,
            listener = %self.config.listen.fleet,
            version = env!("CARGO_PKG_VERSION"),
            "the coordinator serves"
        );

        // Both only wait; a part that ended is not lost, since it is reported here.
        let died = tokio::select! {
            () = stop.cancelled() => false,
            _ = parts.join_next() => true,
        };
        set_health(&self.health, ServingStatus::NotServing).await;
        info!("stopping");
        self.stop.cancel();
        self.stop_builds.cancel();
        self.tasks.close();
        let drained = async {
            while parts.join_next().await.is_some() {}
            self.tasks.wait().await;
            self.builds.closed().await;
        };
        if tokio::time::timeout(DRAIN, drained).await.is_err() {
            info!("streams that did not end by themselves are cut");
        }
        cut.cancel();
        while parts.join_next().await.is_some() {}
        drop(self.lock);
        if died { Err(AppError::Died) } else { Ok(()) }
    }
}

async fn bind(name: &'static str, address: SocketAddr) -> Result<TcpListener, AppError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| AppError::Listen {
            name,
            address,
            source,
        })
}

fn address(name: &'static str, listener: &TcpListener) -> Result<SocketAddr, AppError> {
    listener.local_addr().map_err(|source| AppError::Listen {
        name,
        address: SocketAddr::from(([0, 0, 0, 0], 0)),
        source,
    })
}

/// Opens the store and removes what a crash left in it. A damaged index must not stop the fleet: then all stays.
async fn open_artifacts(folder: PathBuf) -> Result<Artifacts, AppError> {
    let opened = tokio::task::spawn_blocking(move || {
        let artifacts = Artifacts::open(Path::new(&folder))?;
        match artifacts.sweep() {
            Ok(0) => {}
            Ok(bytes) => info!(bytes, "removed chunks of images that were never finished"),
            Err(error) => {
                warn!(error = %error.failure(), "cannot remove chunks of unfinished images")
            }
        }
        Ok::<_, artifact::StoreError>(artifacts)
    });
    Ok(opened.await.map_err(|_| AppError::Died)??)
}

async fn set_health(health: &HealthReporter, status: ServingStatus) {
    for service in SERVICES {
        health.set_service_status(service, status).await;
    }
}

/// Connections made after half of the certificate's life see a new one.
async fn keep_certificate_fresh(
    certificate: Arc<ServerCertificate>,
    authority: Arc<Authority>,
    advertise: String,
    stop: CancellationToken,
) {
    let mut issued_at = Timestamp::now();
    loop {
        // Both only wait.
        tokio::select! {
            () = tokio::time::sleep(LOOK_AT_CERTIFICATE) => {}
            () = stop.cancelled() => return,
        }
        if !is_due(Timestamp::now().duration_since(issued_at)) {
            continue;
        }
        match certificate.renew(&authority, &advertise) {
            Ok(()) => issued_at = Timestamp::now(),
            Err(error) => error!(
                error = &error as &dyn std::error::Error,
                "the server's certificate was not renewed; trying again in an hour"
            ),
        }
    }
}

/// Whether a certificate of this age is to be renewed. One from the future was made by a clock that was wrong and has been
/// set: it counts for nobody until then, and would outlive its renewal.
fn is_due(age: SignedDuration) -> bool {
    age.is_negative() || age.as_secs() >= SERVER_LIFE.whole_seconds() / 2
}

#[cfg(test)]
mod tests;
