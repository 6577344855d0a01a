//! Bundles between two sites: what they hold, what is refused, and that nothing of a refused one counts.

use std::io::Cursor;

use jiff::Timestamp;
use tfleet_compat::Architecture;
use tfleet_proto::model::digest::Digest;

use super::format::{FormatError, Header, Kind, Writer};
use super::*;
use crate::artifact::{
    Artifacts, Origin as ImageOrigin, Received, Secrets, Stored, receive as take,
};
use crate::store::{BuildPhase, Origin, Release, VariantBuild};
use crate::vault::Vault;

struct Site {
    artifacts: Artifacts,
    vault: Vault,
    _folder: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            artifacts: Artifacts::open(&folder.path().join("artifacts")).unwrap(),
            vault: Vault::open(&folder.path().join("vault")).unwrap(),
            _folder: folder,
        }
    }

    /// An image of one file.
    fn image(&self, content: &[u8]) -> Received {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        builder
            .append_data(&mut header, "usr/bin/it", content)
            .unwrap();
        let origin = ImageOrigin::RootFileSystem {
            architecture: Architecture::X86_64,
        };
        let archive = Cursor::new(builder.into_inner().unwrap());
        take(
            archive,
            &self.artifacts,
            origin,
            &Secrets::default(),
            &|_| {},
        )
        .unwrap()
    }

    fn release(&self, name: &str, content: &[u8]) -> Release {
        let Received { artifact, index } = self.image(content);
        Release {
            reference: format!("{name}:v1").parse().unwrap(),
            origin: Origin::Added {
                needs_gpu: false,
                cuda: None,
            },
            builds: vec![VariantBuild {
                phase: BuildPhase::Done,
                artifact: Some(artifact),
                content_bytes: index.content_bytes(),
                stored_bytes: index.frame_bytes(),
                ..VariantBuild::waiting("image".parse().unwrap())
            }],
            created_at: Timestamp::UNIX_EPOCH,
            created_by: "somebody".to_owned(),
        }
    }

    fn export(&self, releases: &[Release], have: &Have) -> Vec<u8> {
        let contents = gather(releases, &self.artifacts, &self.vault, have, false).unwrap();
        let bytes = contents.bytes();
        let bundle = contents.write(Vec::new()).unwrap();
        assert!(bundle.len() as u64 > bytes && (bundle.len() as u64) < bytes + 300);
        bundle
    }

    fn import(&self, bundle: &[u8]) -> Result<Arrived, BundleError> {
        receive(bundle, &self.artifacts, &self.vault, &|_| Ok(()), &|_| {})
    }

    fn have(&self) -> Have {
        let have = have(&self.artifacts, &self.vault).unwrap();
        assert_eq!(Have::from_json(&have.json()).unwrap(), have);
        have
    }
}

/// Content that no compression makes small.
fn noise(seed: u8, length: usize) -> Vec<u8> {
    let mut noise = Vec::new();
    let mut last = Digest::of(&[seed]);
    while noise.len() < length {
        last = Digest::of(last.as_bytes());
        noise.extend_from_slice(last.as_bytes());
    }
    noise
}

#[test]
fn a_release_arrives_as_built_and_once_more_changes_nothing() {
    let (outside, inside) = (Site::new(), Site::new());
    let release = outside.release("train", b"an image");
    let bundle = outside.export(std::slice::from_ref(&release), &inside.have());
    for _ in 0..2 {
        let arrived = inside.import(&bundle).unwrap();
        let [here] = arrived.releases.as_slice() else {
            panic!("{arrived:?}")
        };
        assert_eq!(here.reference, release.reference);
        assert_eq!(
            (&here.origin, &here.builds),
            (&release.origin, &release.builds)
        );
        assert_eq!(here.created_by, "somebody");
        let artifact = release.builds[0].artifact.unwrap();
        assert!(inside.artifacts.known(&artifact).unwrap().is_some());
    }
}

#[test]
fn only_what_the_other_site_lacks_is_in_a_bundle_made_for_it() {
    let (outside, inside) = (Site::new(), Site::new());
    let first = outside.release("train", &noise(1, 6 << 20));
    let all = outside.export(std::slice::from_ref(&first), &Have::default());
    assert!(all.len() > 6 << 20);
    inside.import(&all).unwrap();

    let second = outside.release("serve", &noise(2, 1 << 20));
    let bundle = outside.export(&[first.clone(), second], &inside.have());
    assert!(
        (1 << 20..2 << 20).contains(&bundle.len()),
        "{}",
        bundle.len()
    );
    assert_eq!(inside.import(&bundle).unwrap().releases.len(), 2);

    // A site that lacks what was left out refuses all of it.
    let fresh = Site::new();
    let error = fresh.import(&bundle).unwrap_err();
    assert!(matches!(error, BundleError::Lacks { .. }), "{error}");
    assert!(
        error
            .failure()
            .remedy
            .unwrap()
            .contains("tfleet vault have")
    );
    assert_eq!(fresh.artifacts.stored().unwrap(), Stored::default());
    // Also if it was not told of chunks, but of whole images.
    let partly = outside.export(&[first], &inside.have());
    assert!(matches!(
        fresh.import(&partly),
        Err(BundleError::Lacks { .. })
    ));
}

