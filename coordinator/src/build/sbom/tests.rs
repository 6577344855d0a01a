//! The document, against what the specification requires: <https://cyclonedx.org/docs/1.6/json/>.

use std::collections::BTreeSet;

use serde_json::Value;
use tfleet_compat::{BaseImage, Recipe};

use super::*;
use crate::build::lock::{Finish, LockFormat, LockedBase, TEMPLATE};
use crate::build::order::Additions;
use crate::build::{Group, GroupKind};
use crate::config::Site;

fn wheel(name: &str, version: &str) -> LockedWheel {
    LockedWheel {
        name: name.to_owned(),
        version: version.to_owned(),
        file: format!("{}-{version}-py3-none-any.whl", name.replace('-', "_")),
        sha256: Digest::of(name.as_bytes()),
        size_bytes: 1,
        url: None,
    }
}

fn lock() -> Lock {
    Lock {
        format: LockFormat::V1,
        template: TEMPLATE,
        recipe: "tf2.15.1-cpu".to_owned(),
        architecture: Architecture::X86_64,
        python: "3.11".to_owned(),
        base: LockedBase {
            artifact: Digest::of(b"base"),
            diff_ids: Vec::new(),
            packages: [("libc6", "2.36-9+deb12u13"), ("bsdutils", "1:2.38.1-5")]
                .map(|(name, version)| (name.to_owned(), version.to_owned()))
                .into(),
        },
        groups: vec![
            Group {
                kind: GroupKind::Tensorflow,
                wheels: vec![wheel("six", "1.17.0"), wheel("tensorflow-cpu", "2.15.1")],
            },
            Group {
                kind: GroupKind::Extras,
                wheels: vec![wheel("six", "1.16.0"), wheel("torch", "2.1.0+cpu")],
            },
        ],
        environment: Default::default(),
        ports: Vec::new(),
        bashrc: None,
        library_path: false,
        finish: Finish::default(),
        compat: None,
    }
}

fn order(base: Option<&str>) -> Order {
    let recipe = Recipe {
        id: "tf2.15.1-cpu".parse().unwrap(),
        tensorflow: "2.15.1".parse().unwrap(),
        cuda: None,
        python: "3.11".parse().unwrap(),
        architecture: Architecture::X86_64,
        base: BaseImage::distribution("debian", "bookworm"),
        requirements: Vec::new(),
        source_distributions: Vec::new(),
    };
    let additions = Additions {
        base: base.map(str::to_owned),
        ..Additions::default()
    };
    Order::new(recipe, additions, &Site::default()).unwrap()
}

fn document(base: Option<&str>) -> (String, Value) {
    let sbom = Sbom {
        release: "train:v1",
        order: &order(base),
        lock: &lock(),
        artifact: &Digest::of(b"artifact"),
    };
    let text = sbom.to_json();
    let value = serde_json::from_str(&text).unwrap();
    (text, value)
}

fn purls(document: &Value) -> Vec<&str> {
    let components = document["components"].as_array().unwrap().iter();
    components
        .filter_map(|component| component["purl"].as_str())
        .collect()
}

#[test]
fn every_package_is_a_component_by_its_url_and_replaced_wheels_are_none() {
    let (_, document) = document(None);
    assert_eq!(
        purls(&document),
        [
            "pkg:deb/debian/bsdutils@1%3A2.38.1-5?arch=amd64&distro=bookworm",
            "pkg:deb/debian/libc6@2.36-9%2Bdeb12u13?arch=amd64&distro=bookworm",
            "pkg:pypi/tensorflow-cpu@2.15.1",
            "pkg:pypi/six@1.16.0",
            "pkg:pypi/torch@2.1.0%2Bcpu",
        ]
    );
    let base = &document["components"][0];
    assert_eq!(base["name"], "debian:bookworm");
    assert_eq!(base["hashes"][0]["content"], Digest::of(b"base").hex());
}

#[test]
fn what_the_specification_requires_is_there() {
    let (_, document) = document(None);
    assert_eq!(document["bomFormat"], "CycloneDX");
    assert_eq!(document["specVersion"], "1.6");
    assert_eq!(document["version"], 1);
    // ^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$
    let serial = document["serialNumber"].as_str().unwrap();
    let groups: Vec<_> = serial
        .strip_prefix("urn:uuid:")
        .unwrap()
        .split('-')
        .collect();
    assert_eq!(
        groups.iter().map(|group| group.len()).collect::<Vec<_>>(),
        [8, 4, 4, 4, 12]
    );
    let mut components = vec![&document["metadata"]["component"]];
    components.extend(document["components"].as_array().unwrap());
    let mut references = BTreeSet::new();
    for component in components {
        let kind = component["type"].as_str().unwrap();
        assert!(["container", "library"].contains(&kind), "{component}");
        assert!(!component["name"].as_str().unwrap().is_empty());
        assert!(
            references.insert(component["bom-ref"].as_str().unwrap()),
            "twice: {component}"
        );
        for hash in component["hashes"].as_array().into_iter().flatten() {
            assert_eq!(hash["alg"], "SHA-256");
            assert_eq!(hash["content"].as_str().unwrap().len(), 64);
        }
    }
    let dependency = &document["dependencies"][0];
    assert_eq!(
        dependency["ref"],
        document["metadata"]["component"]["bom-ref"]
    );
    for reference in dependency["dependsOn"].as_array().unwrap() {
        assert!(references.contains(reference.as_str().unwrap()));
    }
}

#[test]
fn the_same_image_has_the_same_document_without_any_time() {
    let (one, _) = document(None);
    let (other, _) = document(None);
    assert_eq!(one, other);
    assert!(!one.contains("timestamp"));
}

#[test]
fn packages_of_a_base_that_others_made_are_named_without_a_distribution() {
    let (_, document) = document(Some("ours:1"));
    assert_eq!(document["components"][0]["name"], "ours:1");
    assert!(
        purls(&document)
            .iter()
            .all(|purl| !purl.starts_with("pkg:deb"))
    );
    assert_eq!(document["components"][2]["name"], "libc6");
}
