//! The same files over rustls with certificates on both ends, and nothing else.

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::Sample;
use super::cpu::Cpu;

const NAME: &str = "bare.test";
/// What is given to TLS, and taken from it, at once.
const PIECE_BYTES: usize = 256 << 10;

pub async fn stream(files: Vec<PathBuf>) -> Result<Sample> {
    let issuer = CertifiedIssuer::self_signed(ca()?, KeyPair::generate()?)?;
    let mut roots = RootCertStore::empty();
    roots.add(issuer.der().clone())?;
    let roots = Arc::new(roots);
    let (chain, key) = certified(&issuer)?;
    let verifier = WebPkiClientVerifier::builder(roots.clone()).build()?;
    let server = ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    let (chain, key) = certified(&issuer)?;
    let client = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?;

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let before = Cpu::now(None)?;
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let (tcp, _) = listener.accept().await?;
        let mut tls = TlsAcceptor::from(Arc::new(server)).accept(tcp).await?;
        let mut frames = read_ahead(files);
        while let Some(frame) = frames.recv().await {
            for piece in frame?.chunks(PIECE_BYTES) {
                tls.write_all(piece).await?;
            }
        }
        tls.shutdown().await?;
        anyhow::Ok(())
    });
    let tcp = TcpStream::connect(address).await?;
    let name = ServerName::try_from(NAME)?;
    let mut tls = TlsConnector::from(Arc::new(client))
        .connect(name, tcp)
        .await?;
    let began = Instant::now();
    let (mut buffer, mut bytes) = (vec![0; PIECE_BYTES], 0);
    loop {
        match tls.read(&mut buffer).await? {
            0 => break,
            got => bytes += got as u64,
        }
    }
    let wall = began.elapsed();
    while let Some(served) = serving.join_next().await {
        served??;
    }
    Ok(Sample {
        wall,
        cpu: Cpu::now(None)?.since(before),
        bytes,
    })
}

/// One on its way, one being read.
fn read_ahead(files: Vec<PathBuf>) -> mpsc::Receiver<std::io::Result<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        for file in files {
            if sender.blocking_send(fs::read(file)).is_err() {
                return;
            }
        }
    });
    receiver
}

fn ca() -> Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    Ok(params)
}

fn certified(
    issuer: &CertifiedIssuer<'_, KeyPair>,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(vec![NAME.to_owned()])?.signed_by(&key, issuer)?;
    let der = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
    Ok((vec![certificate.der().clone()], der))
}
