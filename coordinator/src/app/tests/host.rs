//! A host as the coordinator meets it: a key, a certificate, a session. What it says it has is made up.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tfleet_proto::channel::{self, ClientIdentity, Trust};
use tfleet_proto::convert::wire_timestamp;
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::inventory::{Driver, Engine, Gpu, GpuMode, Inventory, Machine};
use tfleet_proto::model::token::Token;
use tfleet_proto::wire;
use tfleet_proto::wire::agent_message::Message as FromAgent;
use tfleet_proto::wire::coordinator_message::Message as FromCoordinator;
use tfleet_proto::wire::enrollment_client::EnrollmentClient;
use tfleet_proto::wire::session_client::SessionClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use super::served::Served;

pub struct Host {
    pub key: KeyPair,
    pub certificate: Vec<u8>,
    pub ca: Vec<u8>,
}

pub struct Session {
    pub to_coordinator: mpsc::Sender<wire::AgentMessage>,
    pub incoming: Streaming<wire::CoordinatorMessage>,
    pub channel: Channel,
}

pub fn request(key: &KeyPair) -> Vec<u8> {
    let params = CertificateParams::new(Vec::new()).unwrap();
    params.serialize_request(key).unwrap().der().to_vec()
}

pub async fn enrol(
    served: &Served,
    token: &Token,
    key: &KeyPair,
    host_time: Timestamp,
) -> Result<wire::EnrolResponse, Status> {
    let request = wire::EnrolRequest {
        token: token.to_string(),
        signing_request: request(key),
        host_time: Some(wire_timestamp(host_time)),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let answer = enrollment(served, token.ca).await.enrol(request).await?;
    Ok(answer.into_inner())
}

async fn enrollment(served: &Served, ca: Digest) -> EnrollmentClient<Channel> {
    let channel = channel::connect(&served.enrolment(), Trust::PinnedCa(ca)).await;
    EnrollmentClient::new(channel.unwrap())
}

impl Host {
    pub async fn enrolled(served: &Served, name: &str) -> Self {
        let (token, key) = (served.token(name).await, KeyPair::generate().unwrap());
        let answer = enrol(served, &token, &key, Timestamp::now()).await.unwrap();
        Self {
            key,
            certificate: answer.certificate,
            ca: answer.ca_certificate,
        }
    }

    pub fn identity(&self) -> ClientIdentity {
        let key = PrivatePkcs8KeyDer::from(self.key.serialize_der());
        ClientIdentity {
            ca_certificate: CertificateDer::from(self.ca.clone()),
            certificate_chain: vec![CertificateDer::from(self.certificate.clone())],
            key: PrivateKeyDer::Pkcs8(key),
        }
    }

    pub async fn renew(&self, served: &Served) -> Result<Vec<u8>, Status> {
        let request = wire::RenewRequest {
            certificate: self.certificate.clone(),
            signing_request: request(&self.key),
            host_time: Some(wire_timestamp(Timestamp::now())),
        };
        let ca = Digest::of(&self.ca);
        let answer = enrollment(served, ca).await.renew(request).await?;
        Ok(answer.into_inner().certificate)
    }

    pub async fn open(&self, served: &Served) -> Result<Session, Status> {
        self.open_as(served, env!("CARGO_PKG_VERSION")).await
    }

    pub async fn open_as(&self, served: &Served, agent_version: &str) -> Result<Session, Status> {
        let hello = wire::Hello {
            agent_version: agent_version.to_owned(),
            host_time: Some(wire_timestamp(Timestamp::now())),
            ..Default::default()
        };
        self.open_with(served, hello).await
    }

    /// Opens a session with a state that was accepted before.
    pub async fn open_having_accepted(
        &self,
        served: &Served,
        accepted: (u64, u64),
        digest: Digest,
    ) -> Result<Session, Status> {
        let hello = wire::Hello {
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            accepted_incarnation: accepted.0,
            accepted_generation: accepted.1,
            accepted_digest: digest.to_string(),
            host_time: Some(wire_timestamp(Timestamp::now())),
        };
        self.open_with(served, hello).await
    }

    /// Opens a session and hears the welcome.
    async fn open_with(&self, served: &Served, hello: wire::Hello) -> Result<Session, Status> {
        let channel = served.connect(self.identity()).await.unwrap();
        let (to_coordinator, outgoing) = mpsc::channel(8);
        to_coordinator
            .send(wire::AgentMessage {
                message: Some(FromAgent::Hello(hello)),
            })
            .await
            .unwrap();
        let mut client = SessionClient::new(channel.clone());
        let mut incoming = client
            .open(ReceiverStream::new(outgoing))
            .await?
            .into_inner();
        let welcome = incoming.message().await?.unwrap().message;
        assert!(
            matches!(welcome, Some(FromCoordinator::Welcome(_))),
            "{welcome:?}"
        );
        Ok(Session {
            to_coordinator,
            incoming,
            channel,
        })
    }
}

impl Session {
    pub async fn say(&self, message: FromAgent) {
        let message = Some(message);
        self.to_coordinator
            .send(wire::AgentMessage { message })
            .await
            .unwrap();
    }

    pub async fn hear(&mut self) -> Result<Option<FromCoordinator>, Status> {
        let message = self.incoming.message().await?;
        Ok(message.and_then(|message| message.message))
    }
}

/// A T4 on a 470 driver, or no GPU at all.
pub fn inventory(with_gpu: bool) -> Inventory {
    let gpu = Gpu {
        uuid: "GPU-1".to_owned(),
        index: 0,
        name: "Tesla T4".to_owned(),
        compute_capability: Some("7.5".to_owned()),
        memory_bytes: Some(15 << 30),
        memory_used_bytes: None,
        mig_enabled: None,
        ecc_enabled: None,
        temperature_celsius: None,
        utilisation_percent: None,
        processes: Vec::new(),
        pci_bus_id: None,
        fault: None,
    };
    let driver = Driver {
        version: "470.256.02".to_owned(),
        kernel_module_version: None,
        cuda_version: Some("11.4".to_owned()),
        fault: None,
    };
    let text = |text: &str| Some(text.to_owned());
    Inventory {
        observed_at: Timestamp::now(),
        machine: Machine {
            architecture: "x86_64".to_owned(),
            distribution: None,
            kernel_release: None,
            cpu_model: None,
            cpu_count: 8,
            cpu_flags: vec!["avx".to_owned(), "avx2".to_owned()],
            memory_bytes: Some(32 << 30),
        },
        driver: with_gpu.then_some(driver),
        gpus: with_gpu.then_some(gpu).into_iter().collect(),
        engine: Engine {
            endpoint: "unix:///run/docker.sock".to_owned(),
            version: text("20.10.24"),
            api_version: text("1.41"),
            storage_driver: text("overlay2"),
            image_store: None,
            runtimes: vec!["nvidia".to_owned(), "runc".to_owned()],
            data_root: text("/var/lib/docker"),
            data_root_free_bytes: Some(100 << 30),
            fault: None,
        },
        gpu_modes: with_gpu.then_some(GpuMode::Runtime).into_iter().collect(),
        runtime_mode: None,
        images: Vec::new(),
        labels: BTreeMap::from([("rack".to_owned(), "7".to_owned())]),
        warnings: Vec::new(),
        sources: Vec::new(),
    }
}