#[test]
fn nothing_of_a_bundle_that_is_cut_off_or_altered_counts() {
    let (outside, inside) = (Site::new(), Site::new());
    let release = outside.release("train", &noise(1, 5 << 20));
    let bundle = outside.export(&[release], &Have::default());
    for at in [bundle.len() / 3, bundle.len() / 2, bundle.len() - 1] {
        let error = inside.import(&bundle[..at]).unwrap_err();
        assert!(
            matches!(error, BundleError::Format(FormatError::Cut { .. })),
            "{error}"
        );
        assert_eq!(error.failure().code, "bundle-damaged");
        let mut altered = bundle.clone();
        altered[at] ^= 1;
        assert!(inside.import(&altered).is_err());
        assert_eq!(
            inside.artifacts.stored().unwrap(),
            Stored::default(),
            "{at}"
        );
    }
}

#[test]
fn a_chunk_must_belong_to_an_image_and_be_what_its_name_says() {
    let (outside, inside) = (Site::new(), Site::new());
    let Received { artifact, index } = outside.image(b"an image");
    let chunk = index.layers[0].chunks[0];
    let frame = outside
        .artifacts
        .read_frame_part(&chunk, 0, chunk.frame_bytes)
        .unwrap();
    let text = index.canonical_json();
    let entry = |kind, name, content: &[u8]| Header {
        kind,
        name,
        length: content.len() as u64,
    };
    let bundle = |with_index: bool, frame: &[u8]| {
        let mut writer = Writer::begin(Vec::new()).unwrap();
        if with_index {
            let header = entry(Kind::Index, artifact, &text);
            writer.add(&header, &mut text.as_slice()).unwrap();
        }
        let header = entry(Kind::Chunk, chunk.digest, frame);
        writer.add(&header, &mut &*frame).unwrap();
        writer.finish().unwrap()
    };
    let error = inside.import(&bundle(false, &frame)).unwrap_err();
    assert!(matches!(error, BundleError::Unwanted { .. }), "{error}");
    let other = zstd::bulk::compress(&[0; 100], 3).unwrap();
    assert_ne!(other.len(), frame.len());
    let error = inside.import(&bundle(true, &other)).unwrap_err();
    assert!(
        error.to_string().contains("not as long as its index says"),
        "{error}"
    );
    assert_eq!(error.failure().code, "bundle-damaged");
    let mut altered = frame.clone();
    altered[frame.len() / 2] ^= 1;
    let error = inside.import(&bundle(true, &altered)).unwrap_err();
    assert_eq!(error.failure().code, "bundle-damaged");
    // Longer than the index says, and what it holds is larger than the index says.
    let mut longer = frame.clone();
    longer.push(0);
    assert!(inside.import(&bundle(true, &longer)).is_err());
    let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 19).unwrap();
    assert!(inside.import(&bundle(true, &bomb)).is_err());
    assert_eq!(inside.artifacts.stored().unwrap(), Stored::default());
    inside.import(&bundle(true, &frame)).unwrap();
}

#[test]
fn a_release_that_is_there_with_other_content_is_refused_before_any_image_is_read() {
    let (outside, inside) = (Site::new(), Site::new());
    let ours = inside.release("train", b"ours");
    let theirs = outside.release("train", b"theirs");
    let bundle = outside.export(&[theirs], &inside.have());
    let before = inside.artifacts.stored().unwrap();
    let approve = |documents: &[Document]| {
        documents
            .iter()
            .try_for_each(|document| document.check_against(&ours))
    };
    let error = receive(
        bundle.as_slice(),
        &inside.artifacts,
        &inside.vault,
        &approve,
        &|bytes| assert!(bytes < 2000, "{bytes} bytes were read"),
    )
    .unwrap_err();
    assert!(matches!(&error, BundleError::Other { release, .. } if *release == ours.reference));
    assert!(error.to_string().contains("other images"), "{error}");
    assert_eq!(inside.artifacts.stored().unwrap(), before);
}

#[test]
fn what_is_not_built_or_not_kept_is_named() {
    let site = Site::new();
    let mut release = site.release("train", b"an image");
    let lock = Digest::of(b"a lock that nobody kept");
    release.builds[0].lock = Some(lock);
    let gathered = |release: &Release, wheels| {
        let releases = std::slice::from_ref(release);
        gather(
            releases,
            &site.artifacts,
            &site.vault,
            &Have::default(),
            wheels,
        )
    };
    assert!(gathered(&release, false).is_ok());
    let error = gathered(&release, true).unwrap_err();
    assert!(error.to_string().contains(&lock.to_string()), "{error}");
    release.builds[0].phase = BuildPhase::Failed;
    let error = gathered(&release, false).unwrap_err();
    assert!(
        error
            .failure()
            .remedy
            .unwrap()
            .contains("tfleet build train:v1")
    );
}

#[test]
fn another_file_than_a_list_is_no_list() {
    for text in [
        "",
        "[]",
        "{\"format\":\"tfleet.have.v2\"}",
        "{\"format\":\"tfleet.have.v1\",\"chunks\":[\"x\"],\"artifacts\":[],\"locks\":[],\"wheels\":[]}",
    ] {
        let error = Have::from_json(text.as_bytes()).unwrap_err();
        assert!(
            error
                .failure()
                .remedy
                .unwrap()
                .contains("tfleet vault have"),
            "{text}"
        );
    }
}
