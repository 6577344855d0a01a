//! Which wheels a lock takes, and what decides its digest.

use std::cmp::Reverse;

use tfleet_compat::Architecture;

use super::wheel::{Target, rank};
use super::*;

const BOOKWORM: Target = Target {
    python: (3, 11),
    glibc: (2, 36),
    architecture: Architecture::X86_64,
};

fn wheel(name: &str) -> LockedWheel {
    LockedWheel {
        name: name.to_owned(),
        version: "1.0".to_owned(),
        file: format!("{name}-1.0-py3-none-any.whl"),
        sha256: Digest::of(name.as_bytes()),
        size_bytes: 1000,
        url: None,
    }
}

fn lock(wheels: Vec<LockedWheel>) -> Lock {
    Lock {
        format: LockFormat::V1,
        template: TEMPLATE,
        recipe: "tf2.15.1-cpu".to_owned(),
        architecture: Architecture::X86_64,
        python: "3.11".to_owned(),
        base: LockedBase {
            artifact: Digest::of(b"base"),
            diff_ids: vec![Digest::of(b"layer")],
            packages: [("libc6".to_owned(), "2.36-9".to_owned())].into(),
        },
        groups: {
            let recipe = wheels.iter().filter(|wheel| wheel.name != "pandas");
            group(recipe.cloned().collect(), wheels)
        },
        environment: BTreeMap::new(),
        ports: vec![8888],
        bashrc: None,
        library_path: false,
        finish: Finish::default(),
        compat: None,
    }
}

#[test]
fn the_order_in_which_a_resolver_names_wheels_does_not_change_the_lock() {
    let names = ["numpy", "nvidia-cublas-cu12", "tensorflow", "pandas"];
    let forwards = lock(names.iter().map(|name| wheel(name)).collect());
    let backwards = lock(names.iter().rev().map(|name| wheel(name)).collect());
    assert_eq!(forwards.digest(), backwards.digest());
}

#[test]
fn the_lock_reads_back_as_it_was_written() {
    let lock = lock(vec![wheel("tensorflow"), wheel("pandas")]);
    let read: Lock = serde_json::from_slice(&lock.canonical_json()).unwrap();
    assert_eq!(read, lock);
    assert_eq!(read.canonical_json(), lock.canonical_json());
}

#[test]
fn anything_that_changes_the_image_changes_the_digest() {
    let one = lock(vec![wheel("tensorflow")]);
    let mut others = vec![lock(vec![wheel("tensorflow"), wheel("pandas")])];
    let changes: [fn(&mut Lock); 6] = [
        |lock| lock.template += 1,
        |lock| lock.base.artifact = Digest::of(b"another base"),
        |lock| lock.groups[0].wheels[0].sha256 = Digest::of(b"other bytes"),
        |lock| lock.ports.push(22),
        |lock| lock.bashrc = Some("alias ll='ls -l'".to_owned()),
        |lock| drop(lock.environment.insert("A".to_owned(), "b".to_owned())),
    ];
    for change in changes {
        let mut other = one.clone();
        change(&mut other);
        others.push(other);
    }
    for other in others {
        assert_ne!(other.digest(), one.digest());
    }
}

#[test]
fn cuda_comes_first_and_what_the_release_adds_last() {
    let lock = lock(
        ["pandas", "tensorflow", "nvidia-nccl-cu12"]
            .map(wheel)
            .into(),
    );
    let kinds: Vec<_> = lock.groups.iter().map(|group| group.kind).collect();
    assert_eq!(
        kinds,
        [GroupKind::Cuda, GroupKind::Tensorflow, GroupKind::Extras]
    );
}

#[test]
fn a_package_of_the_recipe_in_another_version_comes_last_and_the_recipes_own_layers_stay() {
    let other = LockedWheel {
        version: "0.9".to_owned(),
        sha256: Digest::of(b"numpy 0.9"),
        ..wheel("numpy")
    };
    // Told by an index that knows no sizes: the file is the same.
    let tensorflow = LockedWheel {
        size_bytes: 0,
        url: None,
        ..wheel("tensorflow")
    };
    let recipe = vec![wheel("tensorflow"), wheel("numpy")];
    let plain = group(recipe.clone(), Vec::new());
    let more = group(recipe, vec![tensorflow, other.clone(), wheel("pandas")]);
    assert_eq!(more[..1], plain[..]);
    let extras = Group {
        kind: GroupKind::Extras,
        wheels: vec![other, wheel("pandas")],
    };
    assert_eq!(more[1..], [extras]);
}

#[test]
fn the_name_in_a_requirement_is_the_packages_normalised_one() {
    for (requirement, name) in [
        ("six", "six"),
        (" Typing_Extensions >=4", "typing-extensions"),
        (
            "ruamel..yaml[jinja2]==0.18; python_version>'3'",
            "ruamel-yaml",
        ),
        (
            "opencv-python-headless@ file:///a.whl",
            "opencv-python-headless",
        ),
        ("", ""),
    ] {
        assert_eq!(package_name(requirement), name, "{requirement:?}");
    }
}

