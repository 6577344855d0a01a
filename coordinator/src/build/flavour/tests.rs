//! The shipped flavours.

use super::*;

#[test]
fn every_flavour_has_its_row_and_the_name_of_that_row() {
    assert_eq!(ADDITIONS.len(), Flavour::ALL.len());
    for flavour in Flavour::ALL {
        assert!(ADDITIONS.contains_key(&flavour), "{flavour}");
        assert_eq!(flavour.as_str().parse::<Flavour>().unwrap(), flavour);
    }
    let error = "notebook".parse::<Flavour>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "`notebook` is no flavour; there are runtime, jupyter, ssh, devel"
    );
}

#[test]
fn the_start_program_knows_every_service() {
    for flavour in Flavour::ALL {
        if let Some(service) = &flavour.addition().service {
            let case = format!("\n    {service})\n");
            assert!(START_PROGRAM.contains(&case), "{service}");
            assert!(!flavour.addition().ports.is_empty(), "{service}");
        }
    }
}

#[test]
fn combined_flavours_start_all_of_their_services_and_the_runtime_starts_none() {
    let command = |flavours: &[Flavour]| start_command(&flavours.iter().copied().collect());
    assert_eq!(command(&[Flavour::Runtime]), None);
    assert_eq!(command(&[Flavour::Devel]), None);
    assert_eq!(
        command(&[Flavour::Ssh, Flavour::Jupyter, Flavour::Devel]),
        Some([START, "jupyter", "ssh"].map(str::to_owned).to_vec())
    );
}
