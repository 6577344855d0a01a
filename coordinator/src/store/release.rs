//! Releases with their builds, and what locks were built to.

use std::num::NonZeroU32;

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Row, Transaction, params};
use serde::{Deserialize, Serialize};
use tfleet_compat::{HostName, Plan};
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::failure::Failure;
use tfleet_proto::model::name::{ReleaseName, ReleaseQuery, ReleaseRef, VariantId};

use super::{ReleaseRequest, Store, StoreError, column};

mod imported;

/// One revision of a release.
#[derive(Debug, Clone)]
pub struct Release {
    pub reference: ReleaseRef,
    pub origin: Origin,
    pub builds: Vec<VariantBuild>,
    pub created_at: Timestamp,
    pub created_by: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum Origin {
    Planned {
        request: Box<ReleaseRequest>,
        plan: Plan,
    },
    /// An image that others built.
    Added {
        needs_gpu: bool,
        cuda: Option<String>,
    },
}

/// What became of asking for a release.
#[derive(Debug, Clone)]
pub enum Created {
    New(Release),
    /// The newest revision is just this.
    Existing(Release),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VariantBuild {
    pub variant: VariantId,
    pub phase: BuildPhase,
    pub lock: Option<Digest>,
    pub artifact: Option<Digest>,
    pub content_bytes: u64,
    pub stored_bytes: u64,
    pub failure: Option<Failure>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BuildPhase {
    Waiting,
    Locking,
    Base,
    Building,
    Storing,
    Done,
    Failed,
}

/// What a lock was built to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locked {
    pub artifact: Digest,
    pub content_bytes: u64,
    pub stored_bytes: u64,
}

impl Created {
    pub fn release(self) -> Release {
        match self {
            Self::New(release) | Self::Existing(release) => release,
        }
    }
}

impl Origin {
    /// Whether both ask for the same images on the same hosts. Why a host gets its variant, or gets none, is told in words
    /// that change with every driver's patch; they make no other release.
    fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Planned { request, plan },
                Self::Planned {
                    request: asked,
                    plan: planned,
                },
            ) => {
                let asked = ReleaseRequest {
                    anew: request.anew,
                    ..(**asked).clone()
                };
                **request == asked
                    && plan.variants == planned.variants
                    && hosts(plan).eq(hosts(planned))
            }
            _ => self == other,
        }
    }
}

/// Every host of a plan: those with a variant, then those that are left out.
fn hosts(plan: &Plan) -> impl Iterator<Item = &HostName> {
    let placed = plan.variants.iter().flat_map(|variant| &variant.hosts);
    placed.chain(plan.unplaced.iter().map(|left| &left.host))
}

impl VariantBuild {
    pub fn waiting(variant: VariantId) -> Self {
        Self {
            variant,
            phase: BuildPhase::Waiting,
            lock: None,
            artifact: None,
            content_bytes: 0,
            stored_bytes: 0,
            failure: None,
        }
    }
}

impl Store {
    /// The next revision of a release; the newest one again if it was planned in the same way, or is the same image.
    pub async fn create_release(
        &self,
        name: ReleaseName,
        origin: Origin,
        builds: Vec<VariantBuild>,
        created_by: String,
    ) -> Result<Created, StoreError> {
        let is_just_this = |newest: &Release, origin: &Origin, builds: &[VariantBuild]| {
            newest.origin.is_like(origin)
                && (matches!(origin, Origin::Planned { .. }) || newest.builds == builds)
        };
        self.write_release(name, origin, builds, created_by, is_just_this)
            .await
    }

    /// The next revision of a release, whatever the newest one is.
    pub async fn create_revision(
        &self,
        name: ReleaseName,
        origin: Origin,
        builds: Vec<VariantBuild>,
        created_by: String,
    ) -> Result<Created, StoreError> {
        self.write_release(name, origin, builds, created_by, |_, _, _| false)
            .await
    }

    async fn write_release(
        &self,
        name: ReleaseName,
        origin: Origin,
        builds: Vec<VariantBuild>,
        created_by: String,
        is_just_this: fn(&Release, &Origin, &[VariantBuild]) -> bool,
    ) -> Result<Created, StoreError> {
        self.run("write down a release", move |transaction| {
            let newest = find(transaction, &ReleaseQuery::Newest(name.clone()))?;
            if let Some(newest) = &newest
                && is_just_this(newest, &origin, &builds)
            {
                return Ok(Created::Existing(newest.clone()));
            }
            let revision = newest.map_or(NonZeroU32::MIN, |newest| {
                newest.reference.revision.saturating_add(1)
            });
            let release = Release {
                reference: ReleaseRef { name, revision },
                origin,
                builds,
                created_at: Timestamp::now(),
                created_by,
            };
            insert(transaction, &release)?;
            Ok(Created::New(release))
        })
        .await
    }

    pub async fn release(&self, query: ReleaseQuery) -> Result<Option<Release>, StoreError> {
        self.run("read a release", move |transaction| {
            find(transaction, &query)
        })
        .await
    }

    /// Newest revision of each name first.
    pub async fn releases(&self) -> Result<Vec<Release>, StoreError> {
        self.run("read the releases", |transaction| {
            let rows: Vec<Release> = transaction
                .prepare("SELECT * FROM release ORDER BY name, revision DESC")?
                .query_map([], read)?
                .collect::<rusqlite::Result<_>>()?;
            rows.into_iter()
                .map(|release| with_builds(transaction, release))
                .collect()
        })
        .await
    }

