//! Every way of writing a GPU's name in `names.toml` means the product that stands beside it.

#![expect(clippy::unwrap_used, reason = "a test stops where it cannot go on")]

use serde::Deserialize;
use tfleet_compat::{Catalog, GpuLookupError};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Names {
    printed: Vec<Printed>,
    ambiguous: Vec<Ambiguous>,
    unknown: Vec<Unknown>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Printed {
    source: String,
    /// The name, and the product.
    names: Vec<(String, String)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ambiguous {
    name: String,
    candidates: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unknown {
    names: Vec<String>,
}

fn names() -> Names {
    toml::from_str(include_str!("names.toml")).unwrap()
}

#[test]
fn a_printed_name_means_its_product() {
    for Printed { source, names } in names().printed {
        for (name, product) in names {
            let found = Catalog::builtin()
                .gpu(&name)
                .unwrap_or_else(|error| panic!("{error} ({source})"));
            assert_eq!(found.name, product, "{name:?} ({source})");
        }
    }
}

#[test]
fn a_name_that_could_be_several_products_is_refused_with_all_of_them() {
    for Ambiguous {
        name, candidates, ..
    } in names().ambiguous
    {
        let error = Catalog::builtin().gpu(&name).unwrap_err();
        assert_eq!(error, GpuLookupError::Ambiguous { name, candidates });
    }
}

#[test]
fn a_name_of_no_product_is_not_guessed() {
    for name in names()
        .unknown
        .into_iter()
        .flat_map(|unknown| unknown.names)
    {
        assert_eq!(
            Catalog::builtin().gpu(&name).unwrap_err(),
            GpuLookupError::Unknown { name }
        );
    }
}
