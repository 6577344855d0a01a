use super::*;

fn refusal(text: &str) -> String {
    let description: Description = toml::from_str(text).unwrap();
    description.check().unwrap_err().to_string()
}

#[test]
fn the_quickstarts_lab_is_valid() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/quickstart/lab.toml");
    let description = Description::read(&file).unwrap();
    let drivers: Vec<_> = description
        .hosts
        .iter()
        .map(|host| (host.name.as_str(), host.driver.as_deref()))
        .collect();
    let expected = [
        ("t4", Some("470.256.02")),
        ("a100", Some("535.183.01")),
        ("cpu", None),
    ];
    assert_eq!(drivers, expected);
    assert!(description.builder.is_some());
}

#[test]
fn what_cannot_be_is_refused_with_its_reason() {
    assert!(refusal("[[host]]\nname = 'A'").contains("not a host's name"));
    assert!(refusal("[[host]]\nname = 'builder'").contains("the engine that builds"));
    assert!(refusal("[[host]]\nname = 'a'\n[[host]]\nname = 'a'").contains("two hosts"));
    assert!(refusal("[[host]]\nname = 'a'\ngpus = ['Tesla T4']").contains("no driver"));
    let unknown = "[[host]]\nname = 'a'\ndriver = '470.1'\ngpus = ['Voodoo']";
    assert!(refusal(unknown).contains("it knows Tesla K80"));
    assert!(toml::from_str::<Description>("hosts = 3").is_err());
}

#[test]
fn labels_may_change_while_the_lab_stands_but_drivers_may_not() {
    let lab = |driver: &str, label: &str| -> Description {
        let text =
            format!("[[host]]\nname = 'a'\ndriver = '{driver}'\nlabels = {{ x = '{label}' }}");
        toml::from_str(&text).unwrap()
    };
    assert!(lab("470.1", "1").has_the_machines_of(&lab("470.1", "2")));
    assert!(!lab("470.1", "1").has_the_machines_of(&lab("535.1", "1")));
}
