//! Proof that nothing secret went into an image: the bytes of known secrets are looked for while a layer passes.

use std::fmt;
use std::io::{self, Write};

use memchr::memmem;

/// A text that no image may hold. Its value never shows in logs.
#[derive(Clone)]
pub struct Secret {
    /// What it is, for the person who must act: "the password of build.proxy".
    pub name: String,
    /// Made once: that costs more than finding nothing in one piece of a layer.
    text: memmem::Finder<'static>,
}

/// The secrets that a build was given.
#[derive(Debug, Clone, Default)]
pub struct Secrets(Vec<Secret>);

/// A secret was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} is in the image's {place}")]
pub struct SecretFound {
    pub name: String,
    pub place: String,
}

/// Shorter texts occur by chance in gigabytes of libraries, and are no secret worth the word.
const SHORTEST_BYTES: usize = 6;

impl Secret {
    /// None if the text is too short to be told from chance.
    pub fn new(name: impl Into<String>, text: impl Into<Vec<u8>>) -> Option<Self> {
        let text = text.into();
        (text.len() >= SHORTEST_BYTES).then(|| Self {
            name: name.into(),
            text: memmem::Finder::new(&text).into_owned(),
        })
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.text.needle()) == (&other.name, other.text.needle())
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Secret({})", self.name)
    }
}

impl FromIterator<Secret> for Secrets {
    fn from_iter<I: IntoIterator<Item = Secret>>(secrets: I) -> Self {
        Self(secrets.into_iter().collect())
    }
}

impl Secrets {
    /// These and `more`.
    pub fn with(&self, more: impl IntoIterator<Item = Secret>) -> Self {
        Self(self.0.iter().cloned().chain(more).collect())
    }

    /// # Errors
    /// If one of the secrets is in `text`.
    pub fn check(&self, text: &[u8], place: &str) -> Result<(), SecretFound> {
        match self
            .0
            .iter()
            .find(|secret| secret.text.find(text).is_some())
        {
            Some(secret) => Err(SecretFound {
                name: secret.name.clone(),
                place: place.to_owned(),
            }),
            None => Ok(()),
        }
    }

    /// `text` with every secret replaced, fit for a log.
    pub fn redact(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| {
            match std::str::from_utf8(secret.text.needle()) {
                Ok(plain) => text.replace(plain, "***"),
                Err(_) => text,
            }
        })
    }

    fn longest(&self) -> usize {
        self.0
            .iter()
            .map(|secret| secret.text.needle().len())
            .max()
            .unwrap_or(0)
    }
}

/// Passes bytes on and looks for secrets in them, also across the border of two writes.
pub struct Scan<'a, W> {
    output: W,
    secrets: &'a Secrets,
    place: &'a str,
    tail: Vec<u8>,
}

impl<'a, W: Write> Scan<'a, W> {
    pub fn new(output: W, secrets: &'a Secrets, place: &'a str) -> Self {
        Self {
            output,
            secrets,
            place,
            tail: Vec::new(),
        }
    }

    pub fn into_inner(self) -> W {
        self.output
    }
}

impl<W: Write> Write for Scan<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.output.write(bytes)?;
        let overlap = self.secrets.longest().saturating_sub(1);
        if overlap > 0 {
            let bytes = &bytes[..written];
            self.tail.extend_from_slice(&bytes[..written.min(overlap)]);
            for text in [self.tail.as_slice(), bytes] {
                self.secrets
                    .check(text, self.place)
                    .map_err(io::Error::other)?;
            }
            if written >= overlap {
                self.tail.clear();
                self.tail.extend_from_slice(&bytes[written - overlap..]);
            } else {
                self.tail.drain(..self.tail.len().saturating_sub(overlap));
            }
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}
