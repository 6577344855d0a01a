//! The agent as a whole: makes the channels through which its parts meet, and owns their tasks.

use std::convert::Infallible;
use std::sync::Arc;

use tfleet_proto::model::status::HostStatus;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::artifact::{Delivery, Limit};
use crate::config::Config;
use crate::engine::{Engine, EngineError};
use crate::identity::{self, Credentials, IdentityError, IdentityFolder};
use crate::inventory::{Inspector, Watcher};
use crate::ledger::{Accepted, Deeds, LedgerError};
use crate::link::{self, Acceptor, Link};
use crate::operations::Operations;
use crate::peers::{Listener, ListenerError, Peers};
use crate::policy::{Policy, PolicyError};
use crate::reconcile::{self, Reconciler};

/// Operations that wait to be begun.
const WAITING_OPERATIONS: usize = 64;

/// Why the agent ended.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error("the host's policy cannot be used, so the agent does nothing")]
    Policy(#[from] PolicyError),
    #[error("this host has no usable identity")]
    Identity(#[from] IdentityError),
    #[error("the ledger cannot be used")]
    Ledger(#[from] LedgerError),
    #[error("the engine's address cannot be used")]
    Engine(#[from] EngineError),
    #[error("other hosts cannot be served")]
    Peers(#[from] ListenerError),
    #[error("the {0} ended, which it never should")]
    Ended(&'static str),
    #[error("a part of the agent died")]
    Died(#[source] JoinError),
}

/// Runs the agent until it is told to stop. What runs on the host goes on without it.
pub async fn run(config: Config, stop: CancellationToken) -> Result<(), AppError> {
    let policy = Arc::new(load_policy(&config)?);
    let folder = IdentityFolder::open(&config.identity_folder())?;
    let _claim = folder.claim()?;
    let obtained = identity::obtain(&folder, &config.enrolment, config.token_file.as_deref());
    let Some(credentials) = stop.run_until_cancelled(obtained).await else {
        return Ok(());
    };
    let credentials = credentials?;
    info!(host = %credentials.host, version = env!("CARGO_PKG_VERSION"), "starting");
    let mut tasks = begin(&config, &stop, policy, folder, credentials)?;
    supervise(&mut tasks, &stop).await
}

/// Starts every part. Each ends when it is told to stop, and none ends by itself.
fn begin(
    config: &Config,
    stop: &CancellationToken,
    policy: Arc<Policy>,
    folder: IdentityFolder,
    credentials: Credentials,
) -> Result<JoinSet<&'static str>, AppError> {
    let engine =
        Engine::connect(&config.engine)?.with_containerd_root(config.containerd_root.as_deref());
    let accepted = Accepted::open(&config.ledger_folder(), credentials.membership)?;
    let deeds = Deeds::open(&config.ledger_folder(), credentials.membership)?;
    let fleet = credentials.fleet().to_string();

    let (credentials_sender, credentials) = watch::channel(Arc::new(credentials));
    let (inventory_sender, inventory) = watch::channel(None);
    let (status_sender, status) = watch::channel(Arc::new(HostStatus::default()));
    let (desired_sender, desired) = watch::channel(None);
    let (channel_sender, channel) = watch::channel(None);
    let (operations_sender, operations) = mpsc::channel(WAITING_OPERATIONS);

    let credentials_for_peers = credentials.clone();
    let link = Link::new(
        config.fleet.clone(),
        Acceptor::new(accepted, desired_sender),
        link::Ends {
            credentials,
            inventory: inventory.clone(),
            status: status.clone(),
            channel: channel_sender,
            operations: operations_sender,
        },
    );
    let mut delivery = Delivery::new(engine.clone(), &config.delivery_folder()).keeping(Limit {
        bytes: config.cache.as_u64(),
    });
    let mut serving = None;
    if policy.allows_peers() {
        let listener = config
            .peers
            .map(|address| Listener::bind(address, credentials_for_peers.clone()))
            .transpose()?;
        let port = listener.as_ref().map_or(0, Listener::port);
        info!(port, "images come from other hosts, too");
        let peers = Peers::new(port, credentials_for_peers);
        delivery = delivery.with_peers(peers.clone());
        serving = listener.map(|listener| listener.run(peers));
    } else if config.peers.is_some() {
        warn!(
            "agent.toml has `peers`, and the host's policy does not allow it: no image is served to other hosts"
        );
    }
    let reconciler = Reconciler::new(
        reconcile::Means {
            engine: engine.clone(),
            delivery,
            policy: Arc::clone(&policy),
            fleet,
            deeds,
        },
        reconcile::Ends {
            desired,
            inventory,
            channel: channel.clone(),
            status: status_sender,
        },
    );
    let operations = Operations::new(engine.clone(), policy, operations, status, channel);
    let inspector = Inspector::new(engine.clone(), config.labels.clone());

    let mut tasks = JoinSet::new();
    let mut begin =
        |name: &'static str, work: std::pin::Pin<Box<dyn Future<Output = Infallible> + Send>>| {
            let stop = stop.clone();
            tasks.spawn(async move {
                stop.run_until_cancelled_owned(work).await;
                name
            });
        };
    let watcher = Watcher::new(inspector, inventory_sender);
    begin("inventory", Box::pin(watcher.run(engine.events())));
    begin(
        "renewal of the certificate",
        Box::pin(identity::keep_fresh(
            folder,
            config.enrolment.clone(),
            credentials_sender,
        )),
    );
    begin("session", Box::pin(link.run()));
    begin("reconciler", Box::pin(reconciler.run()));
    begin("operations", Box::pin(operations.run()));
    if let Some(serving) = serving {
        begin("listener for other hosts", Box::pin(serving));
    }
    Ok(tasks)
}

/// Waits for the word to stop. A part that ends before it ends the agent, whose supervisor starts it again.
async fn supervise(
    tasks: &mut JoinSet<&'static str>,
    stop: &CancellationToken,
) -> Result<(), AppError> {
    let mut outcome = Ok(());
    while let Some(ended) = tasks.join_next().await {
        let wrong = match ended {
            Ok(_) if stop.is_cancelled() => continue,
            Ok(name) => AppError::Ended(name),
            Err(error) => AppError::Died(error),
        };
        stop.cancel();
        if outcome.is_ok() {
            outcome = Err(wrong);
        }
    }
    outcome
}

fn load_policy(config: &Config) -> Result<Policy, PolicyError> {
    match Policy::load(&config.policy)? {
        Some(policy) => {
            info!(file = %config.policy.display(), "the host's policy holds");
            Ok(policy)
        }
        None => {
            warn!(
                file = %config.policy.display(),
                "there is no policy file: the built-in policy holds (no binds, no exec, nothing privileged)"
            );
            Ok(Policy::built_in())
        }
    }
}
