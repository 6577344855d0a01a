//! What may be typed, and what is said about what may not.

use clap::{CommandFactory as _, Parser as _};
use tfleet_proto::model::desired::{BindMount, GpuRequest, PortProtocol, RestartPolicy};

use super::container_options::{bind, environment, gpus, port, restart_policy, size};
use super::operator::Operators;
use super::{Command, CommandLine, Context};
use crate::error::Error;
use crate::view::{Format, Output};

#[test]
fn the_command_line_is_consistent() {
    CommandLine::command().debug_assert();
}

#[test]
fn an_operators_life_is_the_coordinators_to_say_unless_it_is_given() {
    let life = |more: &[&str]| {
        let words = ["tfleet", "operator", "issue", "ann", "--out", "ann.toml"];
        let words = words.iter().chain(more);
        let line = CommandLine::try_parse_from(words).map_err(|error| error.to_string())?;
        match line.command {
            Command::Operator(Operators::Issue { life_days, .. }) => Ok(life_days),
            other => Err(format!("{other:?}")),
        }
    };
    assert_eq!(life(&[]), Ok(None));
    assert_eq!(life(&["--life-days", "30"]), Ok(Some(30)));
    assert!(life(&["--life-days", "0"]).is_err());
}

#[test]
fn ports_have_an_optional_address_and_protocol() {
    let parsed = port("8888:80").expect("ports");
    assert_eq!(
        (parsed.host_port.get(), parsed.container_port.get()),
        (8888, 80)
    );
    assert_eq!(
        (parsed.host_address, parsed.protocol),
        (None, PortProtocol::Tcp)
    );
    let parsed = port("127.0.0.1:53:5353/udp").expect("ports");
    assert_eq!(parsed.host_address, Some([127, 0, 0, 1].into()));
    assert_eq!(parsed.protocol, PortProtocol::Udp);
    assert!(
        port("[::1]:22:22")
            .expect("ports")
            .host_address
            .is_some_and(|address| address.is_ipv6())
    );
    for (text, why) in [
        ("8888", "write [ADDRESS:]HOST_PORT:CONTAINER_PORT"),
        ("0:80", "`0` is not a port; ports are 1 to 65535"),
        ("80:65536", "`65536` is not a port"),
        ("80:http", "`http` is not a port"),
        (
            "80:80/sctp",
            "`sctp` is not a protocol; there are tcp and udp",
        ),
        ("lo:80:80", "`lo` is not an IP address of the host"),
        ("::80", "`` is not"),
    ] {
        let error = port(text).expect_err(text);
        assert!(error.starts_with(why), "{text}: {error}");
    }
}

#[test]
fn binds_are_absolute_on_both_sides() {
    let expected = BindMount {
        source: "/data".to_owned(),
        target: "/mnt".to_owned(),
        read_only: true,
    };
    assert_eq!(bind("/data:/mnt:ro"), Ok(expected.clone()));
    assert_eq!(
        bind("/data:/mnt"),
        Ok(BindMount {
            read_only: false,
            ..expected.clone()
        })
    );
    assert_eq!(
        bind("/data:/mnt:rw"),
        Ok(BindMount {
            read_only: false,
            ..expected
        })
    );
    for (text, why) in [
        ("/data", "write SOURCE:TARGET[:ro]"),
        ("data:/mnt", "`data` is not an absolute path"),
        ("/data:mnt", "`mnt` is not an absolute path"),
        ("/data:/mnt:z", "`z` is not a mode; there are ro and rw"),
        ("/a:/b:ro:x", "write SOURCE:TARGET[:ro]"),
    ] {
        let error = bind(text).expect_err(text);
        assert!(error.starts_with(why), "{text}: {error}");
    }
}

