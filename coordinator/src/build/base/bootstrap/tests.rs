//! What becomes of a bootstrapper that nobody waits for any more.

use std::io::Read as _;

use super::*;

#[tokio::test]
async fn whoever_gives_up_lets_the_program_and_its_children_clean_up() {
    let (mut told, tell) = std::io::pipe().unwrap();
    // A signal between fork and exec is lost on `sleep`: the pipe must not wait for its end.
    let script = "(trap 'echo child; exit' TERM; echo ready; sleep 60 >/dev/null & wait) & \
                  trap 'wait; echo parent; exit' TERM; echo ready; wait";
    let mut command = Command::new("sh");
    command.args(["-c", script]).process_group(0).stdout(tell);
    let child = command.spawn().unwrap();
    drop(command);
    let running = Running::of(&child);
    let mut ready = [0; 2 * "ready\n".len()];
    told.read_exact(&mut ready).unwrap();
    drop((child, running));
    let mut rest = String::new();
    told.read_to_string(&mut rest).unwrap();
    let mut words: Vec<_> = rest.lines().collect();
    words.sort_unstable();
    assert_eq!(words, ["child", "parent"]);
}
