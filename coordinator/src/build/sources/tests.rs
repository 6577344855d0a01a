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
    let secrets: Secrets = secrets_of("an index", url).into_iter().collect();
    assert_eq!(secrets.redact("GET s3cret-s3cret now"), "GET *** now");
    assert!(secrets.check(b"robot:s3cret-s3cret", "history").is_err());
    assert!(!format!("{secrets:?}").contains("s3cret"));
    assert!(secrets_of("an index", "https://mirror.example/a@b").is_empty());
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