#[test]
fn wheels_of_an_index_without_sizes_still_count_for_the_disk() {
    let mut silent = lock(
        ["tensorflow", "nvidia-cudnn-cu12", "numpy"]
            .map(wheel)
            .into(),
    );
    assert_eq!(silent.wheel_bytes(), 3000);
    for group in &mut silent.groups {
        for wheel in &mut group.wheels {
            wheel.size_bytes = 0;
        }
    }
    assert!(
        silent.wheel_bytes() > 900_000_000,
        "{}",
        silent.wheel_bytes()
    );
    assert!(silent.unpacked_bytes_estimate() > 2_000_000_000);
}

#[test]
fn a_requirements_file_has_one_hash_per_package() {
    let lock = lock(vec![wheel("pandas")]);
    let hash = Digest::of(b"pandas");
    assert_eq!(
        lock.groups[0].requirements(),
        format!("pandas==1.0 --hash={hash}\n")
    );
}

#[test]
fn the_interpreters_own_abi_is_preferred_then_abi3_then_pure_python() {
    let order = [
        "a-1-cp311-cp311-manylinux_2_36_x86_64.whl",
        "a-1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        "a-1-cp311-abi3-manylinux_2_28_x86_64.whl",
        "a-1-cp39-abi3-manylinux_2_34_x86_64.whl",
        "a-1-cp311-none-any.whl",
        "a-1-py311-none-any.whl",
        "a-1-py2.py3-none-any.whl",
    ];
    let ranks: Vec<_> = order
        .iter()
        .map(|file| rank(file, &BOOKWORM).expect(file))
        .collect();
    let mut sorted = ranks.clone();
    sorted.sort();
    assert_eq!(ranks, sorted);
}

#[test]
fn what_does_not_run_there_has_no_rank() {
    for file in [
        "a-1-cp312-cp312-manylinux_2_17_x86_64.whl",
        "a-1-cp312-abi3-manylinux_2_17_x86_64.whl",
        "a-1-cp311-cp311-manylinux_2_39_x86_64.whl",
        "a-1-cp311-cp311-manylinux_2_17_aarch64.whl",
        "a-1-cp311-cp311-musllinux_1_2_x86_64.whl",
        "a-1-cp311-cp311-win_amd64.whl",
        "a-1-py2-none-any.whl",
        "a-1-py312-none-any.whl",
        "a-1.tar.gz",
        "a.whl",
        "",
    ] {
        assert_eq!(rank(file, &BOOKWORM), None, "{file}");
    }
}

#[test]
fn a_higher_build_number_wins_between_equals() {
    let plain = rank("a-1-py3-none-any.whl", &BOOKWORM).unwrap();
    let rebuilt = rank("a-1-2local-py3-none-any.whl", &BOOKWORM).unwrap();
    assert_eq!(rebuilt.2, Reverse(2));
    assert!(rebuilt < plain);
}

#[test]
fn the_one_fitting_wheel_of_each_package_is_kept_with_its_hash() {
    let (old, new) = (Digest::of(b"old"), Digest::of(b"new"));
    let text = format!(
        r#"
        lock-version = "1.0"
        created-by = "uv"
        [[packages]]
        name = "cryptography"
        version = "50.0"
        wheels = [
            {{ url = "https://index.example/a/cryptography-50.0-cp311-abi3-manylinux2014_x86_64.whl", size = 4, hashes = {{ sha256 = "{}" }} }},
            {{ url = "https://index.example/b/cryptography-50.0-cp311-abi3-manylinux_2_34_x86_64.whl#frag", size = 5, hashes = {{ sha256 = "{}" }} }},
        ]
        [[packages]]
        name = "local"
        version = "1.0+cpu"
        wheels = [{{ url = "https://index.example/local-1.0%2Bcpu-py3-none-any.whl", hashes = {{ sha256 = "{}" }} }}]
        "#,
        old.hex(),
        new.hex(),
        old.hex(),
    );
    let wheels = read_pylock(&text, &BOOKWORM).unwrap();
    assert_eq!(
        wheels[0].file,
        "cryptography-50.0-cp311-abi3-manylinux_2_34_x86_64.whl"
    );
    assert_eq!((wheels[0].sha256, wheels[0].size_bytes), (new, 5));
    assert_eq!(wheels[1].file, "local-1.0+cpu-py3-none-any.whl");
}

#[test]
fn a_package_without_a_fitting_wheel_or_without_a_hash_is_refused_by_name() {
    let refusal = |wheel: &str| {
        let text = format!("[[packages]]\nname = \"a\"\nversion = \"1\"\nwheels = [{wheel}]\n");
        read_pylock(&text, &BOOKWORM).unwrap_err().to_string()
    };
    assert_eq!(
        refusal("{ name = \"a-1-cp312-cp312-win_amd64.whl\" }"),
        "the resolver chose a 1, of which no wheel fits"
    );
    assert_eq!(
        refusal("{ name = \"a-1-py3-none-any.whl\" }"),
        "the package index gives no SHA-256 for a-1-py3-none-any.whl"
    );
    assert!(read_pylock("packages = 1", &BOOKWORM).is_err());
}
