//! Enrolment tokens. Only the digest of a secret is kept.

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, params};
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::name::HostName;

use super::{Store, StoreError, column};

#[derive(Debug, Clone)]
pub struct NewToken {
    pub secret_digest: Digest,
    pub host: HostName,
    pub ends_at: Timestamp,
}

/// What became of a token that was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redemption {
    /// Good, and the host's key is written down.
    Enrolled,
    Unknown,
    Expired,
    /// Used before, with another key.
    Used,
    /// Made for another name.
    OtherHost,
    /// A host of that name is enrolled. It must be removed first, or a second token could take its place. This holds for
    /// its own key too: a token begins a membership, and what runs on the host belongs to the one it has.
    HostIsEnrolled,
}

impl Store {
    pub async fn add_tokens(&self, tokens: Vec<NewToken>) -> Result<(), StoreError> {
        self.run("write down tokens", move |transaction| {
            transaction.execute("DELETE FROM token WHERE ends_at < ?1", [yesterday()])?;
            for token in tokens {
                transaction.execute(
                    "INSERT INTO token (secret_digest, host, ends_at) VALUES (?1, ?2, ?3)",
                    params![
                        token.secret_digest.to_string(),
                        token.host.as_str(),
                        token.ends_at.to_string()
                    ],
                )?;
            }
            Ok(())
        })
        .await
    }

    /// Uses a token for a key and enrols its host, or says why not. The same token with the same key enrols again.
    pub async fn redeem(
        &self,
        secret_digest: Digest,
        host: HostName,
        key: Digest,
        now: Timestamp,
    ) -> Result<Redemption, StoreError> {
        self.run("use a token", move |transaction| {
            let secret = secret_digest.to_string();
            let found = transaction
                .query_row("SELECT * FROM token WHERE secret_digest = ?1", [&secret], |row| {
                    Ok((
                        row.get::<_, String>("host")?,
                        column::parsed::<Timestamp>(row, "ends_at")?,
                        column::parsed_optional::<Digest>(row, "used_by_key")?,
                    ))
                })
                .optional()?;
            let Some((bound_to, ends_at, used_by)) = found else { return Ok(Redemption::Unknown) };
            if bound_to != host.as_str() {
                return Ok(Redemption::OtherHost);
            }
            if ends_at < now {
                return Ok(Redemption::Expired);
            }
            if used_by.is_some_and(|used_by| used_by != key) {
                return Ok(Redemption::Used);
            }
            let enrolled: Option<String> = transaction
                .query_row("SELECT key FROM host WHERE name = ?1", [host.as_str()], |row| row.get(0))
                .optional()?
                .flatten();
            match enrolled {
                // The answer was lost, and nothing has changed since.
                Some(enrolled) if used_by.is_some() && enrolled == key.to_string() => {
                    return Ok(Redemption::Enrolled);
                }
                Some(_) => return Ok(Redemption::HostIsEnrolled),
                None => {}
            }
            transaction.execute(
                "UPDATE token SET used_by_key = ?2 WHERE secret_digest = ?1",
                params![secret, key.to_string()],
            )?;
            transaction.execute(
                "INSERT INTO host (name, key, enrolled_at, desired) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (name) DO UPDATE SET key = excluded.key, enrolled_at = excluded.enrolled_at",
                params![
                    host.as_str(),
                    key.to_string(),
                    now.to_string(),
                    column::to_json(&tfleet_proto::model::desired::DesiredState::default())?
                ],
            )?;
            Ok(Redemption::Enrolled)
        })
        .await
    }
}

/// Tokens are kept for a day after their end, so that the log can say "expired" and not "unknown".
fn yesterday() -> String {
    let now = Timestamp::now();
    now.checked_sub(jiff::SignedDuration::from_hours(24))
        .unwrap_or(now)
        .to_string()
}
