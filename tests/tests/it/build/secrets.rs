//! What a site lends to a build and must not find in an image.

use tfleet_coordinator::build::Additions;
use tfleet_coordinator::config::Site;
use tfleet_tests::lab::EngineKind;

use super::index::{Index, Manner, wheel};
use super::workshop::{Workshop, lab, site};

const PASSWORD: &str = "only-for-the-proxy@site";
const AS_GIVEN: &str = "only-for-the-proxy%40site";

#[tokio::test(flavor = "multi_thread")]
async fn neither_a_proxys_credentials_nor_the_ca_bundle_stay_in_an_image() {
    let lab = lab(EngineKind::System);
    let workshop = Workshop::new(&lab, site()).await;
    let plain = workshop.order(&["six==1.17.0"], Additions::default());
    workshop.build(&plain).await.unwrap();

    let index = Index::start(Manner::Serving, None).await;
    index.offer(wheel("pip", "'''stands for pip'''"));
    index.offer(wheel("greeting", "print('hello')"));
    let folder = tempfile::tempdir().unwrap();
    tfleet_coordinator::ca::Authority::open(folder.path(), "site").unwrap();
    let ca_bundle = folder.path().join("ca.crt");
    let certificate = std::fs::read_to_string(&ca_bundle).unwrap();
    let line = certificate.lines().nth(3).unwrap().to_owned();
    let behind_a_proxy = Site {
        // Only the proxy knows this host.
        python_indexes: vec!["http://packages.invalid/simple".to_owned()],
        proxy: Some(index.proxy_url(&format!("robot:{AS_GIVEN}"))),
        ca_bundle: Some(ca_bundle),
        ..site()
    };
    let workshop = workshop.moved(&lab, behind_a_proxy);
    let order = workshop.order(&["greeting"], Additions::default());
    let built = workshop.build(&order).await.unwrap();
    assert!(index.was_proxy());
    for secret in [PASSWORD, AS_GIVEN, &line, "packages.invalid"] {
        assert!(!workshop.holds(&built.artifact, secret), "{secret}");
    }
    assert!(workshop.holds(&built.artifact, "print('hello')"));
    let log = workshop.log(&order).await;
    assert!(!log.contains(PASSWORD) && !log.contains(AS_GIVEN), "{log}");

    // A package that writes one of them down, in whatever form, is found out.
    let stored = workshop.chunks();
    for (name, text, found) in [
        ("decoded", PASSWORD, "the password of the proxy"),
        ("encoded", AS_GIVEN, "the password of the proxy"),
        ("bundle", &certificate, "the CA bundle"),
    ] {
        index.offer(wheel(name, &format!("text = '''{text}'''")));
        let order = workshop.order(&[name], Additions::default());
        let failure = workshop.build(&order).await.unwrap_err();
        assert_eq!(failure.code, "secret-in-image", "{name}: {failure}");
        let expected = format!("{found} is in the image's layers");
        assert!(failure.message.contains(&expected), "{name}: {failure}");
        assert_eq!(workshop.chunks(), stored, "{name}");
    }
}
