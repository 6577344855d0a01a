//! What is read from a machine's configuration, and what of it is secret.

use super::apt::{parse_deb822, parse_one_line};
use super::*;

#[test]
fn pips_environment_wins_over_its_files() {
    let text = "global.index-url='https://one.example/simple'\n\
                :env:.index-url='https://two.example/simple'\n\
                global.cert='/etc/ca.crt'\n\
                download.cert='/elsewhere'\n\
                global.extra-index-url='\\nhttps://a.example\\nhttps://b.example'\n";
    let found = parse_pip_configuration(text);
    assert_eq!(found["index-url"], "https://two.example/simple");
    assert_eq!(found["cert"], "/etc/ca.crt");
    assert_eq!(
        words(&found["extra-index-url"]),
        ["https://a.example", "https://b.example"]
    );
}

#[test]
fn credentials_in_urls_are_secrets_and_are_not_shown() {
    let url = "https://robot:s3cret-s3cret@mirror.example:8443/simple?x=a@b";
    assert_eq!(
        without_credentials(url),
        "https://mirror.example:8443/simple?x=a@b"
    );
    let secrets: Secrets = secrets::of_url("an index", url).into_iter().collect();
    assert_eq!(secrets.redact("GET s3cret-s3cret now"), "GET *** now");
    assert!(secrets.check(b"robot:s3cret-s3cret", "history").is_err());
    assert!(!format!("{secrets:?}").contains("s3cret"));
    assert!(secrets::of_url("an index", "https://mirror.example/a@b").is_empty());
}

#[test]
fn an_index_reaches_the_installer_by_its_environment_alone() {
    let index = |url: Option<&str>| Index {
        url: url.map(str::to_owned),
        extra_urls: Vec::new(),
    };
    let mut sources = Sources {
        indexes: vec![index(Some("https://m.example/simple"))],
        debian_mirrors: Vec::new(),
        ca_bundle: None,
        proxy: Some("http://p.example:3128".to_owned()),
        stall_seconds: 7,
        network: "host".to_owned(),
        secrets: Secrets::default(),
    };
    let variables = |sources: &Sources| -> std::collections::BTreeMap<_, _> {
        sources.indexes[0]
            .environment(sources, Some(Path::new("/ca.crt")))
            .into_iter()
            .collect()
    };
    let one = variables(&sources);
    assert_eq!(one["UV_DEFAULT_INDEX"], "https://m.example/simple");
    assert_eq!(one["UV_HTTP_TIMEOUT"], "7");
    assert_eq!(one["UV_HTTP_RETRIES"], "2");
    assert_eq!(one["HTTPS_PROXY"], "http://p.example:3128");
    assert_eq!(one["SSL_CERT_FILE"], "/ca.crt");
    sources.indexes.push(index(None));
    assert_eq!(
        variables(&sources)["UV_HTTP_RETRIES"],
        "0",
        "the next index is tried instead"
    );
    let plain = Sources {
        proxy: None,
        ..sources
    };
    let variables = plain.indexes[1].environment(&plain, None);
    assert!(
        variables.iter().all(|(name, _)| name.starts_with("UV_")),
        "{variables:?}"
    );
}

#[test]
fn debians_own_sources_serve_another_suite_and_third_parties_do_not() {
    let deb822 = "# a comment\nTypes: deb\nURIs: http://m.example/debian\nSuites: bookworm bookworm-updates\n\
                  Components: main\n\nTypes: deb\nURIs: http://m.example/debian-security\n\
                  Suites: bookworm-security\nComponents: main contrib\n\n\
                  Types: deb\nURIs: https://third.example/linux/ubuntu\nSuites: bookworm\nComponents: main\n\n\
                  Types: deb-src\nURIs: http://m.example/debian\nSuites: bookworm\nComponents: main\n\n\
                  Enabled: no\nTypes: deb\nURIs: http://off.example/debian\nSuites: bookworm\nComponents: main\n";
    let lines: Vec<_> = parse_deb822(deb822)
        .iter()
        .filter_map(|entry| entry.line_for("bookworm", "trixie"))
        .collect();
    assert_eq!(
        lines,
        [
            "deb http://m.example/debian trixie main",
            "deb http://m.example/debian trixie-updates main",
            "deb http://m.example/debian-security trixie-security main",
        ]
    );
    let one_line = "deb [signed-by=/k.gpg arch=amd64] http://m.example/debian bookworm main\n\
                    deb http://third.example/apt bookworm-pgdg main\n# deb http://m.example/debian bookworm main\n";
    let lines: Vec<_> = parse_one_line(one_line)
        .iter()
        .filter_map(|entry| entry.line_for("bookworm", "bookworm"))
        .collect();
    assert_eq!(lines, ["deb http://m.example/debian bookworm main"]);
}

#[test]
fn credentials_in_the_machines_own_debian_sources_are_seen() {
    let folder = tempfile::tempdir().unwrap();
    let more = folder.path().join("sources.list.d");
    fs::create_dir(&more).unwrap();
    let line = "deb http://robot:of-the-list@m.example/debian bookworm main\n";
    fs::write(folder.path().join("sources.list"), line).unwrap();
    let deb822 =
        "Types: deb\nURIs: https://robot:of-deb822@m.example/apt\nSuites: x\nComponents: y\n";
    fs::write(more.join("site.sources"), deb822).unwrap();
    fs::write(more.join("site.save"), line.replace("list", "past")).unwrap();
    let urls = apt::urls(folder.path());
    let secrets: Secrets = urls
        .iter()
        .flat_map(|url| secrets::of_url("a Debian mirror", url))
        .collect();
    assert!(secrets.check(b"of-the-list", "layers").is_err());
    assert!(secrets.check(b"of-deb822", "layers").is_err());
    assert_eq!(urls.len(), 2, "apt does not read other files");
}

#[tokio::test]
async fn the_ca_bundle_must_not_be_in_an_image_either() {
    let bundle = tempfile::NamedTempFile::new().unwrap();
    let line = "MIIBszCCAVmgAwIBAgIUTfleetTestOnlyNotARealCertificate0123456789ab";
    let text = format!("-----BEGIN CERTIFICATE-----\n{line}\n-----END CERTIFICATE-----\n");
    fs::write(bundle.path(), &text).unwrap();
    let site = Site {
        ca_bundle: Some(bundle.path().to_owned()),
        ..Site::default()
    };
    let sources = Sources::of(&site).await.unwrap();
    let secrets = sources.secrets_beyond(&CertificateMarks::new()).unwrap();
    let found = secrets.check(text.as_bytes(), "layers").unwrap_err();
    assert_eq!(found.to_string(), "the CA bundle is in the image's layers");
    let of_base = certificate_marks(text.as_bytes()).collect();
    let secrets = sources.secrets_beyond(&of_base).unwrap();
    secrets.check(text.as_bytes(), "layers").unwrap();
}

#[test]
fn a_sites_mirrors_are_tried_in_their_order_and_shown_without_credentials() {
    let mirrors = [
        "http://u:password@one.example/debian".to_owned(),
        "http://two.example/debian".to_owned(),
    ];
    let sources = DebianSource::for_suite(&mirrors, "bookworm");
    assert_eq!(
        sources[0].lines,
        ["deb http://u:password@one.example/debian bookworm main"]
    );
    assert_eq!(sources[0].shown, "http://one.example/debian");
    assert_eq!(sources[1].shown, "http://two.example/debian");
}
