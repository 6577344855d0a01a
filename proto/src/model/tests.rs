//! Forms of the identifiers, the token and the artifact index.

use super::artifact::{ArtifactFormat, ArtifactIndex, ArtifactIndexError, Chunk, Layer};
use super::digest::Digest;
use super::name::{HostName, ReleaseName, ReleaseQuery, ReleaseRef, VariantId};
use super::token::{Token, TokenError, TokenSecret};

#[test]
fn names_keep_to_their_form() {
    for good in ["a", "node-1", "gpu.rack7.example", "0"] {
        assert_eq!(good.parse::<HostName>().expect(good).as_str(), good);
    }
    let long = "a".repeat(64);
    for bad in ["", "-a", "a-", "Node", "a_b", "a/b", "a b", ".", &long] {
        assert!(bad.parse::<HostName>().is_err(), "{bad}");
    }
    assert!("a.b".parse::<ReleaseName>().is_err());
    assert!("tf2.15.1-cuda12.2".parse::<VariantId>().is_ok());
}

#[test]
fn a_release_is_a_name_and_a_revision_from_one() {
    let release: ReleaseRef = "train:v7".parse().expect("release");
    assert_eq!(release.to_string(), "train:v7");
    assert_eq!(release.image_reference(), "tfleet/train:v7");
    let variant: VariantId = "tf2.15.1-cpu".parse().expect("variant");
    assert_eq!(
        release.variant_reference(&variant),
        "tfleet/train:v7-tf2.15.1-cpu"
    );
    for bad in [
        "train",
        "train:7",
        "train:v0",
        "train:v07",
        "train:v+7",
        "train:v",
        ":v1",
        "train:v99999999999",
    ] {
        assert!(bad.parse::<ReleaseRef>().is_err(), "{bad}");
    }
    assert!(matches!("train".parse(), Ok(ReleaseQuery::Newest(_))));
    assert!(matches!("train:v2".parse(), Ok(ReleaseQuery::Exact(_))));
    assert!("train:2".parse::<ReleaseQuery>().is_err());
}

#[test]
fn a_digest_is_its_text() {
    // FIPS 180-2, appendix B.1.
    let abc = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(Digest::of(b"abc").to_string(), abc);
    assert_eq!(abc.parse::<Digest>().expect("digest"), Digest::of(b"abc"));
    assert_eq!(Digest::of(b"abc").short(), "ba7816bf8f01");
    for bad in [
        "",
        "sha256:",
        &abc[7..],
        &abc[..70],
        &abc.to_uppercase(),
        &abc.replace("ba", "BA"),
    ] {
        assert!(bad.parse::<Digest>().is_err(), "{bad}");
    }
}

#[test]
fn a_token_survives_its_text_with_dots_in_the_host_name() {
    let token = Token {
        host: "gpu.rack7.example".parse().expect("name"),
        secret: TokenSecret::from_bytes([0xfb; 32]),
        ca: Digest::of(b"ca"),
    };
    let text = token.to_string();
    assert!(text.starts_with("tfleet1.gpu.rack7.example."));
    assert_eq!(format!("{text}\n").parse::<Token>().expect("token"), token);
    assert!(
        !format!("{token:?}").contains("-_v7"),
        "the secret is not in Debug"
    );
}

#[test]
fn a_damaged_token_says_which_part_is() {
    let token = Token {
        host: "node-1".parse().expect("name"),
        secret: TokenSecret::from_bytes([1; 32]),
        ca: Digest::of(b"ca"),
    };
    let text = token.to_string();
    let error = |text: &str| text.parse::<Token>().expect_err(text);
    assert_eq!(error("hello"), TokenError::Form);
    assert_eq!(error(&text.replace("tfleet1", "tfleet2")), TokenError::Form);
    assert_eq!(error("tfleet1.node-1"), TokenError::Form);
    assert!(matches!(
        error(&text.replace("node-1", "Node")),
        TokenError::Host(_)
    ));
    assert_eq!(
        error(&text.replace("node-1.A", "node-1.")),
        TokenError::Secret
    );
    assert_eq!(error(&text[..text.len() - 1]), TokenError::Ca);
}

fn index() -> ArtifactIndex {
    let chunk = |content: &[u8]| Chunk {
        digest: Digest::of(content),
        content_bytes: content.len() as u64,
        frame_bytes: 20,
    };
    ArtifactIndex {
        format: ArtifactFormat::V1,
        config: r#"{"architecture":"amd64"}"#.to_owned(),
        layers: vec![Layer {
            diff_id: Digest::of(b"abcdef"),
            size_bytes: 6,
            chunks: vec![chunk(b"abc"), chunk(b"def")],
        }],
    }
}

#[test]
fn an_artifact_index_has_one_canonical_form() {
    let index = index();
    let json = index.canonical_json();
    let expected = format!(
        r#"{{"format":"tfleet.artifact.v1","config":"{{\"architecture\":\"amd64\"}}","layers":[{{"diff_id":"{}","size_bytes":6,"chunks":[{{"sha256":"{}","content_bytes":3,"frame_bytes":20}},{{"sha256":"{}","content_bytes":3,"frame_bytes":20}}]}}]}}"#,
        Digest::of(b"abcdef"),
        Digest::of(b"abc").hex(),
        Digest::of(b"def").hex(),
    );
    assert_eq!(String::from_utf8(json.clone()).expect("text"), expected);
    assert_eq!(
        ArtifactIndex::from_canonical_json(&json).expect("index"),
        index
    );
    assert_eq!(index.digest(), Digest::of(&json));
    let spaced = expected.replace("\"layers\":", "\"layers\": ");
    let error = ArtifactIndex::from_canonical_json(spaced.as_bytes()).expect_err("spaced");
    assert!(matches!(error, ArtifactIndexError::NotCanonical));
}

#[test]
fn an_artifact_index_whose_sizes_disagree_is_refused() {
    let refused = |change: fn(&mut ArtifactIndex)| {
        let mut index = index();
        change(&mut index);
        ArtifactIndex::from_canonical_json(&index.canonical_json()).expect_err("wrong sizes")
    };
    assert!(matches!(
        refused(|index| index.layers[0].size_bytes = 7),
        ArtifactIndexError::LayerSize {
            size_bytes: 7,
            chunk_bytes: 6,
            ..
        }
    ));
    assert!(matches!(
        refused(|index| index.layers[0].chunks[1].content_bytes = 5 << 20),
        ArtifactIndexError::ChunkSize { number: 1, .. }
    ));
    assert!(matches!(
        refused(|index| index.layers[0].chunks[0].frame_bytes = u64::MAX),
        ArtifactIndexError::ChunkSize { number: 0, .. }
    ));
}
