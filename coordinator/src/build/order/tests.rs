//! What an order is made of.

use super::*;

fn recipe() -> Recipe {
    Recipe {
        id: "tf2.15.1-cpu".parse().unwrap(),
        tensorflow: "2.15.1".parse().unwrap(),
        cuda: None,
        python: "3.11".parse().unwrap(),
        architecture: tfleet_compat::Architecture::X86_64,
        base: tfleet_compat::BaseImage::distribution("debian", "bookworm"),
        requirements: Vec::new(),
        source_distributions: Vec::new(),
    }
}

fn order(additions: Additions) -> Result<Order, BuildError> {
    Order::new(recipe(), additions, &Site::default())
}

#[test]
fn flavours_add_their_packages_and_ports_to_what_the_release_asks() {
    let plain = order(Additions::default()).unwrap();
    let runtime = order(Additions {
        flavours: [Flavour::Runtime].into(),
        ..Additions::default()
    });
    assert_eq!(runtime.unwrap().digest(), plain.digest());

    let both = order(Additions {
        python_packages: vec!["pandas".to_owned()],
        ports: vec![6006],
        flavours: [Flavour::Jupyter, Flavour::Ssh].into(),
        ..Additions::default()
    });
    let both = both.unwrap();
    assert_eq!(
        both.python_packages,
        ["jupyterlab", "pandas"].map(str::to_owned).into()
    );
    assert_eq!(both.debian_packages, ["openssh-server".to_owned()].into());
    assert_eq!(both.ports, [22, 6006, 8888].into());
}

#[test]
fn a_recipe_on_an_imported_base_is_built_on_that() {
    let catalog = tfleet_compat::Catalog::builtin();
    let id = "tf2.3.4-cuda10.1".parse().unwrap();
    let recipe = Recipe::named(catalog, &id, tfleet_compat::Architecture::X86_64).unwrap();
    let order = Order::new(recipe, Additions::default(), &Site::default()).unwrap();
    assert_eq!(
        order.base.as_deref(),
        Some("cuda-10.1-cudnn-7.6-python-3.6")
    );
}

#[test]
fn an_order_without_additions_has_the_digest_that_it_always_had() {
    let json = serde_json::to_string(&order(Additions::default()).unwrap()).unwrap();
    for field in ["flavours", "authorized_keys", "dockerfile"] {
        assert!(!json.contains(field), "{json}");
    }
}

#[test]
fn the_text_of_a_dockerfile_is_part_of_the_order() {
    let with = |rest: &str| {
        let text = format!("ARG TFLEET_BASE\nFROM $TFLEET_BASE\n{rest}");
        order(Additions {
            dockerfile: Some(Dockerfile::new(text).unwrap()),
            ..Additions::default()
        })
    };
    let (one, other) = (with("RUN true\n").unwrap(), with("RUN false\n").unwrap());
    assert_ne!(one.digest(), other.digest());
}

#[test]
fn what_does_not_go_together_says_what_to_do() {
    let on_base = order(Additions {
        base: Some("ours:1".to_owned()),
        flavours: [Flavour::Ssh].into(),
        ..Additions::default()
    });
    let failure = on_base.unwrap_err().failure();
    assert!(failure.message.contains("openssh-server"), "{failure}");
    assert!(failure.remedy.unwrap().contains("--dockerfile"));
    let jupyter_on_base = order(Additions {
        base: Some("ours:1".to_owned()),
        flavours: [Flavour::Jupyter].into(),
        ..Additions::default()
    });
    assert!(jupyter_on_base.is_ok(), "it is made of wheels alone");

    let keys = order(Additions {
        authorized_keys: Some("ssh-ed25519 AAAA".to_owned()),
        ..Additions::default()
    });
    let failure = keys.unwrap_err().failure();
    assert!(failure.remedy.unwrap().contains("--flavour ssh"));
}
