//! `tfleet exec -it` at a terminal. `script` is what makes the terminal.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tfleet_tests::harness::eventually;
use tfleet_tests::lab::HostDescription;

use super::main_job::fleet;

/// A person at a terminal of 33 rows and 101 columns.
struct Person {
    shell: Child,
    keyboard: ChildStdin,
    screen: Arc<Mutex<String>>,
}

impl Person {
    fn types(command: &Command) -> Result<Self> {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let words: Vec<String> = words
            .map(|word| format!("'{}'", word.to_string_lossy()))
            .collect();
        let line = format!("stty rows 33 cols 101; exec {}", words.join(" "));
        let mut shell = Command::new("script")
            .args(["--quiet", "--return", "--command", &line, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("script did not start")?;
        let keyboard = shell.stdin.take().context("a keyboard")?;
        let mut output = shell.stdout.take().context("a screen")?;
        let screen = Arc::new(Mutex::new(String::new()));
        let seen = Arc::clone(&screen);
        // It ends with the terminal.
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..count]);
                seen.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push_str(&text);
            }
        });
        Ok(Self {
            shell,
            keyboard,
            screen,
        })
    }

    fn press(&mut self, keys: &str) -> Result<()> {
        self.keyboard.write_all(keys.as_bytes())?;
        Ok(self.keyboard.flush()?)
    }

    fn sees(&self, text: &str) -> Result<()> {
        eventually(Duration::from_secs(20), || {
            let screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
            ensure!(screen.contains(text), "{screen:?} has no {text:?}");
            Ok(())
        })
    }
}

#[test]
fn a_shell_in_a_container_has_our_terminals_size_and_keys_and_its_exit_code_is_ours() -> Result<()>
{
    let fleet = fleet(vec![HostDescription::new("host")])?;
    fleet.add_image("tiny", &[], &[])?;
    fleet.ok(["rollout", "start", "tiny", "--all"])?;
    fleet.ok(["run", "tiny", "--name", "talk", "--all", "--detach"])?;

    let exec = ["exec", "-it", "talk", "--host", "host", "--", "sh"];
    let mut person = Person::types(&fleet.operator().command(exec))?;
    person.press("stty size\r")?;
    person.sees("33 101")?;
    // What is typed is echoed too, but not as what it prints.
    person.press("echo no''w; sleep 1000\r")?;
    person.sees("\nnow")?;
    person.press("\x03")?;
    person.press("echo a''gain\r")?;
    person.sees("\nagain")?;
    person.press("exit 7\r")?;
    let ended = person.shell.wait()?;
    ensure!(ended.code() == Some(7), "{ended}");
    Ok(())
}
