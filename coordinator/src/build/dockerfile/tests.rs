//! Which Dockerfiles are taken.

use super::*;

const HEAD: &str = "ARG TFLEET_BASE\nFROM ${TFLEET_BASE}\n";

fn read(rest: &str) -> Result<Dockerfile, DockerfileError> {
    Dockerfile::new(format!("{HEAD}{rest}"))
}

#[test]
fn what_needs_no_other_file_is_taken() {
    for rest in [
        "RUN apt-get update && \\\n    # a word between\n    apt-get install --yes git\n",
        "ADD https://example.org/data.tar /data/\n",
        "FROM other AS tools\nFROM $TFLEET_BASE\nCOPY --from=tools /bin/tool /bin/\n",
        "COPY <<EOF /etc/motd\nCOPY these are words ./\nEOF\nRUN true\n",
        "RUN <<-\"END\"\n\tCOPY a b\n\tEND\nENV A=b\n",
        "RUN echo 'COPY . .'\n",
    ] {
        read(rest).unwrap_or_else(|error| panic!("{rest}: {error}"));
    }
}

#[test]
fn files_from_beside_it_are_refused_with_the_line() {
    for (rest, line) in [
        ("COPY requirements.txt /tmp/\n", 3),
        ("RUN true\nADD --chown=1:1 data.tar /\n", 4),
        ("copy [\"a b\", \"/tmp/\"]\n", 3),
        ("COPY --chmod=600 \\\n  key /root/\n", 3),
        ("RUN <<EOF\nEOF\nCOPY late /\n", 5),
    ] {
        match read(rest) {
            Err(DockerfileError::LocalFiles { line: found, .. }) => {
                assert_eq!(found, line, "{rest}")
            }
            other => panic!("{rest}: {other:?}"),
        }
    }
}

#[test]
fn it_must_stand_on_the_image_that_the_lock_makes_and_be_small() {
    let error = Dockerfile::new("FROM debian:bookworm\n".to_owned()).unwrap_err();
    assert_eq!(error, DockerfileError::NoBase);
    let large = read(&"#".repeat(LARGEST_BYTES)).unwrap_err();
    assert!(matches!(large, DockerfileError::TooLarge { .. }), "{large}");
}

#[test]
fn its_command_is_found() {
    assert!(read("CMD [\"serve\"]\n").unwrap().has_command());
    assert!(
        !read("RUN echo CMD\nENTRYPOINT [\"serve\"]\n")
            .unwrap()
            .has_command()
    );
}
