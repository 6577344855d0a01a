//! A coordinator that serves on ports of the system's choice, and an operator who may speak to it.

use std::path::Path;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tfleet_proto::channel::{self, Address, ClientIdentity, ConnectError, Trust};
use tfleet_proto::model::token::Token;
use tfleet_proto::wire;
use tfleet_proto::wire::operator_client::OperatorClient;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use super::super::{AppError, Coordinator};
use crate::config::{Certificates, Config, Listen, Site};

pub struct Served {
    pub folder: tempfile::TempDir,
    pub config: Config,
    stop: CancellationToken,
    serving: JoinSet<Result<(), AppError>>,
}

pub fn config(data_dir: &Path) -> Config {
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    Config {
        data_dir: data_dir.to_owned(),
        name: "test".to_owned(),
        advertise: "127.0.0.1".to_owned(),
        catalog: Vec::new(),
        listen: Listen {
            enrolment: any,
            fleet: any,
        },
        certificates: Certificates::default(),
        builders: Vec::new(),
        build: Site::default(),
    }
}

impl Served {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = config(&folder.path().join("data"));
        Self::with(folder, config).await
    }

    pub async fn with(folder: tempfile::TempDir, config: Config) -> Self {
        let coordinator = Coordinator::open(config).await.unwrap();
        let config = coordinator.config().clone();
        let stop = CancellationToken::new();
        let mut serving = JoinSet::new();
        serving.spawn(coordinator.serve(stop.clone()));
        Self {
            folder,
            config,
            stop,
            serving,
        }
    }

    /// Stops as SIGTERM does.
    pub async fn stop(mut self) -> tempfile::TempDir {
        self.stop.cancel();
        self.serving.join_next().await.unwrap().unwrap().unwrap();
        self.folder
    }

    /// The same data again, on other ports.
    pub async fn restart(self) -> Self {
        let folder = self.stop().await;
        let config = config(&folder.path().join("data"));
        Self::with(folder, config).await
    }

    pub fn enrolment(&self) -> Address {
        self.config.enrolment_endpoint().parse().unwrap()
    }

    pub fn fleet(&self) -> Address {
        self.config.fleet_endpoint().parse().unwrap()
    }

    /// The first operator.
    pub async fn operator(&self) -> OperatorClient<Channel> {
        let file = self.config.data_dir.join("admin.toml");
        let channel = self.connect(credentials(&file)).await.unwrap();
        OperatorClient::new(channel)
    }

    pub async fn connect(&self, identity: ClientIdentity) -> Result<Channel, ConnectError> {
        channel::connect(&self.fleet(), Trust::Identity(identity)).await
    }

    pub async fn token(&self, host: &str) -> Token {
        let request = wire::CreateTokensRequest {
            hosts: vec![host.to_owned()],
            life_seconds: 0,
        };
        let answer = self.operator().await.create_tokens(request).await.unwrap();
        answer.into_inner().tokens[0].text.parse().unwrap()
    }
}

pub fn credentials(file: &Path) -> ClientIdentity {
    let text = std::fs::read_to_string(file).unwrap();
    let file: toml::Table = text.parse().unwrap();
    let text = |key: &str| file[key].as_str().unwrap().as_bytes();
    ClientIdentity {
        ca_certificate: CertificateDer::from_pem_slice(text("ca_pem")).unwrap(),
        certificate_chain: vec![CertificateDer::from_pem_slice(text("certificate_pem")).unwrap()],
        key: PrivateKeyDer::from_pem_slice(text("key_pem")).unwrap(),
    }
}

pub fn all() -> Option<wire::Selector> {
    Some(wire::Selector {
        all: true,
        ..Default::default()
    })
}