    pub async fn put_build(
        &self,
        release: ReleaseRef,
        build: VariantBuild,
    ) -> Result<(), StoreError> {
        self.run("write down a build", move |transaction| {
            write_build(transaction, &release, &build)?;
            write_locked(transaction, &build)
        })
        .await
    }

    /// Builds end with the coordinator that ran them: those that were under way wait again.
    pub async fn forget_running_builds(&self) -> Result<(), StoreError> {
        self.run("forget builds that were cut off", |transaction| {
            transaction
                .execute(
                    "UPDATE build SET phase = 'waiting' WHERE phase NOT IN ('done', 'failed')",
                    [],
                )
                .map(drop)
        })
        .await
    }

    pub async fn locked(&self, lock: Digest) -> Result<Option<Locked>, StoreError> {
        self.run("read what a lock was built to", move |transaction| {
            transaction
                .query_row(
                    "SELECT * FROM locked WHERE lock = ?1",
                    [lock.to_string()],
                    |row| {
                        Ok(Locked {
                            artifact: column::parsed(row, "artifact")?,
                            content_bytes: row.get::<_, i64>("content_bytes")?.cast_unsigned(),
                            stored_bytes: row.get::<_, i64>("stored_bytes")?.cast_unsigned(),
                        })
                    },
                )
                .optional()
        })
        .await
    }
}

fn find(transaction: &Transaction<'_>, query: &ReleaseQuery) -> rusqlite::Result<Option<Release>> {
    let found = match query {
        ReleaseQuery::Newest(name) => transaction.query_row(
            "SELECT * FROM release WHERE name = ?1 ORDER BY revision DESC LIMIT 1",
            [name.as_str()],
            read,
        ),
        ReleaseQuery::Exact(reference) => transaction.query_row(
            "SELECT * FROM release WHERE name = ?1 AND revision = ?2",
            params![reference.name.as_str(), reference.revision.get()],
            read,
        ),
    };
    found
        .optional()?
        .map(|release| with_builds(transaction, release))
        .transpose()
}

fn read(row: &Row<'_>) -> rusqlite::Result<Release> {
    let revision: u32 = row.get("revision")?;
    Ok(Release {
        reference: ReleaseRef {
            name: column::parsed(row, "name")?,
            revision: NonZeroU32::new(revision)
                .ok_or_else(|| column::damaged(row, "revision", "is zero".to_owned()))?,
        },
        origin: column::json(row, "origin")?,
        builds: Vec::new(),
        created_at: column::parsed(row, "created_at")?,
        created_by: row.get("created_by")?,
    })
}

fn with_builds(transaction: &Transaction<'_>, mut release: Release) -> rusqlite::Result<Release> {
    let key = params![
        release.reference.name.as_str(),
        release.reference.revision.get()
    ];
    release.builds = transaction
        .prepare("SELECT * FROM build WHERE name = ?1 AND revision = ?2 ORDER BY variant DESC")?
        .query_map(key, |row| {
            Ok(VariantBuild {
                variant: column::parsed(row, "variant")?,
                phase: column::word(row, "phase")?,
                lock: column::parsed_optional(row, "lock")?,
                artifact: column::parsed_optional(row, "artifact")?,
                content_bytes: row.get::<_, i64>("content_bytes")?.cast_unsigned(),
                stored_bytes: row.get::<_, i64>("stored_bytes")?.cast_unsigned(),
                failure: column::json_optional(row, "failure")?,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(release)
}

fn insert(transaction: &Transaction<'_>, release: &Release) -> rusqlite::Result<()> {
    transaction.execute(
        "INSERT INTO release (name, revision, created_at, created_by, origin) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![
            release.reference.name.as_str(),
            release.reference.revision.get(),
            release.created_at.to_string(),
            release.created_by,
            column::to_json(&release.origin)?
        ],
    )?;
    for build in &release.builds {
        write_build(transaction, &release.reference, build)?;
    }
    Ok(())
}

/// What the lock was built to, if it was.
fn write_locked(transaction: &Transaction<'_>, build: &VariantBuild) -> rusqlite::Result<()> {
    let (Some(lock), Some(artifact)) = (&build.lock, &build.artifact) else {
        return Ok(());
    };
    transaction
        .execute(
            "INSERT OR REPLACE INTO locked (lock, artifact, content_bytes, stored_bytes) VALUES (?1, ?2, ?3, ?4)",
            params![
                lock.to_string(),
                artifact.to_string(),
                build.content_bytes.cast_signed(),
                build.stored_bytes.cast_signed()
            ],
        )
        .map(drop)
}

fn write_build(
    transaction: &Transaction<'_>,
    release: &ReleaseRef,
    build: &VariantBuild,
) -> rusqlite::Result<()> {
    let phase = column::to_word(&build.phase)?;
    transaction
        .execute(
            "INSERT OR REPLACE INTO build
                (name, revision, variant, phase, lock, artifact, content_bytes, stored_bytes, failure)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                release.name.as_str(),
                release.revision.get(),
                build.variant.as_str(),
                phase,
                build.lock.map(|lock| lock.to_string()),
                build.artifact.map(|artifact| artifact.to_string()),
                build.content_bytes.cast_signed(),
                build.stored_bytes.cast_signed(),
                build.failure.as_ref().map(column::to_json).transpose()?
            ],
        )
        .map(drop)
}
