//! Silent sockets up to the limit of file descriptors. In processes of their own, since the limit is a process's.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tfleet_proto::channel::{self, ClientIdentity, Trust};
use tfleet_proto::model::digest::Digest;
use tfleet_proto::wire::enrollment_client::EnrollmentClient;
use tfleet_proto::wire::operator_client::OperatorClient;
use tfleet_proto::wire::{EnrolRequest, GetFleetRequest};

const DESCRIPTORS: usize = 96;

struct Coordinator(Child);

impl Drop for Coordinator {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn start(folder: &Path, enrolment: SocketAddr, fleet: SocketAddr) -> Result<Coordinator> {
    let config = folder.join("coordinator.toml");
    let text = format!(
        "data_dir = \"{}\"\nname = \"test\"\nadvertise = \"127.0.0.1\"\n[listen]\nenrolment = \"{enrolment}\"\nfleet = \"{fleet}\"\n",
        folder.join("data").display()
    );
    std::fs::write(&config, text)?;
    let log = std::fs::File::create(folder.join("log"))?;
    let child = Command::new("sh")
        .args(["-c", "ulimit -n $0 && exec \"$@\""])
        .arg(DESCRIPTORS.to_string())
        .arg(env!("CARGO_BIN_EXE_tfleet-coordinator"))
        .args(["serve", "--config"])
        .arg(&config)
        .stderr(Stdio::from(log))
        .spawn()?;
    Ok(Coordinator(child))
}

fn credentials(folder: &Path) -> Result<ClientIdentity> {
    let file: toml::Table = std::fs::read_to_string(folder.join("data/admin.toml"))?.parse()?;
    let text = |key: &str| {
        file.get(key)
            .and_then(|value| value.as_str())
            .context("a key")
    };
    let certificate = CertificateDer::from_pem_slice(text("certificate_pem")?.as_bytes())?;
    Ok(ClientIdentity {
        ca_certificate: CertificateDer::from_pem_slice(text("ca_pem")?.as_bytes())?,
        certificate_chain: vec![certificate],
        key: PrivateKeyDer::from_pem_slice(text("key_pem")?.as_bytes())?,
    })
}

async fn ask(folder: &Path, fleet: SocketAddr) -> Result<()> {
    let identity = Trust::Identity(credentials(folder)?);
    let channel = channel::connect(&fleet.to_string().parse()?, identity).await?;
    OperatorClient::new(channel)
        .get_fleet(GetFleetRequest {})
        .await?;
    Ok(())
}

/// Waits until the coordinator serves.
async fn served(folder: &Path, fleet: SocketAddr) {
    let began = Instant::now();
    while let Err(error) = ask(folder, fleet).await {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "it never served: {error:#}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Less than a silent peer's own time-out: nobody waited for those to end.
fn is_prompt(began: Instant) -> bool {
    began.elapsed() < Duration::from_secs(8)
}

/// A connection through the TLS handshake that says nothing after it.
async fn shaken_hands_with(
    enrolment: SocketAddr,
    folder: &Path,
) -> Result<tokio_rustls::client::TlsStream<tokio::net::TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(credentials(folder)?.ca_certificate)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let name = channel::SERVER_NAME.try_into()?;
    let stream = tokio::net::TcpStream::connect(enrolment).await?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    Ok(connector.connect(name, stream).await?)
}

#[tokio::test]
async fn everybody_is_served_while_more_strangers_are_through_the_handshake_than_there_are_descriptors()
 {
    let folder = tempfile::tempdir().unwrap();
    let (enrolment, fleet) = (free_port().unwrap(), free_port().unwrap());
    let _coordinator = start(folder.path(), enrolment, fleet).unwrap();
    served(folder.path(), fleet).await;

    let began = Instant::now();
    let mut silent = Vec::new();
    for _ in 0..DESCRIPTORS + 8 {
        let stranger = tokio::time::timeout(
            Duration::from_secs(8),
            shaken_hands_with(enrolment, folder.path()),
        );
        silent.push(stranger.await.expect("no handshake any more").unwrap());
    }
    ask(folder.path(), fleet).await.unwrap();
    let ca = Digest::of(&credentials(folder.path()).unwrap().ca_certificate);
    let host = channel::connect(&enrolment.to_string().parse().unwrap(), Trust::PinnedCa(ca))
        .await
        .unwrap();
    let mut host = EnrollmentClient::new(host);
    let refused = host.enrol(EnrolRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    assert!(is_prompt(began));
    drop(silent);
}

#[tokio::test]
async fn an_operator_is_served_while_more_silent_sockets_are_open_than_there_are_descriptors() {
    let folder = tempfile::tempdir().unwrap();
    let (enrolment, fleet) = (free_port().unwrap(), free_port().unwrap());
    let _coordinator = start(folder.path(), enrolment, fleet).unwrap();
    served(folder.path(), fleet).await;

    let silent: Vec<TcpStream> = [enrolment, fleet]
        .into_iter()
        .flat_map(|listener| (0..DESCRIPTORS).map(move |_| TcpStream::connect(listener).unwrap()))
        .collect();
    let began = Instant::now();
    ask(folder.path(), fleet).await.unwrap_or_else(|error| {
        let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
        panic!("not served among silent sockets: {error:#}\n{log}");
    });
    assert!(is_prompt(began));
    drop(silent);
}