#[test]
fn environment_keeps_everything_after_the_first_equals_sign() {
    assert_eq!(environment("A=b=c"), Ok(("A".to_owned(), "b=c".to_owned())));
    assert_eq!(environment("A="), Ok(("A".to_owned(), String::new())));
    for text in ["A", "=b", ""] {
        assert!(
            environment(text)
                .expect_err(text)
                .ends_with("write NAME=VALUE")
        );
    }
}

#[test]
fn sizes_follow_docker_where_docker_has_a_word() {
    for (text, bytes) in [
        ("1g", 1 << 30),
        ("512M", 512 << 20),
        ("64k", 64 << 10),
        ("4096", 4096),
        ("10b", 10),
        ("1.5GiB", 3 << 29),
        ("2GB", 2_000_000_000),
    ] {
        assert_eq!(size(text), Ok(bytes), "{text}");
    }
    for text in ["", "g", "0", "-1g", "1x", "1.5g", "99999999999g", "one"] {
        assert!(size(text).is_err(), "{text}");
    }
}

#[test]
fn restart_policies_and_gpus_name_what_there_is() {
    assert_eq!(
        restart_policy("unless-stopped"),
        Ok(RestartPolicy::UnlessStopped)
    );
    assert_eq!(
        restart_policy("on-failure:3"),
        Ok(RestartPolicy::OnFailure { maximum_retries: 3 })
    );
    for text in ["sometimes", "on-failure:0", "on-failure:x", "always:3"] {
        assert!(restart_policy(text).is_err(), "{text}");
    }
    assert_eq!(
        gpus("GPU-1,GPU-2"),
        Ok(GpuRequest::Uuids(vec![
            "GPU-1".to_owned(),
            "GPU-2".to_owned()
        ]))
    );
    assert_eq!(gpus("none"), Ok(GpuRequest::None));
    assert!(
        gpus("GPU-1,0")
            .expect_err("index")
            .starts_with("`0` is not a GPU's UUID")
    );
}

/// Every example of the help texts, and what the quick start types.
#[test]
fn the_examples_can_be_typed() {
    let mut examples: Vec<String> = Vec::new();
    collect_examples(&CommandLine::command(), &mut examples);
    for extra in [
        "tfleet hosts --all --output json",
        "tfleet token create t4 --output text",
        "tfleet hosts wait t4 a100",
        "tfleet run train --name tf --all --detach --replace -p 8888:8888",
        "tfleet exec tf --all -- python -c 'print(1)'",
    ] {
        examples.push(extra.to_owned());
    }
    for example in examples {
        let words = split(&example);
        CommandLine::try_parse_from(&words).unwrap_or_else(|error| panic!("{example}\n{error}"));
    }
}

/// What README.md and the quick start type, with a shell's variables for words of no meaning here.
#[test]
fn what_the_documents_type_can_be_typed() {
    for (document, text) in [
        ("README.md", include_str!("../../../README.md")),
        (
            "deploy/quickstart/up.sh",
            include_str!("../../../deploy/quickstart/up.sh"),
        ),
    ] {
        let lines = typed_lines(text);
        assert!(lines.len() > 8, "{document}: {lines:?}");
        for line in lines {
            let words = shell_words(&line);
            CommandLine::try_parse_from(&words)
                .unwrap_or_else(|error| panic!("{document}: {line}\n{error}"));
        }
    }
}

/// The commands of a script, or of a document's code blocks: each from `tfleet `, at a line's beginning or after `$(`, to
/// its end.
fn typed_lines(text: &str) -> Vec<String> {
    let text = text.replace("\\\n", " ");
    let code: Vec<&str> = if text.contains("\n```\n") {
        text.split("\n```\n").skip(1).step_by(2).collect()
    } else {
        vec![&text]
    };
    let command = |line: &str| {
        let line = line.trim();
        let inner = line.find("$(tfleet ").map(|at| &line[at + 2..]);
        let line = inner.map_or(line, |inner| inner.trim_end_matches(')'));
        line.starts_with("tfleet ").then(|| line.to_owned())
    };
    let lines = code.into_iter().flat_map(str::lines);
    lines.filter_map(command).collect()
}

