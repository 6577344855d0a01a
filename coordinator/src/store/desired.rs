//! Changes of desired state: read, changed and written in one transaction, one generation higher.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension as _, Row, params};
use tfleet_proto::model::desired::DesiredState;
use tfleet_proto::model::failure::Failure;
use tfleet_proto::model::name::HostName;

use super::{Store, StoreError, column};

impl Store {
    /// Applies `change` to each host's desired state. A host whose change fails, or changes nothing, keeps its
    /// generation; the others' new states are durable when this returns.
    pub async fn change_desired(
        &self,
        hosts: Vec<HostName>,
        change: impl Fn(&HostName, &mut DesiredState) -> Result<(), Failure> + Send + 'static,
    ) -> Result<BTreeMap<HostName, Result<DesiredState, Failure>>, StoreError> {
        self.run("change desired states", move |transaction| {
            let incarnation: i64 =
                transaction.query_row("SELECT incarnation FROM fleet", [], |row| row.get(0))?;
            let mut find =
                transaction.prepare("SELECT * FROM host WHERE name = ?1 AND key IS NOT NULL")?;
            let mut write = transaction.prepare(
                "UPDATE host SET desired = ?2, generation = ?3, asked = 1 WHERE name = ?1",
            )?;
            let mut done = BTreeMap::new();
            for name in hosts {
                let found = find
                    .query_row([name.as_str()], |row| {
                        Ok((read(row, incarnation)?, generation(row)?))
                    })
                    .optional()?;
                // The highest generation is higher than the state's own where a host of that name was here before.
                let Some((before, highest)) = found else {
                    continue;
                };
                let mut after = before.clone();
                let outcome = change(&name, &mut after).map(|()| {
                    if after != before {
                        after.generation = highest + 1;
                    }
                    after
                });
                if let Ok(after) = &outcome
                    && after.generation != before.generation
                {
                    let generation = after.generation.cast_signed();
                    write.execute(params![name.as_str(), column::to_json(after)?, generation])?;
                }
                done.insert(name, outcome);
            }
            Ok(done)
        })
        .await
    }
}

/// What a host's row says that it shall have. Generation zero: no operator has asked anything of it since it enrolled.
pub(super) fn read(row: &Row<'_>, incarnation: i64) -> rusqlite::Result<DesiredState> {
    let mut desired: DesiredState = column::json(row, "desired")?;
    desired.incarnation = incarnation.cast_unsigned();
    desired.generation = if row.get("asked")? {
        generation(row)?
    } else {
        0
    };
    Ok(desired)
}

fn generation(row: &Row<'_>) -> rusqlite::Result<u64> {
    row.get::<_, i64>("generation").map(i64::cast_unsigned)
}