/// Words up to a comment, a redirection or the next command, with quotes taken off.
fn shell_words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim();
    while let Some(first) = rest.chars().next() {
        let (word, after) = match first {
            '#' | '>' | '|' | '&' => break,
            '\'' | '"' => rest[1..].split_once(first).unwrap_or((&rest[1..], "")),
            _ => rest.split_once(' ').unwrap_or((rest, "")),
        };
        match word {
            "2>&1" => break,
            "" => {}
            word => words.push(
                word.replace("${hosts[@]}", "t4")
                    .replace("${hosts[0]}", "t4")
                    .replace("$release", "train")
                    .replace("$constraint", ">=2.14")
                    .replace("$host", "t4"),
            ),
        }
        rest = after.trim_start();
    }
    words
}

#[test]
fn every_command_that_can_be_typed_has_examples_of_its_own() {
    let mut without = Vec::new();
    collect_without_example("tfleet", &CommandLine::command(), &mut without);
    assert!(without.is_empty(), "no example of: {without:?}");
}

/// The paths of the leaves whose help has no line that types them.
fn collect_without_example(path: &str, command: &clap::Command, without: &mut Vec<String>) {
    if command.get_subcommands().next().is_none() {
        let mut examples = Vec::new();
        collect_examples(command, &mut examples);
        let types_it = |line: &String| {
            line.strip_prefix(path)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        };
        if !examples.iter().any(types_it) {
            without.push(path.to_owned());
        }
    }
    for subcommand in command.get_subcommands() {
        let path = format!("{path} {}", subcommand.get_name());
        collect_without_example(&path, subcommand, without);
    }
}

/// No coordinator is there to be asked: who would ask it would get another error.
#[tokio::test]
async fn a_command_that_changes_something_wants_its_hosts_selected() {
    for line in [
        "tfleet release create train --tensorflow >=2.14",
        "tfleet rollout start train",
        "tfleet run train --name tf",
        "tfleet start tf",
        "tfleet stop tf",
        "tfleet restart tf",
        "tfleet rm tf",
        "tfleet exec tf -- true",
    ] {
        let typed = CommandLine::try_parse_from(split(line)).expect(line);
        let context = Context {
            credentials: Some("/nonexistent".into()),
            output: Output::to_stdout(Format::Table),
        };
        let refused = typed.command.run(&context).await;
        assert!(
            matches!(&refused, Err(Error::Usage(why)) if why.contains("no hosts are selected")),
            "{line}: {refused:?}"
        );
    }
}

fn collect_examples(command: &clap::Command, examples: &mut Vec<String>) {
    let help = command
        .get_after_help()
        .map(ToString::to_string)
        .unwrap_or_default();
    let lines = help
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("tfleet "));
    examples.extend(lines.map(|line| line.split("  #").next().unwrap_or(line).trim().to_owned()));
    for subcommand in command.get_subcommands() {
        collect_examples(subcommand, examples);
    }
}

/// Words of a shell line with single quotes.
fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in line.split('\'').enumerate() {
        if index % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

#[test]
fn an_expression_that_cannot_be_read_is_pointed_at_before_anything_is_asked() {
    let error = CommandLine::try_parse_from(["tfleet", "hosts", "--where", "drvier >= 470"])
        .expect_err("field");
    assert_eq!(error.exit_code(), 2);
    assert!(
        error.to_string().contains("there is no field `drvier`"),
        "{error}"
    );
}

#[test]
fn an_interactive_command_keeps_its_own_flags() {
    let line = CommandLine::try_parse_from([
        "tfleet", "exec", "-it", "tf", "--host", "t4", "--", "bash", "-l",
    ]);
    let Ok(CommandLine {
        command: Command::Exec(exec),
        ..
    }) = line
    else {
        panic!("{line:?}")
    };
    assert!(exec.interactive && exec.tty);
    assert_eq!(exec.command, ["bash", "-l"]);
}
